"""What the page is told, as OpenAPI describes it, and how it is made of a dataset's rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.browsing.catalog import Row
from curate.browsing.live_dataset import DatasetView
from curate.dataset.decisions import UNDO
from curate.dataset.ids import RowNumbers
from curate.dataset.rows import DecisionRowWithState

TILE_COLUMNS = ("id", "source", "path", "role", "group", "duplicate_of", "distance", "family", "dropped", "error")


@dataclass(frozen=True)
class DatasetInfo:
    """What the page is of."""

    name: str
    pictures: int
    judged: bool
    """Whether dedupe has been run."""
    waiting: int
    """Decisions that wait for the next dedupe."""
    layers: list[str]
    """Stored pictures of each: `color`, and `line_METHOD` for each style."""
    orders: list[str]
    family_orders: list[str]


@dataclass(frozen=True)
class Tile:
    """A row of the manifest, in a list."""

    id: str | None
    source: str
    path: str
    role: str | None
    group: str | None
    duplicate_of: str | None
    distance: int | None
    family: str | None
    dropped: str | None
    error: str | None
    stored: bool
    """Whether there are pixels of it."""
    decided: list[str]
    """Kinds of the decisions about it that hold."""


@dataclass(frozen=True)
class PicturePage:
    """One page of what a filter finds."""

    total: int
    rows: list[Tile]
    tags: list[tuple[str, int]]
    """The commonest of all that was found."""
    roles: dict[str, int]
    dropped: dict[str, int]
    """By reason; `none` are kept."""
    unknown: dict[str, list[str]]
    """Words that no picture has, each with the likeliest meant."""
    problem: str
    """What is wrong with the filter, for whom typed it; then nothing is found."""


@dataclass(frozen=True)
class FamilyTiles:
    """Pictures that look alike: the first of them survives."""

    id: str
    size: int
    members: list[Tile]
    """The first of them."""


@dataclass(frozen=True)
class FamilyPage:
    """One page of the families of which a filter finds a picture."""

    total: int
    families: list[FamilyTiles]
    unknown: dict[str, list[str]]
    problem: str


@dataclass(frozen=True)
class LookAlike:
    """A verified look-alike of a picture."""

    tile: Tile
    kind: str
    distance: int
    color_distance: float
    line_difference: float


@dataclass(frozen=True)
class DecisionRow:
    """A row of `decisions/`. `holds`: it is in force; `waits`: the manifest does not follow it yet."""

    sequence: int
    kind: str
    a: str | None
    b: str | None
    tags: list[str] | None
    holds: bool
    waits: bool
    paths: list[str]
    """Of a and b."""


@dataclass(frozen=True)
class DecisionPage:
    """One page of what people decided, the last first."""

    total: int
    rows: list[DecisionRow]


@dataclass(frozen=True)
class PictureDetails:
    """All that is known of a picture."""

    tile: Tile
    columns: dict[str, Any]
    copies: list[str]
    """Paths of the files with the same bytes."""
    tags: list[str]
    own_tags: list[str]
    given_tags: list[str] | None
    """By people, in place of its own."""
    looks: list[LookAlike]
    look_alikes: int
    """How many there are, of which `looks` are the nearest."""
    decisions: list[DecisionRow]
    story: list[str]


def to_tiles(seen: DatasetView, rows: RowNumbers) -> list[Tile]:
    """Rows as a list shows them."""
    decided = seen.decisions.kinds_by_id
    return [
        Tile(**row, stored=seen.pictures.has(row["id"]), decided=sorted(decided.get(row["id"] or "", ())))
        for row in seen.catalog.read_rows(rows, TILE_COLUMNS)
    ]


def to_look_alikes(seen: DatasetView, found: Iterable[Row]) -> list[LookAlike]:
    """Look-alikes, as `Catalog.looks` finds them, with their tiles; not those that are gone."""
    known = [(look, rows[0]) for look in found if len(rows := seen.catalog.rows_of_id(look["id"]))]
    told = to_tiles(seen, np.array([row for _, row in known], np.int64))
    names = ("kind", "distance", "color_distance", "line_difference")
    return [
        LookAlike(tile, **{name: look[name] for name in names}) for tile, (look, _) in zip(told, known, strict=True)
    ]


def to_decision_row(seen: DatasetView, row: DecisionRowWithState) -> DecisionRow:
    """A row of `decisions/` with `holds`, and what became of it."""
    keys = [key for key in (row["a"], row["b"]) if key and row["kind"] != UNDO]
    paths = [seen.catalog.path_of_id(key) or "" for key in keys]
    waits = row["sequence"] >= len(seen.decisions.rows) - seen.pending
    tags = None if row["tags"] is None else list(row["tags"])
    return DecisionRow(row["sequence"], row["kind"], row["a"], row["b"], tags, row["holds"], waits, paths)
