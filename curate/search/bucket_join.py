"""The inner loop of the duplicate search, compiled: rows of a band's table -> their partners in the buckets around."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.jit import compiled
from curate.search.simd import LANES, any_near

HASH_BITS = 64
Hashes = npt.NDArray[np.uint64]


@compiled
def popcount(value: Any) -> Any:
    """Number of ones in a uint64; what LLVM knows as the processor's instruction for it.

    Source: Warren, "Hacker's Delight" (2nd edition, 2012), figure 5-2.
    """
    value -= (value >> np.uint64(1)) & np.uint64(0x5555555555555555)
    value = (value & np.uint64(0x3333333333333333)) + ((value >> np.uint64(2)) & np.uint64(0x3333333333333333))
    value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((value * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def join_buckets(
    rows: Hashes,
    first: int,
    partners: Hashes,
    buckets: npt.NDArray[np.int32],
    shift: np.uint64,
    masks: Hashes,
    radius: int,
    own: bool,
    earlier: Hashes,
    radii: npt.NDArray[np.int64],
) -> Hashes:
    """Pairs (m, 2) of a row and a partner within the radius, whose keys differ by one of `masks`.

    `rows` begin at `first` of a sorted table, whose keys lie above `shift`; `buckets` are the places where each key's
    `partners` begin. If they are rows of one table, its `own`, each pair is met once. Pairs that are within `radii` in
    one of the bands `earlier` have been met there.
    """
    found = np.empty((1024, 2), np.uint64)
    count = row = 0
    while row < len(rows):  # rows of one key share the buckets around it
        key, stop = rows[row] >> shift, _stop(rows, row, shift)
        for mask in masks:
            other = key ^ mask
            if own and other < key:
                continue
            begin, end = np.int64(buckets[other]), np.int64(buckets[other + np.uint64(1)])
            if begin == end or (mask and not _any_within(rows, row, stop, partners, begin, end, radius)):
                continue
            for place in range(row, stop):
                one = rows[place]
                start = first + place + 1 if own and mask == 0 else begin
                if not _any_within(rows, place, place + 1, partners, start, end, radius):
                    continue
                for at in range(start, end):
                    unlike = one ^ partners[at]
                    if popcount(unlike) > radius or _met_in_earlier_band(unlike, earlier, radii):
                        continue
                    if count == len(found):
                        grown = np.empty((2 * count, 2), np.uint64)
                        grown[:count] = found
                        found = grown
                    found[count, 0], found[count, 1] = one, partners[at]
                    count += 1
        row = stop
    return found[:count]


@compiled
def _stop(rows: Any, row: Any, shift: Any) -> Any:
    """Where the rows of one key end that begin at `row`."""
    stop = row + 1
    while stop < len(rows) and rows[stop] >> shift == rows[row] >> shift:
        stop += 1
    return stop


@compiled
def _any_within(rows: Any, row: Any, stop: Any, partners: Any, start: Any, end: Any, radius: Any) -> Any:
    """Whether any of the rows from `row` to `stop` may be near any partner from `start` to `end`: no branch for each.

    Partners around these are compared along with them; in a table of fewer than `LANES`, all may be near.
    """
    if len(partners) < LANES:
        return True
    near, last = False, len(partners) - LANES
    for first in range(start, end, LANES):
        at = np.uint64(min(first, last))
        for place in range(row, stop):
            near |= any_near(rows[place], partners, at, np.uint64(radius))
    return near


@compiled
def _met_in_earlier_band(unlike: Any, earlier: Any, radii: Any) -> Any:
    for band in range(len(earlier)):  # noqa: SIM110  # compiled, a generator would be built for every pair
        if popcount(unlike & earlier[band]) <= radii[band]:
            return True
    return False


@compiled
def permute_bits(hashes: Any, tables: Any) -> Any:
    """Hashes (n,) with each byte replaced by what its row of `tables` (8, 256) has for it, all joined."""
    found = np.zeros(len(hashes), np.uint64)
    for row in range(len(hashes)):
        for byte in range(8):
            found[row] |= tables[byte, (hashes[row] >> np.uint64(8 * byte)) & np.uint64(255)]
    return found


@compiled
def bucket_starts(table: Any, shift: Any) -> Any:
    """(keys + 1,) int32 places in a sorted table (n,) where each key, the bits above `shift`, begins."""
    starts = np.zeros((1 << (64 - np.int64(shift))) + 1, np.int32)
    for row in range(len(table)):  # the last row of a key stays; to count them, each would wait for the one before
        starts[np.int64(table[row] >> shift) + 1] = row + 1
    for key in range(1, len(starts)):
        starts[key] = max(starts[key], starts[key - 1])
    return starts
