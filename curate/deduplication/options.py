"""Options of `curate dedupe`, and their defaults. Standard library only, so that the command line can read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from curate.deduplication.split import SplitShares
from curate.system.errors import NurieError

SURVIVOR_RULES: dict[str, Callable[[dict[str, Any]], float]] = {
    "pixels": lambda row: -row["width"] * row["height"],
    "bytes": lambda row: -row["bytes"],
    "tags": lambda row: -len(row["tags"]),
    "score": lambda row: float("inf") if row["score"] is None else -row["score"],
    "first": lambda row: row["added"],
}
"""What makes a picture the survivor of its duplicates: the least number; then most pixels, most tags, path."""


@dataclass(frozen=True)
class DedupeOptions:
    """What decides the manifest."""

    max_distance: int = 8
    """Bits within which two pictures may be duplicates."""
    drop_alternates: bool = False
    """Keep one picture a family."""
    mirror: bool = False
    """Seek copies that are mirrored or on their side, too."""
    shares: SplitShares = field(default_factory=SplitShares)
    survivor: str = "pixels"
    """Which of a set of duplicates is kept: a name of `pictures.RULES`."""

    def __post_init__(self) -> None:
        if self.survivor not in SURVIVOR_RULES:
            raise NurieError(f"no survivor rule {self.survivor!r}: there are {', '.join(SURVIVOR_RULES)}")
