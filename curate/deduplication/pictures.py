"""Records -> the distinct pictures among them, with what they are compared by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.search import hamming
from curate.signatures.phash import GRID
from curate.signatures.variants import SLANTED, Variant
from curate.tags.normalize import unique

EMPTY = 0.995  # a hash of a picture emptier than this says nothing
GRID_NUMBERS = 3 * GRID * GRID
COLUMNS = (
    *("id", "source", "path", "bytes", "tags", "score", "width", "height", "search_hashes", "line_hash"),
    *("outline_hash", "edge_hash", "emptiness", "format", "dropped"),
)
LOSSLESS = frozenset({"png", "bmp", "tiff", "gif"})

Row = dict[str, Any]
Numbers = npt.NDArray[np.int64]
"""(m,) indices of pictures."""
Worth = tuple[Any, ...]
"""Sort key of a picture, best first."""

RULES: dict[str, Callable[[Row], float]] = {
    "pixels": lambda row: -row["width"] * row["height"],
    "bytes": lambda row: -row["bytes"],
    "tags": lambda row: -len(row["tags"]),
    "score": lambda row: float("inf") if row["score"] is None else -row["score"],
    "first": lambda row: row["added"],
}
"""What makes a picture the survivor of its duplicates: the least number; then most pixels, most tags, path."""


@dataclass(frozen=True)
class Pictures:
    """Distinct readable pictures, one an id, in the order they were added; all fields are aligned."""

    ids: list[str]
    copies: list[list[int]]
    """Rows of the records that are this picture, best first."""
    tags: list[tuple[str, ...]]
    """Tags of all copies."""
    worth: list[Worth]
    hashes: dict[str, list[str | None]]
    """By search; None where the hash says nothing."""
    variants: list[list[int]]
    """Hashes of the trimmed picture as it is and in the variants that copies are sought in; none where it is empty."""
    lossless: list[tuple[int, int] | None]
    """Width and height of pictures stored without loss, None for others."""
    colors: npt.NDArray[np.float32]
    """(n, 192) colour signatures."""

    def all_comparable(self, a: Numbers, b: Numbers) -> npt.NDArray[np.bool_]:
        """(m,) whether both of each pair are stored without loss and of one size: no encoding explains a difference."""
        sizes = self._sizes
        return np.asarray((sizes[a, 0] >= 0) & (sizes[a] == sizes[b]).all(axis=1), np.bool_)

    @cached_property
    def _sizes(self) -> npt.NDArray[np.int64]:
        return np.array([(-1, -1) if one is None else one for one in self.lossless], np.int64).reshape(-1, 2)

    def bits(self, a: int, b: int) -> int:
        """Least Hamming distance of one trimmed picture to the other or a variant of it; 64 if either is empty."""
        return int(self.all_bits(np.array([a]), np.array([b]))[0])

    def all_bits(self, a: Numbers, b: Numbers) -> npt.NDArray[np.int32]:
        """(m,) `bits` of each pair."""
        table, told = self._table
        ways = [
            np.bitwise_count(table[one, :1] ^ table[other]).min(axis=1, initial=64) for one, other in ((a, b), (b, a))
        ]
        return np.where(told[a] & told[b], np.minimum(*ways), hamming.BITS).astype(np.int32)

    @cached_property
    def _table(self) -> tuple[hamming.Hashes, hamming.Mask]:
        """`variants` (n, variants), 0 where there are none; and where there are some."""
        told = np.array([bool(one) for one in self.variants], np.bool_)
        width = max(map(len, self.variants), default=0)
        return np.array([one or [0] * width for one in self.variants], np.uint64).reshape(len(told), width), told

    def places(self) -> dict[str, int]:
        """Index by id."""
        return {key: number for number, key in enumerate(self.ids)}


def gather(
    records: pa.Table,
    variants: Sequence[Variant] = SLANTED,
    *,
    rule: str = "pixels",
    retagged: Mapping[str, tuple[str, ...]] | None = None,
) -> Pictures:
    """The distinct pictures of records; rows that extract dropped take no part.

    Copies are sought in `variants` too, in the order of curate.signatures.variants. `rule` names what decides the worth
    of a picture first; `retagged` are tags by id that people put in place of the sidecars'.
    """
    rows = records.select(COLUMNS).to_pylist()
    copies: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        row["added"] = number
        if row["dropped"] is None:
            copies.setdefault(row["id"], []).append(number)
    first = pa.array([numbers[0] for numbers in copies.values()], pa.int64())
    for numbers in copies.values():
        numbers.sort(key=lambda number: _worth(rows[number], rule))
    best = [rows[numbers[0]] for numbers in copies.values()]
    merged = [unique(tag for number in numbers for tag in rows[number]["tags"]) for numbers in copies.values()]
    if retagged:
        merged = [retagged.get(key, own) for key, own in zip(copies, merged, strict=True)]
    flat = records["color_grid"].combine_chunks().take(first).flatten().to_numpy(zero_copy_only=False)
    told = [row["emptiness"] < EMPTY for row in best]
    found = {"trimmed": [row["search_hashes"][0] for row in best], "line": [row["line_hash"] for row in best]}
    found |= {"outline": [row["outline_hash"] for row in best], "edge": [row["edge_hash"] for row in best]}
    return Pictures(
        ids=list(copies),
        copies=list(copies.values()),
        tags=merged,
        worth=[_worth(row, rule) for row in best],
        lossless=[(row["width"], row["height"]) if row["format"] in LOSSLESS else None for row in best],
        hashes={name: [h if t else None for h, t in zip(column, told, strict=True)] for name, column in found.items()},
        variants=[
            [int(h, 16) for h in row["search_hashes"][: 1 + len(variants)]] if t else []
            for row, t in zip(best, told, strict=True)
        ],
        colors=flat.reshape(len(best), GRID_NUMBERS).astype(np.float32),
    )


def joined(one: Pictures, other: Pictures) -> Pictures:
    """Both after one another, to be searched as one; what `copies` and `worth` say is each one's own."""
    return Pictures(
        ids=one.ids + other.ids,
        copies=one.copies + other.copies,
        tags=one.tags + other.tags,
        worth=one.worth + other.worth,
        hashes={name: one.hashes[name] + other.hashes[name] for name in one.hashes},
        variants=one.variants + other.variants,
        lossless=one.lossless + other.lossless,
        colors=np.concatenate([one.colors, other.colors]),
    )


def _worth(row: Row, rule: str) -> Worth:
    ties = (RULES["pixels"](row), RULES["tags"](row), row["source"], row["path"])
    return (RULES[rule](row), *ties)
