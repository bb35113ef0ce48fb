"""All pairs of 64-bit hashes within a Hamming radius, complete, without comparing every pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt

from curate.search import multi_index, prefilter
from curate.search.bucket_join import BITS, Hashes
from curate.search.value_rows import Mask, Pairs, Rows, distinct

__all__ = ["BITS", "Hashes", "Mask", "Pairs", "distance", "near_pairs", "parse"]

Search = Callable[[Hashes, Hashes, int], Iterable[Hashes]]
"""As bands.near."""
Sift = Callable[[Pairs], Mask]
"""Pairs (m, 2) -> which of them to keep, (m,)."""

NONE: Hashes = np.empty(0, np.uint64)
GATHERED = 1 << 18  # pairs of values whose rows are sought at once: 4 MB
SELDOM = 1 << 22  # the same, where each time takes a pass of all hashes: 64 MB
FEW = 8  # times more known ones than fresh: then all of them are not sorted


def parse(hashes: list[str]) -> Hashes:
    """16 hex digits each -> (n,) uint64."""
    return np.array([int(one, 16) for one in hashes], np.uint64)


def distance(a: Hashes, b: Hashes) -> npt.NDArray[np.uint8]:
    """Bits that differ, element by element."""
    return np.asarray(np.bitwise_count(a ^ b), np.uint8)


def near_pairs(
    hashes: Hashes, radius: int, fresh: Mask | None = None, search: Search = multi_index.near, sift: Sift | None = None
) -> Pairs:
    """Every pair of `hashes` (n,) at most `radius` bits apart, as (m, 2) indices a < b in lexical order.

    With `fresh`, a (n,) mask, only pairs of which either is fresh: where these are few, one pass leaves out the others
    that are near none of them, and the search is of what is left.

    `search` finds the pairs of distinct values: here, or on a cluster. With `sift`, only the pairs that pass it; it is
    given some at a time, so that no more than what passes is ever held.
    """
    if fresh is not None and prefilter.pays(len(hashes), int(fresh.sum()), radius):
        rows = np.flatnonzero(fresh | prefilter.within(hashes, distinct(hashes[fresh]), radius))
        here = sift and (lambda pairs: sift(rows[pairs]))
        return np.asarray(rows[_near_pairs(hashes[rows], radius, fresh[rows], search, here)], np.int64)
    return _near_pairs(hashes, radius, fresh, search, sift)


def _near_pairs(hashes: Hashes, radius: int, fresh: Mask | None, search: Search, sift: Sift | None) -> Pairs:
    """As `near_pairs`, all rows being sought in."""
    everything: Rows | None
    if fresh is None:
        everything = Rows.of(hashes)
        values, known = everything.values, NONE
    else:
        everything = None if int(fresh.sum()) * FEW < len(hashes) else Rows.of(hashes)
        values, known = distinct(hashes[fresh]), hashes[~fresh]
    equal = values[everything.shared(values)] if everything else values
    kept = [np.empty(0, np.uint64)]
    pairs_of_values = chain([np.stack([equal, equal], axis=1)], search(values, known, radius))
    for found in _gathered(pairs_of_values, GATHERED if everything else SELDOM):
        for pairs in (everything or Rows.of(hashes, found.ravel())).spread(found):
            some = pairs if fresh is None else pairs[fresh[pairs].any(axis=1)]
            kept.append(_packed(some if sift is None else some[sift(some)]))
    return _ordered(np.concatenate(kept))


def _packed(pairs: Pairs) -> Hashes:
    """Pairs (m, 2) as a number each: they are sorted so in a fifth of the time, and held in half of the room."""
    packed: Hashes = pairs[:, 0].astype(np.uint64) << np.uint64(32) | pairs[:, 1].astype(np.uint64)
    return packed


def _ordered(packed: Hashes) -> Pairs:
    """Packed pairs, of which this makes use itself, in lexical order."""
    packed.sort()
    pairs = np.empty((len(packed), 2), np.int64)
    np.right_shift(packed, np.uint64(32), out=pairs[:, 0], casting="unsafe")
    np.bitwise_and(packed, np.uint64((1 << 32) - 1), out=pairs[:, 1], casting="unsafe")
    return pairs


def _gathered(found: Iterable[Hashes], most: int) -> Iterator[Hashes]:
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
