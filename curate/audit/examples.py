"""The pictures of a dataset that a page shows: their rows, what dedupe measured between them, and thumbnails.

Each kind has a fixed number of places, filled by extremes and by least id, so that what is shown does not grow with the
dataset and is the same each time.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.audit.census import Census, SmallestKeys, family_hash
from curate.dataset import decisions, parquet
from curate.dataset.schema import EDGES_SCHEMA
from curate.deduplication import thumbnails
from curate.system.errors import DamagedError

Row = dict[str, Any]
IdPair = tuple[str, str]
"""Two ids, in order."""

THUMBNAIL_SIDE_PX = 128  # px of a thumbnail, at most
WEBP_QUALITY = 90  # of WebP: half of PNG's bytes, and strokes stay clean
EDGES_PER_BATCH = 1 << 16  # edges read at once
RECOLOUR_SPARE_FACTOR = (
    8  # times as many recolours are chosen as are shown: of some, one was dropped as a copy of a third
)
EXAMPLE_COLUMNS = (
    *("source", "path", "id", "bytes", "width", "height", "tags", "line_ink", "line_faint", "line_gaps"),
    *("role", "distance", "family", "split", "dropped"),
)
INVISIBLE_TAG_PREFIXES = ("artist:", "meta:")  # tags that do not say what is seen
MAX_COPY_PATHS = 5  # of byte copies
LINE_DEFECTS = ("faint", "gaps", "pale", "black")
NEAREST_FIRST = [(name, "ascending") for name in ("color_distance", "a", "b")]


@dataclass(frozen=True)
class SideBySide:
    """Two pictures side by side, and the edge that dedupe measured; an empty `look` where there is none."""

    one: Row
    other: Row
    look: Row

    def only(self, row: Row) -> list[str]:
        """Tags that the other one has not."""
        theirs = {*self.one["told"]} & {*self.other["told"]}
        return [tag for tag in row["told"] if tag not in theirs]


@dataclass(frozen=True)
class ByteCopies:
    """A picture and the files that are the same to the byte: some of their paths, and how many there are."""

    row: Row
    paths: list[str] = field(default_factory=list)
    count: int = 0


@dataclass(frozen=True)
class FamilyExample:
    """Some kept members of a family, its survivors first, and how many there are."""

    size: int
    members: list[Row]


@dataclass(frozen=True)
class ReportExamples:
    """What a page shows."""

    any: list[Row]
    """Kept pictures at random."""
    worst: dict[str, list[Row]]
    """Kept pictures by what is odd of their line art: QUALITIES."""
    twins: list[ByteCopies]
    copies: list[SideBySide]
    """Duplicates and their survivors."""
    recolours: list[SideBySide]
    """Alternates of nearest colours."""
    families: list[FamilyExample]
    pixels: dict[tuple[str, str], str]
    """data: addresses by id and column of pairs."""


def gather_examples(dataset: Path, found: Census, families: Mapping[int, int], lines: list[str]) -> ReportExamples:
    """What the census chose, and families by number with their sizes; `lines` are the stored styles.

    Raises DamagedError if a picture cannot be shown because a part is damaged.
    """
    keys = {name: least.keys for name, least in found.example_keys.items()}
    asked = list(dict.fromkeys((one, other) for *_, one, other in (*keys["far_copies"], *keys["copies"])))
    near, looks = _read_edges(
        dataset, {_id_pair(*both) for both in asked}, RECOLOUR_SPARE_FACTOR * found.examples_per_kind
    )
    single = {name: [key[-1] for key in keys[name]] for name in ("any", "twins", *LINE_DEFECTS)}
    ids = {one for both in (*asked, *near) for one in both} | {one for ones in single.values() for one in ones}
    rows = _rows(dataset, ids, families, found.examples_per_kind)
    people = decisions.resolve(decisions.read(dataset)).pair_kinds
    parted = {_id_pair(*both) for both, kind in people.items() if kind != "alternate"}
    recolours = [both for both in near if both not in parted and _are_recolours(rows.by_id, both)]
    couples = {"copies": asked, "recolours": recolours[: found.examples_per_kind]}
    made = {
        name: [
            SideBySide(rows.by_id[one], rows.by_id[other], looks.get(_id_pair(one, other), {})) for one, other in pairs
        ]
        for name, pairs in couples.items()
    }
    shown = ReportExamples(
        any=[rows.by_id[key] for key in single["any"]],
        worst={name: [rows.by_id[key] for key in single[name]] for name in LINE_DEFECTS},
        twins=[ByteCopies(rows.by_id[key], *rows.copies[key]) for key in single["twins"]],
        families=[
            FamilyExample(size, [rows.by_id[key] for _, key in rows.members[number].keys])
            for number, size in families.items()
        ],
        pixels={},
        **made,
    )
    shown.pixels.update(_read_thumbnails(dataset, _wanted(shown, lines)))
    return shown


def _id_pair(one: str, other: str) -> IdPair:
    return (one, other) if one < other else (other, one)


def _are_recolours(rows: Mapping[str, Row], both: IdPair) -> bool:
    """Whether both of a pair stand for themselves, and are still of one family."""
    one, other = (rows.get(key) for key in both)
    if not one or not other or one["family"] is None or one["family"] != other["family"]:
        return False
    return {one["dropped"], other["dropped"]} <= {None, "alternate"}


def _read_edges(dataset: Path, asked: Collection[IdPair], most: int) -> tuple[list[IdPair], dict[IdPair, Row]]:
    """The recolours of nearest colours, and the edges of those and of the pairs `asked` for."""
    near, found = SmallestKeys(most), dict[IdPair, Row]()
    ids = pa.array(sorted({one for both in asked for one in both}), pa.string())
    for path in parquet.part_paths(dataset / "edges"):
        for edges in parquet.iter_batches(path, EDGES_SCHEMA.names, EDGES_PER_BATCH):
            known = edges.filter(pc.and_(pc.is_in(edges["a"], value_set=ids), pc.is_in(edges["b"], value_set=ids)))
            found |= {_id_pair(row["a"], row["b"]): row for row in known.to_pylist()}
            recolours = edges.filter(pc.equal(edges["kind"], "alternate"))
            nearest = recolours.take(pc.sort_indices(recolours, NEAREST_FIRST)[:most]).to_pylist()
            found |= {_id_pair(row["a"], row["b"]): row for row in nearest}
            near.add((row["color_distance"], *_id_pair(row["a"], row["b"])) for row in nearest)
            held = {(one, other) for _, one, other in near.keys} | set(asked)
            found = {both: row for both, row in found.items() if both in held}
    return [(one, other) for _, one, other in near.keys], found


@dataclass
class _Rows:
    by_id: dict[str, Row] = field(default_factory=dict)
    copies: dict[str, tuple[list[str], int]] = field(default_factory=dict)
    """Some paths of further files with the same bytes, and how many there are."""
    members: dict[int, SmallestKeys] = field(default_factory=dict)
    """(whether an alternate, id) of some kept members, by the number of the family."""


def _rows(dataset: Path, ids: Collection[str], families: Iterable[int], most: int) -> _Rows:
    """Of a second pass over the manifest: the rows of the chosen pictures, and some of each chosen family."""
    told = _Rows(members={number: SmallestKeys(most) for number in families})
    wanted = pa.array(sorted(ids), pa.string())
    for table in parquet.iter_parts(dataset / "manifest", EXAMPLE_COLUMNS):
        related = [family is not None and family_hash(family) in told.members for family in table["family"].to_pylist()]
        chosen = pc.or_(pc.is_in(table["id"], value_set=wanted), pa.array(related, pa.bool_()))
        for row in table.filter(chosen).to_pylist():
            if _offer_member(told, row) or row["id"] in ids:
                _put(told, row)
    return told


def _offer_member(told: _Rows, row: Row) -> bool:
    """Whether a row is among the members to be shown of a chosen family."""
    members = told.members.get(family_hash(row["family"])) if row["family"] and row["dropped"] is None else None
    if members is None:
        return False
    key = (row["role"] == "alternate", row["id"])
    members.add([key])
    return key in members.keys


def _put(told: _Rows, row: Row) -> None:
    """Of byte copies, the one that stands for the picture is put, and the others' paths."""
    row["told"] = [tag for tag in row["tags"] if not tag.startswith(INVISIBLE_TAG_PREFIXES)]
    held = told.by_id.setdefault(row["id"], row)
    if held is row:
        return
    if held["role"] == "duplicate" and row["role"] != "duplicate":
        told.by_id[row["id"]], row = row, held
    paths, count = told.copies.get(row["id"], ([], 0))
    told.copies[row["id"]] = ([*paths, row["path"]][:MAX_COPY_PATHS], count + 1)


def _wanted(shown: ReportExamples, lines: list[str]) -> dict[str, set[str]]:
    """Columns of pairs by id."""
    wanted: dict[str, set[str]] = defaultdict(lambda: {"color"})
    for row in shown.any:
        wanted[row["id"]].update(f"line_{line}" for line in lines)
    for row in (row for rows in shown.worst.values() for row in rows):
        wanted[row["id"]].add(f"line_{lines[0]}")
    couples = [row for both in (*shown.copies, *shown.recolours) for row in (both.one, both.other)]
    members = [row for family in shown.families for row in family.members]
    for row in (*couples, *members, *(twins.row for twins in shown.twins)):
        wanted[row["id"]].add("color")
    return wanted


def _read_thumbnails(dataset: Path, wanted: Mapping[str, Collection[str]]) -> Iterator[tuple[tuple[str, str], str]]:
    parts, ids = parquet.part_paths(dataset / "pairs"), sorted(wanted)
    shown: dict[int, dict[int, str]] = defaultdict(dict)
    for key, (part, row) in zip(ids, thumbnails.locate_pairs(parts, ids).tolist(), strict=True):
        shown[part][row] = key
    for part, places in shown.items():
        for column in sorted({column for key in places.values() for column in wanted[key]}):
            rows = [row for row, key in places.items() if column in wanted[key]]
            stored = parquet.read_table(parts[part], [column])[column].take(rows).to_pylist()
            yield from (
                ((places[row], column), _thumbnail(places[row], png)) for row, png in zip(rows, stored, strict=True)
            )


def _thumbnail(key: str, png: bytes) -> str:
    """A stored square as a data: address of at most 128 px, WebP."""
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise DamagedError(f"the pair of {key} holds no picture: run `curate verify`")
    if len(decoded) > THUMBNAIL_SIDE_PX:
        decoded = cv2.resize(decoded, (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode(".webp", decoded, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    if not done:
        raise MemoryError("OpenCV could not encode a WebP")
    return f"data:image/webp;base64,{base64.b64encode(encoded.tobytes()).decode()}"
