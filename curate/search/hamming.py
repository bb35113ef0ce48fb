"""All pairs of 64-bit hashes within a Hamming radius, complete, without comparing every pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt

from curate.search import multi_index, prefilter
from curate.search.bucket_join import HASH_BITS, Hashes
from curate.search.value_rows import Mask, RowPairs, RowsByValue, sorted_distinct

__all__ = ["HASH_BITS", "Hashes", "Mask", "RowPairs", "distance", "near_pairs", "parse_hex_hashes"]

PairSearch = Callable[[Hashes, Hashes, int], Iterable[Hashes]]
"""As bands.near."""
PairFilter = Callable[[RowPairs], Mask]
"""Pairs (m, 2) -> which of them to keep, (m,)."""

NO_HASHES: Hashes = np.empty(0, np.uint64)
VALUE_PAIRS_PER_BATCH = 1 << 18  # pairs of values whose rows are sought at once: 4 MB
VALUE_PAIRS_PER_FULL_PASS = 1 << 22  # the same, where each time takes a pass of all hashes: 64 MB
MIN_KNOWN_PER_FRESH = 8  # times more known ones than fresh: then all of them are not sorted


def parse_hex_hashes(hashes: list[str]) -> Hashes:
    """16 hex digits each -> (n,) uint64."""
    return np.array([int(one, 16) for one in hashes], np.uint64)


def distance(a: Hashes, b: Hashes) -> npt.NDArray[np.uint8]:
    """Bits that differ, element by element."""
    return np.asarray(np.bitwise_count(a ^ b), np.uint8)


def near_pairs(
    hashes: Hashes,
    radius: int,
    fresh: Mask | None = None,
    search: PairSearch = multi_index.near_hash_pairs,
    sift: PairFilter | None = None,
) -> RowPairs:
    """Every pair of `hashes` (n,) at most `radius` bits apart, as (m, 2) indices a < b in lexical order.

    With `fresh`, a (n,) mask, only pairs of which either is fresh: where these are few, one pass leaves out the others
    that are near none of them, and the search is of what is left.

    `search` finds the pairs of distinct values: here, or on a cluster. With `sift`, only the pairs that pass it; it is
    given some at a time, so that no more than what passes is ever held.
    """
    if fresh is not None and prefilter.is_worthwhile(len(hashes), int(fresh.sum()), radius):
        rows = np.flatnonzero(fresh | prefilter.near_any_mask(hashes, sorted_distinct(hashes[fresh]), radius))
        here = sift and (lambda pairs: sift(rows[pairs]))
        return np.asarray(rows[_near_pairs(hashes[rows], radius, fresh[rows], search, here)], np.int64)
    return _near_pairs(hashes, radius, fresh, search, sift)


def _near_pairs(
    hashes: Hashes, radius: int, fresh: Mask | None, search: PairSearch, sift: PairFilter | None
) -> RowPairs:
    """As `near_pairs`, all rows being sought in."""
    everything: RowsByValue | None
    if fresh is None:
        everything = RowsByValue.of(hashes)
        values, known = everything.values, NO_HASHES
    else:
        everything = None if int(fresh.sum()) * MIN_KNOWN_PER_FRESH < len(hashes) else RowsByValue.of(hashes)
        values, known = sorted_distinct(hashes[fresh]), hashes[~fresh]
    equal = values[everything.has_several_rows(values)] if everything else values
    kept = [np.empty(0, np.uint64)]
    pairs_of_values = chain([np.stack([equal, equal], axis=1)], search(values, known, radius))
    for found in _rebatch(pairs_of_values, VALUE_PAIRS_PER_BATCH if everything else VALUE_PAIRS_PER_FULL_PASS):
        for pairs in (everything or RowsByValue.of(hashes, found.ravel())).row_pairs(found):
            some = pairs if fresh is None else pairs[fresh[pairs].any(axis=1)]
            kept.append(_packed(some if sift is None else some[sift(some)]))
    return _sort_and_unpack(np.concatenate(kept))


def _packed(pairs: RowPairs) -> Hashes:
    """Pairs (m, 2) as a number each: they are sorted so in a fifth of the time, and held in half of the room."""
    packed: Hashes = pairs[:, 0].astype(np.uint64) << np.uint64(32) | pairs[:, 1].astype(np.uint64)
    return packed


def _sort_and_unpack(packed: Hashes) -> RowPairs:
    """Packed pairs, of which this makes use itself, in lexical order."""
    packed.sort()
    pairs = np.empty((len(packed), 2), np.int64)
    np.right_shift(packed, np.uint64(32), out=pairs[:, 0], casting="unsafe")
    np.bitwise_and(packed, np.uint64((1 << 32) - 1), out=pairs[:, 1], casting="unsafe")
    return pairs


def _rebatch(found: Iterable[Hashes], most: int) -> Iterator[Hashes]:
    """Pairs (m, 2) of values, so many at a time but for the last ones."""
    held, count = [np.empty((0, 2), np.uint64)], 0
    for some in found:
        held.append(some)
        count += len(some)
        if count >= most:
            every = np.concatenate(held)
            whole = count - count % most
            yield from np.split(every[:whole], range(most, whole, most))
            held, count = [every[whole:]], count - whole
    yield np.concatenate(held)
