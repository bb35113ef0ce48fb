"""Values of 64-bit hashes -> the rows that have them, of which several may have one.

Hashes are skewed, so they are multiplied first (Knuth, "The Art of Computer Programming" 3, 1998, section 6.4): by an
odd number, which takes no two to one, and after which the first bits hang on all of them. Of sorted ones, those bits
tell where each lies but for a few.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.jit import compiled
from curate.search import bucket_join
from curate.search.bucket_join import HASH_BITS, Hashes

RowPairs = npt.NDArray[np.int64]
"""(n, 2) int64: rows a < b."""
Mask = npt.NDArray[np.bool_]

MIX_FACTOR = 0x9E3779B97F4A7C15
UNMIX_FACTOR = pow(MIX_FACTOR, -1, 1 << HASH_BITS)
MAX_BUCKET_BITS = 22  # first bits that places are listed for: 16 MB
PRESCREEN_BITS = 22  # bits by which most of the hashes are told from those looked for: 4 MB
ROW_PAIRS_PER_BATCH = 1 << 18  # pairs of rows that are made at once: 4 MB


@dataclass(frozen=True)
class RowsByValue:
    """Some of the hashes, in the order of what they are multiplied to: the rows that have a value lie together."""

    mixed_values: Hashes
    """(k,) distinct ones, multiplied."""
    starts: npt.NDArray[np.int64]
    """(k + 1,) places in `rows` where each value's begin."""
    rows: npt.NDArray[np.int64]
    buckets: npt.NDArray[np.int32]
    """(2^bits + 1,) places in `mixed` where those that begin with so many bits do."""

    @staticmethod
    def of(hashes: Hashes, among: Hashes | None = None) -> RowsByValue:
        """Of all hashes (n,); or of few: those that have one of the values `among`, and some that look as if."""
        rows = None
        if among is not None:
            marked, shift = np.zeros(1 << PRESCREEN_BITS, np.bool_), np.uint64(HASH_BITS - PRESCREEN_BITS)
            marked[_mixed(among) >> shift] = True
            rows = _prescreen_rows(hashes, marked, shift)
        mixed = _mixed(hashes if rows is None else hashes[rows])
        order = np.argsort(mixed)
        mixed = mixed[order]
        starts = np.flatnonzero(is_run_start(mixed))
        distinct = mixed[starts]
        bits = min(MAX_BUCKET_BITS, max(1, len(distinct).bit_length()))
        buckets = bucket_join.bucket_starts(distinct, np.uint64(HASH_BITS - bits))
        return RowsByValue(distinct, np.append(starts, len(mixed)), order if rows is None else rows[order], buckets)

    @property
    def values(self) -> Hashes:
        """(k,) the distinct hashes."""
        return np.asarray(self.mixed_values * np.uint64(UNMIX_FACTOR), np.uint64)

    def has_several_rows(self, values: Hashes) -> Mask:
        """Which of some values (n,) that are here several rows have."""
        places = self.indices_of(values)
        return np.asarray(self.starts[places + 1] - self.starts[places] > 1, np.bool_)

    def indices_of(self, values: Hashes) -> npt.NDArray[np.int64]:
        """(n,) place of each of some values that are here."""
        bits = (len(self.buckets) - 1).bit_length() - 1
        return np.asarray(
            _find_indices(_mixed(values), self.mixed_values, self.buckets, np.uint64(HASH_BITS - bits)), np.int64
        )

    def row_pairs(self, found: Hashes) -> Iterator[RowPairs]:
        """Pairs (m, 2) of values -> pairs of the rows that have them, each pair of two rows of one value once."""
        a, b = self.indices_of(found.ravel()).reshape(-1, 2).T
        ends = np.cumsum((self.starts[a + 1] - self.starts[a]) * (self.starts[b + 1] - self.starts[b]))
        for first in range(0, int(ends[-1]) if len(ends) else 0, ROW_PAIRS_PER_BATCH):
            pair = int(np.searchsorted(ends, first, side="right"))
            last = min(first + ROW_PAIRS_PER_BATCH, int(ends[-1]))
            yield np.asarray(_expand_pairs(a, b, ends, self.starts, self.rows, pair, first, last), np.int64)


def is_run_start(ordered: Hashes) -> Mask:
    """Which ones of sorted values are other than those before them."""
    return np.concatenate([np.ones(min(1, len(ordered)), np.bool_), ordered[1:] != ordered[:-1]])


def sorted_distinct(hashes: Hashes) -> Hashes:
    """The distinct ones, in order; NumPy's `unique` hashes them, which takes twenty times as long as to sort them."""
    ordered = np.sort(hashes)
    return np.asarray(ordered[is_run_start(ordered)], np.uint64)


def _mixed(hashes: Hashes) -> Hashes:
    return np.asarray(hashes * np.uint64(MIX_FACTOR), np.uint64)


@compiled
def _prescreen_rows(hashes: Any, marked: Any, shift: Any) -> Any:
    """Rows (m,) of the hashes whose first bits, once multiplied, are marked."""
    rows = np.empty(len(hashes) + 1, np.int64)
    count = 0
    for row in range(len(hashes)):  # without a branch: each row is written, and the next one over it
        rows[count] = row
        count += marked[hashes[row] * np.uint64(MIX_FACTOR) >> shift]
    return rows[:count].copy()


@compiled
def _find_indices(sought: Any, held: Any, buckets: Any, shift: Any) -> Any:
    """(n,) place in a sorted table of each of some that are in it: halved within a bucket, however many lie there."""
    places = np.empty(len(sought), np.int64)
    for number in range(len(sought)):
        first = sought[number] >> shift
        low, high = np.int64(buckets[first]), np.int64(buckets[first + np.uint64(1)]) - 1
        while low < high:
            middle = (low + high) >> 1
            if held[middle] < sought[number]:
                low = middle + 1
            else:
                high = middle
        places[number] = low
    return places


@compiled
def _expand_pairs(a: Any, b: Any, ends: Any, starts: Any, rows: Any, pair: Any, first: Any, last: Any) -> Any:
    """(m, 2) the pairs of rows from `first` to `last`, of all in a row; the first of them is of `pair`."""
    made = np.empty((last - first, 2), np.int64)
    count = 0
    for place in range(first, last):
        while ends[pair] <= place:
            pair += 1
        one, other = a[pair], b[pair]
        many = starts[other + 1] - starts[other]
        nth = place - ends[pair] + (starts[one + 1] - starts[one]) * many
        row, partner = rows[starts[one] + nth // many], rows[starts[other] + nth % many]
        if one != other or row < partner:
            made[count, 0], made[count, 1] = min(row, partner), max(row, partner)
            count += 1
    return made[:count]
