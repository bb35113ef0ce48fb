"""The JSON objects that the server answers with, and how they are made from a dataset's rows.

OpenAPI describes them at /api/openapi.json.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.browsing.catalog import LookAlikeRow
from curate.browsing.live_dataset import DatasetView
from curate.dataset.decisions import UNDO
from curate.dataset.ids import RowNumbers
from curate.dataset.rows import DecisionRowWithState, ManifestRow

TILE_COLUMNS = ("id", "source", "path", "role", "group", "duplicate_of", "distance", "family", "dropped", "error")


@dataclass(frozen=True)
class DatasetInfo:
    """The dataset that the page shows."""

    name: str
    pictures: int
    judged: bool
    """Whether dedupe has been run."""
    waiting: int
    """Decisions that the next dedupe will apply."""
    layers: list[str]
    """What is stored of each picture: `color`, and `line_METHOD` for each style."""
    orders: list[str]
    family_orders: list[str]


@dataclass(frozen=True)
class Tile:
    """A row of the manifest as a list shows it."""

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
    """Whether its pixels are stored."""
    decided: list[str]
    """Kinds of the decisions about it that are in force."""


@dataclass(frozen=True)
class PicturePage:
    """One page of the pictures that match a filter."""

    total: int
    rows: list[Tile]
    tags: list[tuple[str, int]]
    """(tag, count) of the most common tags of all pictures that match."""
    roles: dict[str, int]
    dropped: dict[str, int]
    """Counts by reason; `none` is the kept pictures."""
    unknown: dict[str, list[str]]
    """Words of the filter that no picture has, each with similar tags."""
    problem: str
    """What is wrong with the filter; then nothing matches. Empty if it is valid."""


@dataclass(frozen=True)
class FamilyTiles:
    """A family of look-alikes."""

    id: str
    size: int
    members: list[Tile]
    """The first members, the survivor before all others."""


@dataclass(frozen=True)
class FamilyPage:
    """One page of the families in which a picture matches a filter."""

    total: int
    families: list[FamilyTiles]
    unknown: dict[str, list[str]]
    problem: str


@dataclass(frozen=True)
class LookAlike:
    """A verified look-alike of a picture; the numbers are those of `edges/`."""

    tile: Tile
    kind: str
    distance: int
    color_distance: float
    line_difference: float


@dataclass(frozen=True)
class DecisionRow:
    """A row of `decisions/` and its state."""

    sequence: int
    kind: str
    a: str | None
    b: str | None
    tags: list[str] | None
    holds: bool
    """Whether it is in force, and not undone."""
    waits: bool
    """Whether the manifest does not follow it yet."""
    paths: list[str]
    """Paths of a and b."""


@dataclass(frozen=True)
class DecisionPage:
    """One page of the decisions, the latest first."""

    total: int
    rows: list[DecisionRow]


@dataclass(frozen=True)
class PictureDetails:
    """Everything known about one picture."""

    tile: Tile
    columns: dict[str, Any]
    copies: list[str]
    """Paths of further files with the same bytes."""
    tags: list[str]
    own_tags: list[str]
    given_tags: list[str] | None
    """Tags that people gave it in place of its own."""
    looks: list[LookAlike]
    look_alikes: int
    """How many look-alikes there are; `looks` are the nearest."""
    decisions: list[DecisionRow]
    story: list[str]


def to_tiles(view: DatasetView, rows: RowNumbers) -> list[Tile]:
    """Rows of the manifest as tiles."""
    return [_to_tile(view, row) for row in view.catalog.read_rows(rows, TILE_COLUMNS)]


def _to_tile(view: DatasetView, row: ManifestRow) -> Tile:
    return Tile(
        id=row["id"],
        source=row["source"],
        path=row["path"],
        role=row["role"],
        group=row["group"],
        duplicate_of=row["duplicate_of"],
        distance=row["distance"],
        family=row["family"],
        dropped=row["dropped"],
        error=row["error"],
        stored=view.pictures.has(row["id"]),
        decided=sorted(view.decisions.kinds_by_id.get(row["id"] or "", ())),
    )


def to_look_alikes(view: DatasetView, look_alikes: Iterable[LookAlikeRow]) -> list[LookAlike]:
    """Look-alikes with their tiles, without those that have no row in the manifest any more."""
    present = [(row, rows[0]) for row in look_alikes if len(rows := view.catalog.rows_of_id(row["id"]))]
    tiles = to_tiles(view, np.array([number for _, number in present], np.int64))
    return [
        LookAlike(tile, row["kind"], row["distance"], row["color_distance"], row["line_difference"])
        for tile, (row, _) in zip(tiles, present, strict=True)
    ]


def to_decision_row(view: DatasetView, row: DecisionRowWithState) -> DecisionRow:
    """A decision with its paths, and whether the manifest follows it."""
    keys = [key for key in (row["a"], row["b"]) if key and row["kind"] != UNDO]
    paths = [view.catalog.path_of_id(key) or "" for key in keys]
    waits = row["sequence"] >= len(view.decisions.rows) - view.pending
    tags = None if row["tags"] is None else list(row["tags"])
    return DecisionRow(row["sequence"], row["kind"], row["a"], row["b"], tags, row["holds"], waits, paths)
