"""All pairs of 64-bit hashes within a Hamming radius, complete, without comparing every pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from curate import bands
from curate.bands import BITS
from curate.probe import Hashes

__all__ = ["BITS", "Hashes", "distance", "near_pairs", "parse"]

Pairs = npt.NDArray[np.int64]
"""(n, 2) int64: indices a < b."""
Mask = npt.NDArray[np.bool_]
Search = Callable[[Hashes, Hashes, int], Iterable[Hashes]]
"""As bands.near."""


def parse(hashes: list[str]) -> Hashes:
    """16 hex digits each -> (n,) uint64."""
    return np.array([int(one, 16) for one in hashes], np.uint64)


def distance(a: Hashes, b: Hashes) -> npt.NDArray[np.uint8]:
    """Bits that differ, element by element."""
    return np.asarray(np.bitwise_count(a ^ b), np.uint8)


def near_pairs(hashes: Hashes, radius: int, fresh: Mask | None = None, search: Search = bands.near) -> Pairs:
    """Every pair of `hashes` (n,) at most `radius` bits apart, as (m, 2) indices a < b in lexical order.

    With `fresh`, a (n,) mask, only pairs of which either is fresh; but for a sort, the cost is in proportion to them.
    `search` finds the pairs of distinct values: here, or on a cluster.
    """
    values, known = _distinct(hashes if fresh is None else hashes[fresh]), np.empty(0, np.uint64)
    if fresh is not None:
        known = _distinct(hashes[~fresh])
        known = np.delete(known, np.searchsorted(known, values[_in(values, known)]))
    pairs = _spread(hashes, values, np.concatenate([np.empty((0, 2), np.uint64), *search(values, known, radius)]))
    return pairs if fresh is None else pairs[fresh[pairs].any(axis=1)]


def _distinct(hashes: Hashes) -> Hashes:
    """The distinct ones, in order; NumPy's `unique` hashes them, which takes twenty times as long as to sort them."""
    ordered = np.sort(hashes)
    first = np.concatenate([np.ones(min(1, len(ordered)), np.bool_), ordered[1:] != ordered[:-1]])
    return np.asarray(ordered[first], np.uint64)


def _in(values: Hashes, known: Hashes) -> npt.NDArray[np.bool_]:
    """Whether each value (n,) is in a sorted set."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    return np.asarray(known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values, np.bool_)


def _spread(hashes: Hashes, values: Hashes, found: Hashes) -> Pairs:
    """Pairs (m, 2) of values -> pairs of the hashes that have them, with all pairs of equal ones among `values`."""
    involved = _distinct(np.concatenate([values, found.ravel()]))
    rows = np.flatnonzero(_in(hashes, involved))
    rows = rows[np.argsort(hashes[rows], kind="stable")]
    starts = np.searchsorted(hashes[rows], involved)
    counts = np.diff(starts, append=len(rows))
    equal = np.flatnonzero((counts > 1) & _in(involved, values))
    within = [rows[starts[one] + np.stack(np.triu_indices(counts[one], 1), axis=1)] for one in equal.tolist()]
    a, b = (np.searchsorted(involved, found[:, side]) for side in (0, 1))
    many = counts[a] * counts[b]
    # the k-th of the pairs of two values is the (k // count)-th row of one and the (k % count)-th of the other
    which = np.repeat(np.arange(len(found)), many)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(many) - many, many)
    across = np.stack(
        [rows[starts[a[which]] + nth // counts[b[which]]], rows[starts[b[which]] + nth % counts[b[which]]]], 1
    )
    pairs = np.sort(np.concatenate([np.empty((0, 2), np.int64), *within, across]), axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
