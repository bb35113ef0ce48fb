"""A manifest in memory, by columns: found by filters, ordered, read a page at a time; its families and look-alikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import parquet
from curate.dataset.ids import IdIndex, RowNumbers
from curate.dataset.schema import EDGES_SCHEMA, MANIFEST_SCHEMA
from curate.query import filters
from curate.query.tag_index import RowMask, build_postings
from curate.system.errors import NurieError

HASH_COLUMNS = {"search_hashes", "line_hash", "outline_hash", "edge_hash", "color_grid"}
HIDDEN_COLUMNS = {"path_raw", "extra", *HASH_COLUMNS}  # what nobody looks for
CATALOG_COLUMNS = [name for name in MANIFEST_SCHEMA.names if name not in HIDDEN_COLUMNS]
SORT_COLUMNS = ("score", "width", "height", "bytes", "line_ink", "line_faint", "line_gaps", "distance", "emptiness")
FAMILY_SORT_KEYS = ("added", "size", "duplicates", "distance")
MAX_LOOK_ALIKES = 60  # look-alikes of one picture that are told
Row = dict[str, Any]


@dataclass(frozen=True)
class FamilyIndex:
    """Connected look-alikes of two or more: `codes` by row, -1 for who has none."""

    codes: npt.NDArray[np.int64]
    first: RowNumbers
    """By code: the family's first row."""
    size: npt.NDArray[np.int64]
    duplicates: npt.NDArray[np.int64]
    distance: npt.NDArray[np.int64]
    """By code: bits of its most distant duplicate; -1 without one."""


class Catalog:
    """A dataset's manifest and look-alike pairs, as they were when it was made."""

    def __init__(self, dataset: Path) -> None:
        self.table: pa.Table = parquet.read_parts(dataset / "manifest", CATALOG_COLUMNS).combine_chunks()
        self.tags = build_postings(self.table["tags"])
        self.all_rows: RowMask = np.ones(self.table.num_rows, np.bool_)
        self.families = _families(self.table)
        found = parquet.part_paths(dataset / "edges")
        edges = parquet.read_parts(dataset / "edges") if found else EDGES_SCHEMA.empty_table()
        self.edges: pa.Table = edges.combine_chunks()
        self._ids = IdIndex(self.table["id"].to_pylist())
        self._ends = [(IdIndex(self.edges[one].to_pylist()), other) for one, other in (("a", "b"), ("b", "a"))]
        self.is_deduped = bool(self.table["role"].null_count < self.table.num_rows)
        """Whether dedupe has been run."""

    def find_rows(self, text: str, where: str, decided: Mapping[str, frozenset[str]]) -> filters.FilterResult:
        """Rows that a filter holds for. Raises as `filters.find` does."""
        return filters.find_rows(filters.SearchableRows(self.table, self.tags, decided), text, where)

    def sorted_rows(self, mask: RowMask, order: str = "", *, descending: bool = False) -> RowNumbers:
        """The chosen rows as added, or by a column of ORDERS, nulls last, ties as added."""
        rows = np.flatnonzero(mask)
        if not order:
            return rows[::-1] if descending else rows
        if order not in SORT_COLUMNS:
            raise NurieError(f"no order by {order!r}: there are {', '.join(SORT_COLUMNS)}")
        values = self.table[order].to_numpy().astype(np.float64)[rows]
        return rows[np.argsort(-values if descending else values, kind="stable")]

    def family_codes(self, mask: RowMask, order: str = "added") -> RowNumbers:
        """Codes of the families of which a row was chosen, as added or the most first."""
        codes = np.unique(self.families.codes[mask])
        codes = codes[codes >= 0]
        keys = {
            "added": self.families.first,
            "size": -self.families.size,
            "duplicates": -self.families.duplicates,
            "distance": -self.families.distance,
        }
        if order not in keys:
            raise NurieError(f"no order of families by {order!r}: there are {', '.join(FAMILY_SORT_KEYS)}")
        return codes[np.lexsort((self.families.first[codes], keys[order][codes]))]

    def family_rows(self, family: int) -> RowNumbers:
        """Rows of a family: its survivor, each star's centre before its duplicates, as added."""
        rows = np.flatnonzero(self.families.codes == family)
        told = self.read_rows(rows, ["id", "group", "role"])
        centers = [row["group"] for row in told if row["role"] != "duplicate"]
        rank = {group: place for place, group in enumerate(dict.fromkeys(centers))}
        head = {row["group"] for row in told if row["role"] == "survivor"}

        def key(place: int) -> tuple[bool, int, bool]:
            row = told[place]
            return row["group"] not in head, rank.get(row["group"], len(rank)), row["role"] == "duplicate"

        return rows[sorted(range(len(rows)), key=key)]

    def read_rows(self, numbers: RowNumbers, columns: Sequence[str] = tuple(CATALOG_COLUMNS)) -> list[Row]:
        """Some rows of the manifest, in the order asked for."""
        told: list[Row] = self.table.select(columns).take(pa.array(numbers)).to_pylist()
        return told

    def rows_of_id(self, key: str) -> RowNumbers:
        """Rows of the picture of an id: more than one where there are byte copies, the best first."""
        rows = self._ids.rows(key)
        roles = [row["role"] for row in self.read_rows(rows, ["role"])]
        return rows[sorted(range(len(rows)), key=lambda place: roles[place] == "duplicate")]

    def path_of_id(self, key: str) -> str | None:
        """Of the best of the files that are this picture; None if there is none."""
        rows = self.rows_of_id(key)
        return self.read_rows(rows[:1], ["path"])[0]["path"] if len(rows) else None

    def value_counts(self, column: str, mask: RowMask) -> dict[str, int]:
        """Chosen rows by their value in a column of text, the most first; null is `none`."""
        told = pc.value_counts(self.table[column].filter(pa.array(mask))).to_pylist()
        return {one["values"] or filters.NULL: one["counts"] for one in sorted(told, key=lambda one: -one["counts"])}

    def look_alikes(self, key: str) -> list[Row]:
        """Verified look-alikes of a picture: `id`, `kind`, how far; duplicates first, then the nearest."""
        told: list[Row] = []
        for ends, other in self._ends:
            told += [{**row, "id": row[other]} for row in self.edges.take(pa.array(ends.rows(key))).to_pylist()]
        return sorted(told, key=lambda row: (row["kind"] != "duplicate", row["line_difference"], row["id"]))


def _families(table: pa.Table) -> FamilyIndex:
    coded = table["family"].combine_chunks().dictionary_encode()
    codes = np.asarray(pc.fill_null(coded.indices, -1), np.int64)
    number = len(coded.dictionary)
    size = np.bincount(codes[codes >= 0], minlength=number)
    codes = np.where((codes >= 0) & (size[codes] > 1), codes, -1) if number else codes
    first = np.full(number, table.num_rows, np.int64)
    rows = np.flatnonzero(codes >= 0)
    np.minimum.at(first, codes[rows], rows)
    double = rows[np.asarray(pc.fill_null(pc.equal(table["role"], "duplicate"), fill_value=False))[rows]]
    distance = np.full(number, -1, np.int64)
    far = np.asarray(pc.fill_null(table["distance"], -1), np.int64)
    np.maximum.at(distance, codes[double], far[double])
    return FamilyIndex(codes, first, size, np.bincount(codes[double], minlength=number), distance)
