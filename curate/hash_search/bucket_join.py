"""The compiled inner loop of multi-index hashing: compare each row of a table with the buckets around its key."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.hash_search.array_types import HASH_BITS, Hashes, HashPairs, RotatedHashes
from curate.jit import compiled


@compiled
def popcount(value: Any) -> Any:
    """Return the number of ones in a uint64. LLVM turns this into the processor's own instruction.

    Source: Warren, "Hacker's Delight" (2nd edition, 2012), figure 5-2.
    """
    value -= (value >> np.uint64(1)) & np.uint64(0x5555555555555555)
    value = (value & np.uint64(0x3333333333333333)) + ((value >> np.uint64(2)) & np.uint64(0x3333333333333333))
    value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((value * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def join_buckets(
    rows: RotatedHashes,
    first_row: int,
    partners: RotatedHashes,
    starts: npt.NDArray[np.int32],
    shift: np.uint64,
    key_masks: Hashes,
    radius: int,
    within_one_table: bool,
    earlier_masks: Hashes,
    earlier_radii: npt.NDArray[np.int64],
) -> HashPairs:
    """Pairs (m, 2) of a row and a partner within the radius, whose keys differ by one of `key_masks`.

    `rows` are the rows of a sorted table from `first_row` on; the key of a hash is what lies above `shift`.
    `starts` is `bucket_starts` of the sorted `partners`. With `within_one_table`, `partners` is the table that the
    rows come from, and each pair is found once. Pairs that are near in an earlier band were found there and are left
    out: those with at most `earlier_radii` different bits under a mask of `earlier_masks`.
    """
    pairs = np.empty((1024, 2), np.uint64)
    count = 0
    for row in range(len(rows)):
        value = rows[row]
        key = value >> shift
        for mask in key_masks:
            bucket = key ^ mask
            if within_one_table and bucket < key:
                continue  # those pairs are found from the other row
            begin, end = np.int64(starts[bucket]), np.int64(starts[bucket + np.uint64(1)])
            if within_one_table and mask == 0:
                begin = np.int64(first_row + row + 1)
            for place in range(begin, end):
                difference = value ^ partners[place]
                if popcount(difference) > radius or _is_near_earlier(difference, earlier_masks, earlier_radii):
                    continue
                if count == len(pairs):
                    pairs = _with_double_capacity(pairs)
                pairs[count, 0], pairs[count, 1] = value, partners[place]
                count += 1
    return pairs[:count]


@compiled
def _is_near_earlier(difference: Any, masks: Any, radii: Any) -> Any:
    for band in range(len(masks)):  # noqa: SIM110  # compiled, a generator would be built for every pair
        if popcount(difference & masks[band]) <= radii[band]:
            return True
    return False


@compiled
def _with_double_capacity(pairs: Any) -> Any:
    larger = np.empty((2 * len(pairs), 2), np.uint64)
    larger[: len(pairs)] = pairs
    return larger


@compiled
def permute_bits(hashes: Any, byte_tables: Any) -> Any:
    """Permute the bits of hashes (n,): the OR of what `byte_tables` (8, 256) holds for each of their bytes."""
    permuted = np.zeros(len(hashes), np.uint64)
    for row in range(len(hashes)):
        for byte in range(8):
            permuted[row] |= byte_tables[byte, (hashes[row] >> np.uint64(8 * byte)) & np.uint64(255)]
    return permuted


@compiled
def bucket_starts(table: Any, shift: Any) -> Any:
    """(keys + 1,) int32: the place in a sorted table (n,) where each key begins; a key is what lies above `shift`."""
    starts = np.zeros((1 << (HASH_BITS - np.int64(shift))) + 1, np.int32)
    for row in range(len(table)):  # the last row of a key wins; counting would make each step wait for the last
        starts[np.int64(table[row] >> shift) + 1] = row + 1
    for key in range(1, len(starts)):
        starts[key] = max(starts[key], starts[key - 1])
    return starts
