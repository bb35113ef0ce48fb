"""A manifest in memory as columns: filtered, sorted and read a page at a time, with its families and look-alikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import parquet
from curate.dataset.ids import IdIndex, RowNumbers
from curate.dataset.rows import EdgeRow, ManifestRow
from curate.dataset.schema import EDGES_SCHEMA, MANIFEST_SCHEMA
from curate.query import filters
from curate.query.tag_index import RowMask, build_postings
from curate.system.errors import NurieError

HASH_COLUMNS = {"search_hashes", "line_hash", "outline_hash", "edge_hash", "color_grid"}
HIDDEN_COLUMNS = {"path_raw", "extra", *HASH_COLUMNS}  # of no use to a person
CATALOG_COLUMNS = [name for name in MANIFEST_SCHEMA.names if name not in HIDDEN_COLUMNS]
SORT_COLUMNS = ("score", "width", "height", "bytes", "line_ink", "line_faint", "line_gaps", "distance", "emptiness")
FAMILY_SORT_KEYS = ("added", "size", "duplicates", "distance")
MAX_LOOK_ALIKES = 60  # shown of one picture


@dataclass(frozen=True)
class FamilyIndex:
    """Families of two pictures or more, numbered by code."""

    codes: npt.NDArray[np.int64]
    """(rows,) the row's family; -1 where it has none."""
    first: RowNumbers
    """(families,) the first row."""
    size: npt.NDArray[np.int64]
    """(families,) number of rows."""
    duplicates: npt.NDArray[np.int64]
    """(families,) number of duplicates."""
    distance: npt.NDArray[np.int64]
    """(families,) bits between the most distant duplicate and its survivor; -1 without duplicates."""


class LookAlikeRow(EdgeRow):
    """An edge as seen from one of its two pictures."""

    id: str
    """Of the other picture."""


class Catalog:
    """A dataset's manifest and edges as they were when this object was made."""

    def __init__(self, dataset: Path) -> None:
        self.table: pa.Table = parquet.read_parts(dataset / "manifest", CATALOG_COLUMNS).combine_chunks()
        self.tags = build_postings(self.table["tags"])
        self.all_rows: RowMask = np.ones(self.table.num_rows, np.bool_)
        self.families = _families(self.table)
        has_edges = bool(parquet.part_paths(dataset / "edges"))
        edges = parquet.read_parts(dataset / "edges") if has_edges else EDGES_SCHEMA.empty_table()
        self.edges: pa.Table = edges.combine_chunks()
        self._ids = IdIndex(self.table["id"].to_pylist())
        self._edge_ends = [(IdIndex(self.edges[end].to_pylist()), other) for end, other in (("a", "b"), ("b", "a"))]
        self.is_deduped = bool(self.table["role"].null_count < self.table.num_rows)
        """Whether dedupe has been run."""

    def find_rows(self, text: str, where: str, decided: Mapping[str, frozenset[str]]) -> filters.FilterResult:
        """Rows that match a filter. Raises the errors of `filters.find_rows`."""
        return filters.find_rows(filters.SearchableRows(self.table, self.tags, decided), text, where)

    def sorted_rows(self, mask: RowMask, order: str = "", *, descending: bool = False) -> RowNumbers:
        """Rows of a mask in the order they were added, or by a column of SORT_COLUMNS: nulls last, ties as added."""
        rows = np.flatnonzero(mask)
        if not order:
            return rows[::-1] if descending else rows
        if order not in SORT_COLUMNS:
            raise NurieError(f"cannot sort by {order!r}: choose one of {', '.join(SORT_COLUMNS)}")
        values = self.table[order].to_numpy().astype(np.float64)[rows]
        return rows[np.argsort(-values if descending else values, kind="stable")]

    def family_codes(self, mask: RowMask, order: str = "added") -> RowNumbers:
        """Codes of the families with a row in the mask, in the order they were added, or the largest key first."""
        codes = np.unique(self.families.codes[mask])
        codes = codes[codes >= 0]
        keys = {
            "added": self.families.first,
            "size": -self.families.size,
            "duplicates": -self.families.duplicates,
            "distance": -self.families.distance,
        }
        if order not in keys:
            raise NurieError(f"cannot sort families by {order!r}: choose one of {', '.join(FAMILY_SORT_KEYS)}")
        return codes[np.lexsort((self.families.first[codes], keys[order][codes]))]

    def family_rows(self, family: int) -> RowNumbers:
        """Rows of a family: the survivor's group first, and in each group the kept picture before its duplicates."""
        rows = np.flatnonzero(self.families.codes == family)
        members = self.read_rows(rows, ["id", "group", "role"])
        groups = dict.fromkeys(row["group"] for row in members if row["role"] != "duplicate")
        rank = {group: number for number, group in enumerate(groups)}
        survivor_groups = {row["group"] for row in members if row["role"] == "survivor"}

        def sort_key(position: int) -> tuple[bool, int, bool]:
            group, role = members[position]["group"], members[position]["role"]
            return group not in survivor_groups, rank.get(group, len(rank)), role == "duplicate"

        return rows[sorted(range(len(rows)), key=sort_key)]

    def read_rows(self, numbers: RowNumbers, columns: Sequence[str] = tuple(CATALOG_COLUMNS)) -> list[ManifestRow]:
        """Rows of the manifest by number, in the given order."""
        rows: list[ManifestRow] = self.table.select(columns).take(pa.array(numbers)).to_pylist()
        return rows

    def rows_of_id(self, key: str) -> RowNumbers:
        """Rows with an id. There are several if the picture has byte copies; the one that is kept comes first."""
        rows = self._ids.rows(key)
        roles = [row["role"] for row in self.read_rows(rows, ["role"])]
        return rows[sorted(range(len(rows)), key=lambda position: roles[position] == "duplicate")]

    def path_of_id(self, key: str) -> str | None:
        """The path of the file that is kept of a picture; None if no row has the id."""
        rows = self.rows_of_id(key)
        return self.read_rows(rows[:1], ["path"])[0]["path"] if len(rows) else None

    def value_counts(self, column: str, mask: RowMask) -> dict[str, int]:
        """How many rows of a mask have each value of a text column, the most frequent first; null is `none`."""
        counts = pc.value_counts(self.table[column].filter(pa.array(mask))).to_pylist()
        counts.sort(key=lambda count: -count["counts"])
        return {count["values"] or filters.NULL: count["counts"] for count in counts}

    def look_alikes(self, key: str) -> list[LookAlikeRow]:
        """Verified look-alikes of a picture: duplicates first, then those with the most similar lines."""
        rows: list[LookAlikeRow] = []
        for ends, other in self._edge_ends:
            edges = self.edges.take(pa.array(ends.rows(key)))
            rows += edges.append_column("id", edges[other]).to_pylist()
        return sorted(rows, key=lambda row: (row["kind"] != "duplicate", row["line_difference"], row["id"]))


def _families(table: pa.Table) -> FamilyIndex:
    coded = table["family"].combine_chunks().dictionary_encode()
    codes = np.asarray(pc.fill_null(coded.indices, -1), np.int64)
    number = len(coded.dictionary)
    size = np.bincount(codes[codes >= 0], minlength=number)
    codes = np.where((codes >= 0) & (size[codes] > 1), codes, -1) if number else codes
    first = np.full(number, table.num_rows, np.int64)
    rows = np.flatnonzero(codes >= 0)
    np.minimum.at(first, codes[rows], rows)
    duplicates = rows[np.asarray(pc.fill_null(pc.equal(table["role"], "duplicate"), fill_value=False))[rows]]
    distance = np.full(number, -1, np.int64)
    row_distances = np.asarray(pc.fill_null(table["distance"], -1), np.int64)
    np.maximum.at(distance, codes[duplicates], row_distances[duplicates])
    return FamilyIndex(codes, first, size, np.bincount(codes[duplicates], minlength=number), distance)
