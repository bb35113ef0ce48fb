"""Gather the pictures that the report shows: their rows, what dedupe measured between them, and thumbnails.

Each kind has a fixed number of examples, chosen by extremes or by smallest id. So the page does not grow with the
dataset, and shows the same pictures each time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from curate.audit.census import Census, SmallestKeys, family_hash
from curate.audit.thumbnail_urls import read_thumbnail_urls
from curate.dataset import decisions, parquet
from curate.dataset.rows import EdgeRow
from curate.dataset.schema import EDGES_SCHEMA

IdPair = tuple[str, str]
"""Two ids, the smaller first."""

EDGES_PER_BATCH = 1 << 16
RECOLOUR_SPARE_FACTOR = 8  # of candidates to shown recolours: some are not shown, as one of them was dropped
INVISIBLE_TAG_PREFIXES = ("artist:", "meta:")  # of tags that do not describe what is seen
MAX_COPY_PATHS = 5  # shown of the byte copies of one picture
LINE_DEFECTS = ("faint", "gaps", "pale", "black")  # kinds of `census.take`: faint ink, broken strokes, little, much
NEAREST_FIRST = [(name, "ascending") for name in ("color_distance", "a", "b")]


class ShownRow(TypedDict):
    """EXAMPLE_COLUMNS of a manifest row whose picture the page shows, and the tags that it shows."""

    source: str
    path: str
    id: str
    bytes: int
    width: int
    height: int
    tags: list[str]
    line_ink: float
    line_faint: float
    line_gaps: float
    role: str | None
    distance: int | None
    family: str | None
    split: str | None
    dropped: str | None
    visible_tags: list[str]


EXAMPLE_COLUMNS = tuple(name for name in ShownRow.__annotations__ if name != "visible_tags")


@dataclass(frozen=True)
class SideBySide:
    """Two pictures side by side, and the edge that dedupe measured between them."""

    left: ShownRow
    right: ShownRow
    edge: EdgeRow
    """Empty where dedupe did not compare these two."""

    def unshared_tags(self, row: ShownRow) -> list[str]:
        """Visible tags of one of the two that the other lacks."""
        shared = {*self.left["visible_tags"]} & {*self.right["visible_tags"]}
        return [tag for tag in row["visible_tags"] if tag not in shared]


@dataclass(frozen=True)
class ByteCopies:
    """A picture and its byte copies."""

    row: ShownRow
    paths: list[str] = field(default_factory=list)
    """Of the first copies."""
    count: int = 0
    """Of all copies."""


@dataclass(frozen=True)
class FamilyExample:
    """A family with two kept pictures or more."""

    size: int
    """Number of kept members."""
    members: list[ShownRow]
    """The first of them, survivors before recolours."""


@dataclass(frozen=True)
class ReportExamples:
    """All pictures that the page shows."""

    any: list[ShownRow]
    """A random sample of the kept pictures."""
    worst: dict[str, list[ShownRow]]
    """Kept pictures by what is odd about their line art, a list for each of LINE_DEFECTS."""
    twins: list[ByteCopies]
    copies: list[SideBySide]
    """Duplicates (left) and their survivors (right)."""
    recolours: list[SideBySide]
    """Recolours of the most similar colours."""
    families: list[FamilyExample]
    pixels: dict[tuple[str, str], str]
    """`data:` URLs by id and column of `pairs/`."""


def gather_examples(dataset: Path, counted: Census, families: Mapping[int, int], lines: list[str]) -> ReportExamples:
    """Gather the pictures that a census chose and some members of `families` (sizes by hash).

    lines: the stored line-art methods. Raises DamagedError if a picture cannot be shown because a part is damaged.
    """
    limit = counted.examples_per_kind
    keys = {name: smallest.keys for name, smallest in counted.example_keys.items()}
    copies = list(dict.fromkeys((key, survivor) for *_, key, survivor in (*keys["far_copies"], *keys["copies"])))
    candidates, edges = _read_edges(dataset, {_id_pair(*pair) for pair in copies}, RECOLOUR_SPARE_FACTOR * limit)
    ids_by_kind = {name: [key[-1] for key in keys[name]] for name in ("any", "twins", *LINE_DEFECTS)}
    ids = {key for pair in (*copies, *candidates) for key in pair} | {
        key for kind in ids_by_kind.values() for key in kind
    }
    rows = _read_rows(dataset, ids, families, limit)
    not_recolours = _pairs_decided_otherwise(dataset)
    recolours = [pair for pair in candidates if pair not in not_recolours and _are_recolours(rows.by_id, pair)]

    def side_by_side(left: str, right: str) -> SideBySide:
        return SideBySide(rows.by_id[left], rows.by_id[right], edges.get(_id_pair(left, right), {}))

    shown = ReportExamples(
        any=[rows.by_id[key] for key in ids_by_kind["any"]],
        worst={name: [rows.by_id[key] for key in ids_by_kind[name]] for name in LINE_DEFECTS},
        twins=[ByteCopies(rows.by_id[key], *rows.copies[key]) for key in ids_by_kind["twins"]],
        copies=[side_by_side(*pair) for pair in copies],
        recolours=[side_by_side(*pair) for pair in recolours[:limit]],
        families=[
            FamilyExample(size, [rows.by_id[key] for _, key in rows.members[number].keys])
            for number, size in families.items()
        ],
        pixels={},
    )
    shown.pixels.update(read_thumbnail_urls(dataset, _columns_by_id(shown, lines)))
    return shown


def _id_pair(a: str, b: str) -> IdPair:
    return (a, b) if a < b else (b, a)


def _pairs_decided_otherwise(dataset: Path) -> set[IdPair]:
    """Pairs that people decided are something else than recolours."""
    kinds = decisions.resolve(decisions.read(dataset)).pair_kinds
    return {_id_pair(*pair) for pair, kind in kinds.items() if kind != "alternate"}


def _are_recolours(rows: Mapping[str, ShownRow], pair: IdPair) -> bool:
    """Whether neither of a pair is a duplicate of a third picture, and both are still of one family."""
    a, b = (rows.get(key) for key in pair)
    if not a or not b or a["family"] is None or a["family"] != b["family"]:
        return False
    return {a["dropped"], b["dropped"]} <= {None, "alternate"}


def _read_edges(dataset: Path, copies: Collection[IdPair], limit: int) -> tuple[list[IdPair], dict[IdPair, EdgeRow]]:
    """The `limit` pairs of recolours with the most similar colours; and the edges of those pairs and of `copies`."""
    nearest, edges_by_pair = SmallestKeys(limit), dict[IdPair, EdgeRow]()
    ids = pa.array(sorted({key for pair in copies for key in pair}), pa.string())
    for path in parquet.part_paths(dataset / "edges"):
        for edges in parquet.iter_batches(path, EDGES_SCHEMA.names, EDGES_PER_BATCH):
            of_copies = edges.filter(pc.and_(pc.is_in(edges["a"], value_set=ids), pc.is_in(edges["b"], value_set=ids)))
            recolours = edges.filter(pc.equal(edges["kind"], "alternate"))
            recolours = recolours.take(pc.sort_indices(recolours, NEAREST_FIRST)[:limit])
            rows = [*of_copies.to_pylist(), *recolours.to_pylist()]
            edges_by_pair |= {_id_pair(row["a"], row["b"]): row for row in rows}
            nearest.add((row["color_distance"], *_id_pair(row["a"], row["b"])) for row in recolours.to_pylist())
            wanted = {(a, b) for _, a, b in nearest.keys} | set(copies)
            edges_by_pair = {pair: row for pair, row in edges_by_pair.items() if pair in wanted}
    return [(a, b) for _, a, b in nearest.keys], edges_by_pair


@dataclass
class _ShownRows:
    by_id: dict[str, ShownRow] = field(default_factory=dict)
    copies: dict[str, tuple[list[str], int]] = field(default_factory=dict)
    """Paths of the first byte copies, and the number of all, by id."""
    members: dict[int, SmallestKeys] = field(default_factory=dict)
    """(whether a recolour, id) of the members to show, by hash of the family."""


def _read_rows(dataset: Path, ids: Collection[str], families: Iterable[int], limit: int) -> _ShownRows:
    """The rows of the chosen pictures and of `limit` members of each chosen family, in one pass over the manifest."""
    shown = _ShownRows(members={number: SmallestKeys(limit) for number in families})
    wanted = pa.array(sorted(ids), pa.string())
    for table in parquet.iter_parts(dataset / "manifest", EXAMPLE_COLUMNS):
        hashes = [None if family is None else family_hash(family) for family in table["family"].to_pylist()]
        related = pa.array([number in shown.members for number in hashes], pa.bool_())
        for row in table.filter(pc.or_(pc.is_in(table["id"], value_set=wanted), related)).to_pylist():
            if _offer_member(shown, row) or row["id"] in ids:
                row["visible_tags"] = [tag for tag in row["tags"] if not tag.startswith(INVISIBLE_TAG_PREFIXES)]
                _add_row(shown, row)
    return shown


def _offer_member(shown: _ShownRows, row: ShownRow) -> bool:
    """Whether a row is, so far, one of the members to show of a chosen family."""
    members = shown.members.get(family_hash(row["family"])) if row["family"] and row["dropped"] is None else None
    if members is None:
        return False
    key = (row["role"] == "alternate", row["id"])
    members.add([key])
    return key in members.keys


def _add_row(shown: _ShownRows, row: ShownRow) -> None:
    """Add a row; of byte copies, the row of the kept file, and the paths of the others."""
    present = shown.by_id.setdefault(row["id"], row)
    if present is row:
        return
    if present["role"] == "duplicate" and row["role"] != "duplicate":
        shown.by_id[row["id"]], row = row, present
    paths, count = shown.copies.get(row["id"], ([], 0))
    shown.copies[row["id"]] = ([*paths, row["path"]][:MAX_COPY_PATHS], count + 1)


def _columns_by_id(shown: ReportExamples, lines: list[str]) -> dict[str, set[str]]:
    """The columns of `pairs/` that the page shows of each picture, by id."""
    columns: dict[str, set[str]] = defaultdict(lambda: {"color"})
    for row in shown.any:
        columns[row["id"]].update(f"line_{line}" for line in lines)
    for row in (row for rows in shown.worst.values() for row in rows):
        columns[row["id"]].add(f"line_{lines[0]}")
    compared = [row for pair in (*shown.copies, *shown.recolours) for row in (pair.left, pair.right)]
    members = [row for family in shown.families for row in family.members]
    for row in (*compared, *members, *(twins.row for twins in shown.twins)):
        columns[row["id"]].add("color")
    return columns
