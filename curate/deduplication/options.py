"""Options of `curate dedupe`, and their defaults. Standard library only, so that the command line can read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from curate.deduplication.family_split import SplitShares
from curate.system.errors import NurieError


class PictureRow(TypedDict):
    """What dedupe reads of a record that was not dropped, and the record's place."""

    id: str
    source: str
    path: str
    bytes: int
    tags: Sequence[str]
    score: int | None
    width: int
    height: int
    search_hashes: list[str]
    line_hash: str | None
    outline_hash: str | None
    edge_hash: str | None
    emptiness: float
    format: str
    dropped: str | None
    added: int
    """Row number among all records."""


SURVIVOR_RULES: dict[str, Callable[[PictureRow], float]] = {
    "pixels": lambda row: -row["width"] * row["height"],
    "bytes": lambda row: -row["bytes"],
    "tags": lambda row: -len(row["tags"]),
    "score": lambda row: float("inf") if row["score"] is None else -row["score"],
    "first": lambda row: row["added"],
}
"""What makes a picture the survivor of its duplicates: the lowest number. Ties go to most pixels, most tags, path."""


@dataclass(frozen=True)
class DedupeOptions:
    """Everything that decides the manifest."""

    max_distance: int = 8
    """Two pictures can be duplicates if their hashes differ in at most so many bits."""
    drop_alternates: bool = False
    """Keep one picture of each family."""
    mirror: bool = False
    """Also search for copies that are mirrored or turned by 90, 180 or 270 degrees."""
    shares: SplitShares = field(default_factory=SplitShares)
    survivor: str = "pixels"
    """The rule that decides which of several duplicates is kept: a name in SURVIVOR_RULES."""

    def __post_init__(self) -> None:
        if self.survivor not in SURVIVOR_RULES:
            raise NurieError(f"no survivor rule {self.survivor!r}: choose from {', '.join(SURVIVOR_RULES)}")
