"""All pairs of 64-bit hashes within a Hamming radius, complete, without comparing every pair."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Pairs = npt.NDArray[np.int64]
"""(n, 2) int64: indices a < b."""
Mask = npt.NDArray[np.bool_]

BITS = 64
BLOCK = 1 << 22  # pairs compared at once: bounds memory where many hashes share a band


def parse(hashes: list[str]) -> Hashes:
    """16 hex digits each -> (n,) uint64."""
    return np.array([int(one, 16) for one in hashes], np.uint64)


def distance(a: Hashes, b: Hashes) -> npt.NDArray[np.uint8]:
    """Bits that differ, element by element."""
    return np.asarray(np.bitwise_count(a ^ b), np.uint8)


def near_pairs(hashes: Hashes, radius: int, fresh: Mask | None = None) -> Pairs:
    """Every pair of `hashes` (n,) at most `radius` bits apart, as (m, 2) indices a < b in lexical order.

    With `fresh`, a (n,) mask, only the pairs of which either is fresh, at a cost in proportion to those. Pigeonhole
    (Norouzi, Punjani, Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014): cut 64 bits into
    radius + 1 bands, and two hashes within `radius` agree in one band whole. Equal hashes are joined once, by their
    distinct values.
    """
    fresh = np.ones(len(hashes), np.bool_) if fresh is None else fresh
    values, inverse = np.unique(hashes, return_inverse=True)
    sought = np.zeros(len(values), np.bool_)
    sought[inverse[fresh]] = True
    found = [_within(values, pairs, radius) for pairs in _candidates(values, sought, radius + 1)]
    distinct = np.unique(np.concatenate(found), axis=0) if found else np.empty((0, 2), np.int64)
    pairs = _spread(distinct, inverse, sought)
    return pairs[fresh[pairs].any(axis=1)]


def _candidates(values: Hashes, sought: Mask, bands: int) -> Iterator[Pairs]:
    """Pairs that agree in a band and of which one is sought."""
    edges = [BITS * band // bands for band in range(bands + 1)]
    for low, high in pairwise(edges):
        mask = np.uint64((1 << (high - low)) - 1)
        keys = (values >> np.uint64(low)) & mask
        rows = np.flatnonzero(np.isin(keys, keys[sought]))
        order = rows[np.lexsort((~sought[rows], keys[rows]))]  # those sought come first in their bucket
        for bucket in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            stop = min(int(sought[bucket].sum()), len(bucket) - 1)
            step = BLOCK // max(1, len(bucket)) + 1
            for start in range(0, stop, step):
                a, b = np.triu_indices(min(step, stop - start), 1, len(bucket) - start)
                yield np.stack([bucket[start + a], bucket[start + b]], axis=1)


def _within(values: Hashes, pairs: Pairs, radius: int) -> Pairs:
    near = distance(values[pairs[:, 0]], values[pairs[:, 1]]) <= radius
    return np.sort(pairs[near], axis=1)


def _spread(distinct: Pairs, inverse: npt.NDArray[np.intp], sought: Mask) -> Pairs:
    """Pairs of distinct values -> pairs of the hashes that have them, with all pairs of equal ones that are sought."""
    counts = np.bincount(inverse, minlength=len(sought))
    members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(counts)[:-1])
    equal = [members[value] for value in np.flatnonzero(sought & (counts > 1))]
    within = [group[np.stack(np.triu_indices(len(group), 1), axis=1)] for group in equal]
    across = [np.stack(np.meshgrid(members[a], members[b]), axis=-1).reshape(-1, 2) for a, b in distinct.tolist()]
    pairs = np.sort(np.concatenate([np.empty((0, 2), np.int64), *within, *across]), axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
