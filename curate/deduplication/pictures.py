"""Records -> the distinct pictures among them, with what they are compared by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.deduplication.options import SURVIVOR_RULES, PictureRow
from curate.hash_search import hamming
from curate.signatures.color_grid import COLOR_GRID_SIDE
from curate.signatures.orientations import SLANTS, Orientation
from curate.tags.normalize import unique_tags

MAX_EMPTINESS = 0.995  # the hashes of an emptier picture say nothing
GRID_NUMBERS = 3 * COLOR_GRID_SIDE * COLOR_GRID_SIDE
PICTURE_COLUMNS = tuple(name for name in PictureRow.__annotations__ if name != "added")
LOSSLESS_FORMATS = frozenset({"png", "bmp", "tiff", "gif"})

PictureIndices = npt.NDArray[np.int64]
"""(m,) indices of pictures."""
SurvivorKey = tuple[Any, ...]
"""Sort key of a picture, best first."""


@dataclass(frozen=True)
class Pictures:
    """Distinct readable pictures, one for each id, in the order they were added; all fields are aligned."""

    ids: list[str]
    record_rows: list[list[int]]
    """Row numbers of the records that are this picture, best first."""
    tags: list[tuple[str, ...]]
    """Tags of all its byte copies."""
    survivor_keys: list[SurvivorKey]
    hashes_by_search: dict[str, list[str | None]]
    """Hashes by name of the search; None where the hash says nothing."""
    orientation_hashes: list[list[int]]
    """Hashes of the trimmed picture as stored, then in each orientation; an empty list for an empty picture."""
    lossless_sizes: list[tuple[int, int] | None]
    """Width and height of pictures stored without loss, None for others."""
    color_grids: npt.NDArray[np.float32]
    """(n, 192) colour signatures."""

    def are_comparable(self, a: PictureIndices, b: PictureIndices) -> npt.NDArray[np.bool_]:
        """(m,) whether both of each pair are lossless and of one size, so that no encoding explains a difference."""
        sizes = self._sizes
        return np.asarray((sizes[a, 0] >= 0) & (sizes[a] == sizes[b]).all(axis=1), np.bool_)

    @cached_property
    def _sizes(self) -> npt.NDArray[np.int64]:
        return np.array([(-1, -1) if size is None else size for size in self.lossless_sizes], np.int64).reshape(-1, 2)

    def hash_distance(self, a: int, b: int) -> int:
        """Least Hamming distance between one trimmed picture and the other in any orientation; 64 if one is empty."""
        return int(self.hash_distances(np.array([a]), np.array([b]))[0])

    def hash_distances(self, a: PictureIndices, b: PictureIndices) -> npt.NDArray[np.int32]:
        """(m,) `hash_distance` of each pair."""
        table, has_hashes = self._orientation_table
        both_ways = [
            np.bitwise_count(table[stored, :1] ^ table[turned]).min(axis=1, initial=64)
            for stored, turned in ((a, b), (b, a))
        ]
        return np.where(has_hashes[a] & has_hashes[b], np.minimum(*both_ways), hamming.HASH_BITS).astype(np.int32)

    @cached_property
    def _orientation_table(self) -> tuple[hamming.Hashes, hamming.Mask]:
        """`orientation_hashes` as (n, orientations), 0 for empty pictures; and (n,) whether a picture has any."""
        has_hashes = np.array([bool(hashes) for hashes in self.orientation_hashes], np.bool_)
        width = max(map(len, self.orientation_hashes), default=0)
        table = np.array([hashes or [0] * width for hashes in self.orientation_hashes], np.uint64)
        return table.reshape(len(has_hashes), width), has_hashes

    def index_by_id(self) -> dict[str, int]:
        """Index of each picture by id."""
        return {picture_id: index for index, picture_id in enumerate(self.ids)}


def gather_pictures(
    records: pa.Table,
    orientations: Sequence[Orientation] = SLANTS,
    *,
    survivor_rule: str = "pixels",
    corrected_tags: Mapping[str, tuple[str, ...]] | None = None,
) -> Pictures:
    """The distinct pictures of records, without those that extract dropped.

    `orientations` are those in which copies are searched for, a prefix of `signatures.orientations.ORIENTATIONS`.
    `survivor_rule` is a name in SURVIVOR_RULES. `corrected_tags`, by id, replace the tags of the sidecars.
    """
    rows = _picture_rows(records)
    copies: dict[str, list[PictureRow]] = {}
    for row in rows:
        copies.setdefault(row["id"], []).append(row)
    first_rows = pa.array([same[0]["added"] for same in copies.values()], pa.int64())
    for same in copies.values():
        same.sort(key=lambda row: _survivor_key(row, survivor_rule))
    best = [same[0] for same in copies.values()]
    tags = [unique_tags(tag for row in same for tag in row["tags"]) for same in copies.values()]
    if corrected_tags:
        tags = [corrected_tags.get(picture_id, own) for picture_id, own in zip(copies, tags, strict=True)]
    grids = records["color_grid"].combine_chunks().take(first_rows).flatten().to_numpy(zero_copy_only=False)
    return Pictures(
        ids=list(copies),
        record_rows=[[row["added"] for row in same] for same in copies.values()],
        tags=tags,
        survivor_keys=[_survivor_key(row, survivor_rule) for row in best],
        lossless_sizes=[(row["width"], row["height"]) if row["format"] in LOSSLESS_FORMATS else None for row in best],
        hashes_by_search=_hashes_by_search(best),
        orientation_hashes=[
            [] if _is_empty(row) else [int(text, 16) for text in row["search_hashes"][: 1 + len(orientations)]]
            for row in best
        ],
        color_grids=grids.reshape(len(best), GRID_NUMBERS).astype(np.float32),
    )


def _picture_rows(records: pa.Table) -> list[PictureRow]:
    rows: list[PictureRow] = records.select(PICTURE_COLUMNS).to_pylist()
    for number, row in enumerate(rows):
        row["added"] = number
    return [row for row in rows if row["dropped"] is None]


def _hashes_by_search(rows: Sequence[PictureRow]) -> dict[str, list[str | None]]:
    return {
        "trimmed": [None if _is_empty(row) else row["search_hashes"][0] for row in rows],
        "line": [None if _is_empty(row) else row["line_hash"] for row in rows],
        "outline": [None if _is_empty(row) else row["outline_hash"] for row in rows],
        "edge": [None if _is_empty(row) else row["edge_hash"] for row in rows],
    }


def _is_empty(row: PictureRow) -> bool:
    return row["emptiness"] >= MAX_EMPTINESS


def _survivor_key(row: PictureRow, rule: str) -> SurvivorKey:
    ties = (SURVIVOR_RULES["pixels"](row), SURVIVOR_RULES["tags"](row), row["source"], row["path"])
    return (SURVIVOR_RULES[rule](row), *ties)


def concatenate_pictures(first: Pictures, second: Pictures) -> Pictures:
    """Both in one, to be searched together. Their `record_rows` and `survivor_keys` do not compare with one another."""
    return Pictures(
        ids=first.ids + second.ids,
        record_rows=first.record_rows + second.record_rows,
        tags=first.tags + second.tags,
        survivor_keys=first.survivor_keys + second.survivor_keys,
        hashes_by_search={
            name: hashes + second.hashes_by_search[name] for name, hashes in first.hashes_by_search.items()
        },
        orientation_hashes=first.orientation_hashes + second.orientation_hashes,
        lossless_sizes=first.lossless_sizes + second.lossless_sizes,
        color_grids=np.concatenate([first.color_grids, second.color_grids]),
    )
