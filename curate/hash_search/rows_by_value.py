"""Which rows of an array of hashes hold a given value, where several rows may hold the same one.

Real hashes are skewed, so they are first multiplied by an odd constant, modulo 2^64 (Knuth, "The Art of Computer
Programming" 3, 1998, section 6.4). That maps no two values to one, and the first bits of a product depend on all bits
of the hash: they tell almost exactly where the product lies in a sorted array.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.hash_search import bucket_join
from curate.hash_search.array_types import HASH_BITS, Hashes, HashPairs, Mask, RowPairs
from curate.jit import compiled

MIX_FACTOR = 0x9E3779B97F4A7C15
UNMIX_FACTOR = pow(MIX_FACTOR, -1, 1 << HASH_BITS)
MAX_BUCKET_BITS = 22  # first bits of a product by which it is looked up: a table of 16 MB
PRESCREEN_BITS = 22  # first bits by which hashes without a wanted value are left out: a table of 4 MB
ROW_PAIRS_PER_BATCH = 1 << 18  # pairs of rows that are made at once: 4 MB


@dataclass(frozen=True)
class RowsByValue:
    """Rows of an array of hashes, grouped by value and sorted by mixed value (the product)."""

    mixed_values: Hashes
    """(k,) distinct mixed values, in order."""
    starts: npt.NDArray[np.int64]
    """(k + 1,) place in `rows` where each value's rows begin."""
    rows: npt.NDArray[np.int64]
    """(n,) rows, those of one value together."""
    buckets: npt.NDArray[np.int32]
    """(2^bits + 1,) place in `mixed_values` where each value of their first bits begins."""

    @staticmethod
    def of(hashes: Hashes, among: Hashes | None = None) -> RowsByValue:
        """Group all hashes (n,); with `among`, at least those rows whose hash is one of these values."""
        rows = None if among is None else _rows_perhaps_among(hashes, among)
        mixed = _mix(hashes if rows is None else hashes[rows])
        order = np.argsort(mixed)
        mixed = mixed[order]
        starts = np.flatnonzero(is_run_start(mixed))
        mixed_values = mixed[starts]
        bits = min(MAX_BUCKET_BITS, max(1, len(mixed_values).bit_length()))
        buckets = bucket_join.bucket_starts(mixed_values, np.uint64(HASH_BITS - bits))
        return RowsByValue(mixed_values, np.append(starts, len(mixed)), order if rows is None else rows[order], buckets)

    @property
    def values(self) -> Hashes:
        """(k,) the distinct hashes, in the order of their mixed values."""
        return np.asarray(self.mixed_values * np.uint64(UNMIX_FACTOR), np.uint64)

    def has_several_rows(self, values: Hashes) -> Mask:
        """(n,) whether more than one row holds each of these values, all of which must be present."""
        indices = self.indices_of(values)
        return np.asarray(self.starts[indices + 1] - self.starts[indices] > 1, np.bool_)

    def indices_of(self, values: Hashes) -> npt.NDArray[np.int64]:
        """(n,) index in `values` of each of these values, all of which must be present."""
        bits = (len(self.buckets) - 1).bit_length() - 1
        shift = np.uint64(HASH_BITS - bits)
        return np.asarray(_find_indices(_mix(values), self.mixed_values, self.buckets, shift), np.int64)

    def row_pairs(self, value_pairs: HashPairs) -> Iterator[RowPairs]:
        """Yield, in batches, the pairs of rows that hold each pair (m, 2) of values.

        For a pair of equal values, each pair of two different rows comes once.
        """
        a, b = self.indices_of(value_pairs.ravel()).reshape(-1, 2).T
        ends = np.cumsum((self.starts[a + 1] - self.starts[a]) * (self.starts[b + 1] - self.starts[b]))
        total = int(ends[-1]) if len(ends) else 0
        for first in range(0, total, ROW_PAIRS_PER_BATCH):
            pair = int(np.searchsorted(ends, first, side="right"))
            last = min(first + ROW_PAIRS_PER_BATCH, total)
            yield np.asarray(_expand_pairs(a, b, ends, self.starts, self.rows, pair, first, last), np.int64)


def is_run_start(ordered: Hashes) -> Mask:
    """(n,) whether a sorted value differs from the one before it."""
    return np.concatenate([np.ones(min(1, len(ordered)), np.bool_), ordered[1:] != ordered[:-1]])


def sorted_distinct(hashes: Hashes) -> Hashes:
    """The distinct hashes, in order. `np.unique` would hash them, which takes twenty times as long as sorting."""
    ordered = np.sort(hashes)
    return np.asarray(ordered[is_run_start(ordered)], np.uint64)


def _mix(hashes: Hashes) -> Hashes:
    return np.asarray(hashes * np.uint64(MIX_FACTOR), np.uint64)


def _rows_perhaps_among(hashes: Hashes, values: Hashes) -> npt.NDArray[np.int64]:
    """Rows of the hashes that are among some values, and of a few that only share the first bits of their products."""
    shift = np.uint64(HASH_BITS - PRESCREEN_BITS)
    is_wanted = np.zeros(1 << PRESCREEN_BITS, np.bool_)
    is_wanted[_mix(values) >> shift] = True
    return np.asarray(_prescreen_rows(hashes, is_wanted, shift), np.int64)


@compiled
def _prescreen_rows(hashes: Any, is_wanted: Any, shift: Any) -> Any:
    """(m,) rows of the hashes whose first mixed bits are wanted."""
    rows = np.empty(len(hashes) + 1, np.int64)
    count = 0
    for row in range(len(hashes)):  # without a branch: every row is written, and overwritten unless it is wanted
        rows[count] = row
        count += is_wanted[hashes[row] * np.uint64(MIX_FACTOR) >> shift]
    return rows[:count].copy()


@compiled
def _find_indices(sought: Any, mixed_values: Any, buckets: Any, shift: Any) -> Any:
    """(n,) index of each sought mixed value, by binary search within its bucket."""
    indices = np.empty(len(sought), np.int64)
    for number in range(len(sought)):
        bucket = sought[number] >> shift
        low, high = np.int64(buckets[bucket]), np.int64(buckets[bucket + np.uint64(1)]) - 1
        while low < high:
            middle = (low + high) >> 1
            if mixed_values[middle] < sought[number]:
                low = middle + 1
            else:
                high = middle
        indices[number] = low
    return indices


@compiled
def _expand_pairs(a: Any, b: Any, ends: Any, starts: Any, rows: Any, pair: Any, first: Any, last: Any) -> Any:
    """(m, 2) the row pairs numbered `first` to `last`, counted over all value pairs; `first` belongs to `pair`.

    `a` and `b` are the indices of the values of each pair, `ends` the number of row pairs up to and including it.
    """
    found = np.empty((last - first, 2), np.int64)
    count = 0
    for number in range(first, last):
        while ends[pair] <= number:
            pair += 1
        value, partner_value = a[pair], b[pair]
        partners = starts[partner_value + 1] - starts[partner_value]
        nth = number - ends[pair] + (starts[value + 1] - starts[value]) * partners
        row, partner = rows[starts[value] + nth // partners], rows[starts[partner_value] + nth % partners]
        if value != partner_value or row < partner:
            found[count, 0], found[count, 1] = min(row, partner), max(row, partner)
            count += 1
    return found[:count]
