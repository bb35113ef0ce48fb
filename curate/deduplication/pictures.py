"""Records -> the distinct pictures among them, with what they are compared by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.deduplication.options import SURVIVOR_RULES
from curate.search import hamming
from curate.signatures.orientations import SLANTS, Orientation
from curate.signatures.phash import COLOR_GRID_SIDE
from curate.tags.normalize import unique_tags

MAX_EMPTINESS = 0.995  # a hash of a picture emptier than this says nothing
GRID_NUMBERS = 3 * COLOR_GRID_SIDE * COLOR_GRID_SIDE
PICTURE_COLUMNS = (
    *("id", "source", "path", "bytes", "tags", "score", "width", "height", "search_hashes", "line_hash"),
    *("outline_hash", "edge_hash", "emptiness", "format", "dropped"),
)
LOSSLESS = frozenset({"png", "bmp", "tiff", "gif"})

Row = dict[str, Any]
PictureIndices = npt.NDArray[np.int64]
"""(m,) indices of pictures."""
SurvivorKey = tuple[Any, ...]
"""Sort key of a picture, best first."""


@dataclass(frozen=True)
class Pictures:
    """Distinct readable pictures, one an id, in the order they were added; all fields are aligned."""

    ids: list[str]
    record_rows: list[list[int]]
    """Rows of the records that are this picture, best first."""
    tags: list[tuple[str, ...]]
    """Tags of all copies."""
    survivor_keys: list[SurvivorKey]
    hashes_by_search: dict[str, list[str | None]]
    """By search; None where the hash says nothing."""
    transform_hashes: list[list[int]]
    """Hashes of the trimmed picture as it is and in the variants that copies are sought in; none where it is empty."""
    lossless_sizes: list[tuple[int, int] | None]
    """Width and height of pictures stored without loss, None for others."""
    color_grids: npt.NDArray[np.float32]
    """(n, 192) colour signatures."""

    def are_comparable(self, a: PictureIndices, b: PictureIndices) -> npt.NDArray[np.bool_]:
        """(m,) whether both of each pair are stored without loss and of one size: no encoding explains a difference."""
        sizes = self._sizes
        return np.asarray((sizes[a, 0] >= 0) & (sizes[a] == sizes[b]).all(axis=1), np.bool_)

    @cached_property
    def _sizes(self) -> npt.NDArray[np.int64]:
        return np.array([(-1, -1) if one is None else one for one in self.lossless_sizes], np.int64).reshape(-1, 2)

    def hash_distance(self, a: int, b: int) -> int:
        """Least Hamming distance of one trimmed picture to the other or a variant of it; 64 if either is empty."""
        return int(self.hash_distances(np.array([a]), np.array([b]))[0])

    def hash_distances(self, a: PictureIndices, b: PictureIndices) -> npt.NDArray[np.int32]:
        """(m,) `bits` of each pair."""
        table, told = self._table
        ways = [
            np.bitwise_count(table[one, :1] ^ table[other]).min(axis=1, initial=64) for one, other in ((a, b), (b, a))
        ]
        return np.where(told[a] & told[b], np.minimum(*ways), hamming.HASH_BITS).astype(np.int32)

    @cached_property
    def _table(self) -> tuple[hamming.Hashes, hamming.Mask]:
        """`variants` (n, variants), 0 where there are none; and where there are some."""
        told = np.array([bool(one) for one in self.transform_hashes], np.bool_)
        width = max(map(len, self.transform_hashes), default=0)
        return np.array([one or [0] * width for one in self.transform_hashes], np.uint64).reshape(
            len(told), width
        ), told

    def index_by_id(self) -> dict[str, int]:
        """Index by id."""
        return {key: number for number, key in enumerate(self.ids)}


def gather_pictures(
    records: pa.Table,
    variants: Sequence[Orientation] = SLANTS,
    *,
    survivor_rule: str = "pixels",
    corrected_tags: Mapping[str, tuple[str, ...]] | None = None,
) -> Pictures:
    """The distinct pictures of records; rows that extract dropped take no part.

    Copies are sought in `variants` too, in the order of curate.signatures.variants. `rule` names what decides the worth
    of a picture first; `retagged` are tags by id that people put in place of the sidecars'.
    """
    rows = records.select(PICTURE_COLUMNS).to_pylist()
    copies: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        row["added"] = number
        if row["dropped"] is None:
            copies.setdefault(row["id"], []).append(number)
    first = pa.array([numbers[0] for numbers in copies.values()], pa.int64())
    for numbers in copies.values():
        numbers.sort(key=lambda number: _worth(rows[number], survivor_rule))
    best = [rows[numbers[0]] for numbers in copies.values()]
    merged = [unique_tags(tag for number in numbers for tag in rows[number]["tags"]) for numbers in copies.values()]
    if corrected_tags:
        merged = [corrected_tags.get(key, own) for key, own in zip(copies, merged, strict=True)]
    flat = records["color_grid"].combine_chunks().take(first).flatten().to_numpy(zero_copy_only=False)
    told = [row["emptiness"] < MAX_EMPTINESS for row in best]
    found = {"trimmed": [row["search_hashes"][0] for row in best], "line": [row["line_hash"] for row in best]}
    found |= {"outline": [row["outline_hash"] for row in best], "edge": [row["edge_hash"] for row in best]}
    return Pictures(
        ids=list(copies),
        record_rows=list(copies.values()),
        tags=merged,
        survivor_keys=[_worth(row, survivor_rule) for row in best],
        lossless_sizes=[(row["width"], row["height"]) if row["format"] in LOSSLESS else None for row in best],
        hashes_by_search={
            name: [h if t else None for h, t in zip(column, told, strict=True)] for name, column in found.items()
        },
        transform_hashes=[
            [int(h, 16) for h in row["search_hashes"][: 1 + len(variants)]] if t else []
            for row, t in zip(best, told, strict=True)
        ],
        color_grids=flat.reshape(len(best), GRID_NUMBERS).astype(np.float32),
    )


def concatenate_pictures(one: Pictures, other: Pictures) -> Pictures:
    """Both after one another, to be searched as one; what `copies` and `worth` say is each one's own."""
    return Pictures(
        ids=one.ids + other.ids,
        record_rows=one.record_rows + other.record_rows,
        tags=one.tags + other.tags,
        survivor_keys=one.survivor_keys + other.survivor_keys,
        hashes_by_search={
            name: one.hashes_by_search[name] + other.hashes_by_search[name] for name in one.hashes_by_search
        },
        transform_hashes=one.transform_hashes + other.transform_hashes,
        lossless_sizes=one.lossless_sizes + other.lossless_sizes,
        color_grids=np.concatenate([one.color_grids, other.color_grids]),
    )


def _worth(row: Row, rule: str) -> SurvivorKey:
    ties = (SURVIVOR_RULES["pixels"](row), SURVIVOR_RULES["tags"](row), row["source"], row["path"])
    return (SURVIVOR_RULES[rule](row), *ties)
