"""Which of many hashes are within a radius of any of a few: one pass of the many past tables of the few.

Pigeonhole with probing, as in bands.py, but here it is the few that are written into every bucket that is probed for
them: each of the many looks into one bucket a band, a vector of which is compared at once, and none of them is sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.jit import compiled
from curate.search.bucket_join import HASH_BITS, Hashes
from curate.search.multi_index import Bands, balanced_bands, cheapest_band_count, probes_per_band
from curate.search.simd import LANES, any_near

Mask = npt.NDArray[np.bool_]

MAX_BUCKET_HASHES = (
    1 << 10
)  # hashes in a bucket from which all pass that look into it: they are left to the search, which splits it
CACHE_BYTES = 1 << 21  # bytes: what is larger is not kept beside the processor
LOOKUP_NS, COMPARE_NS, WRITE_NS = (
    2.5,
    0.25,
    2.0,
)  # nanoseconds to look into a bucket, to meet one hash there, and to write one
UNCACHED_LOOKUP_NS, UNCACHED_WRITE_NS = 8.5, 5.0  # the same in a table that is larger than the cache
FULL_SEARCH_NS = 45.0  # nanoseconds that a search without this takes for each of the many, to sort them band by band


@dataclass(frozen=True)
class BucketTable:
    """What of the few is met in the buckets of one band."""

    left_shift: np.uint64
    """Bits that lie before the band's."""
    right_shift: np.uint64
    """Bits of a hash that are not the band's."""
    members: Hashes
    """(n + 2 LANES,) dealt hashes, bucket by bucket; the last ones so that vectors may reach beyond the last bucket."""
    starts: npt.NDArray[np.int32]
    """(keys + 1,) places in `members` where each key's begin."""
    several_vectors: bool
    """Whether most buckets hold more than one vector."""

    @staticmethod
    def of(dealt: Hashes, bands: Bands, band: int) -> BucketTable:
        """Of the few, dealt: each with every key that is probed for it."""
        width, masks = bands.widths[band], bands.probe_masks(band)
        left, right = np.uint64(bands.offsets[band]), np.uint64(HASH_BITS - width)
        members, starts = _fill_buckets(dealt, left, right, masks, np.int64(1) << width)
        return BucketTable(left, right, members, starts, several_vectors=len(dealt) * len(masks) > LANES << width)


def near_any_mask(hashes: Hashes, few: Hashes, radius: int) -> Mask:
    """Which of the hashes (n,) are at most `radius` bits from any of a few (m,), and some that lie in too full buckets.

    Beside 8 bytes for each of the many, one band's table is held.
    """
    near = np.zeros(len(hashes), np.bool_)
    if not len(few) or not len(hashes):
        return near
    bands = balanced_bands(hashes, radius, _cheapest_band_count(len(hashes), len(few), radius))
    rows, dealt = bands.permute(hashes), bands.permute(few)
    for band, reach in enumerate(bands.radii):
        if reach >= 0:
            _mark(near, rows, BucketTable.of(dealt, bands, band), radius)
    return near


def is_worthwhile(rows: int, few: int, radius: int) -> bool:
    """Whether a few of so many rows, and those near them, are told from the others in less time than all are sorted."""
    return _cost(rows, few, radius, _cheapest_band_count(rows, few, radius)) < FULL_SEARCH_NS * (rows - few)


def _mark(near: Mask, rows: Hashes, table: BucketTable, radius: int) -> None:
    """Set `near` (n,) where dealt hashes are near one that they meet in a table."""
    limits = np.uint64(radius), np.uint64(MAX_BUCKET_HASHES)
    _scan(rows, table.members, table.starts, table.left_shift, table.right_shift, table.several_vectors, *limits, near)


def _cheapest_band_count(rows: int, few: int, radius: int) -> int:
    """The number of bands in which a pass takes least time."""
    return cheapest_band_count(radius, lambda count: _cost(rows, few, radius, count))


def _cost(rows: int, few: int, radius: int, count: int) -> float:
    """Nanoseconds of a pass in so many bands."""
    width, told = HASH_BITS / count, 0.0
    for probes in filter(None, probes_per_band(radius, count)):
        written = few * probes
        far = 8 * written + 4 * 2**width > CACHE_BYTES
        told += rows * ((UNCACHED_LOOKUP_NS if far else LOOKUP_NS) + COMPARE_NS * written / 2**width)
        told += (UNCACHED_WRITE_NS if far else WRITE_NS) * written
    return told


@compiled
def _fill_buckets(dealt: Any, left: Any, right: Any, masks: Any, keys: Any) -> Any:
    """The members and starts of a table: counted, then put where their bucket ends, from behind."""
    starts = np.zeros(keys + 1, np.int32)
    for one in dealt:
        for mask in masks:
            starts[np.int64((one << left) >> right ^ mask)] += 1
    starts = np.cumsum(starts).astype(np.int32)
    members = np.full(len(dealt) * len(masks) + 2 * LANES, dealt[0])
    for one in dealt:
        for mask in masks:
            key = np.int64((one << left) >> right ^ mask)
            starts[key] -= 1
            members[starts[key]] = one
    return members, starts


@compiled
def _scan(
    dealt: Any, members: Any, starts: Any, left: Any, right: Any, wide: Any, radius: Any, full: Any, near: Any
) -> None:
    """Mark the dealt hashes (n,) that are near a member of their bucket, or whose bucket is too full.

    The first vectors are compared without a look at how many members there are: a branch that is guessed wrong takes
    longer. Those of the next buckets are met along with them, which does no harm: near is near.
    """
    one_vector, two_vectors = np.uint64(LANES), np.uint64(2 * LANES)
    stride = two_vectors if wide else one_vector
    for row in range(len(dealt)):
        one = dealt[row]
        key = np.int64((one << left) >> right)
        at, end = np.uint64(starts[key]), np.uint64(starts[key + 1])
        found = any_near(one, members, at, radius)
        if wide:
            found |= any_near(one, members, at + one_vector, radius)
        at += stride
        while at < end:
            if end - at > full:
                found = True
                break
            found |= any_near(one, members, at, radius)
            if wide:
                found |= any_near(one, members, at + one_vector, radius)
            at += stride
        near[row] |= found
