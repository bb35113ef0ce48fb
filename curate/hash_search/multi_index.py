"""Multi-index hashing: all pairs of distinct 64-bit hashes within a Hamming radius, in nearly linear time.

Cut the 64 bits into bands, and give band i a radius r_i such that the sum of (r_i + 1) exceeds the search radius. By
the pigeonhole principle, two hashes within the search radius differ by at most r_i bits in some band i. So it is
enough to do this band by band: sort the hashes into buckets by their bits in the band (the key), and compare each hash
with those buckets only whose key differs from its own by at most r_i bits. That finds every pair and compares few
hashes: with bands about log2(n) bits wide, a bucket holds about one of n hashes. A pair that is near in several bands
is reported for the first of them alone.

Source: Norouzi, Punjani, Fleet, "Fast Search in Hamming Space with Multi-Index Hashing" (CVPR 2012) and "Fast Exact
Search in Hamming Space with Multi-Index Hashing" (IEEE PAMI 36, 2014). Two things are added here: bits are dealt to the
bands by how much they tell, and a bucket that is still too large ("hot") is searched again in bands of its own.

A hash passes through three states, named in `array_types`: as computed, permuted (bits in band order), and rotated (the
key of one band on top, so that sorting makes the table of buckets).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from curate.hash_search import bucket_join
from curate.hash_search.array_types import HASH_BITS, Hashes, HashPairs, Mask, PermutedHashes, RotatedHashes
from curate.hash_search.rows_by_value import sorted_distinct

MAX_BAND_BITS = 22  # a band's table of buckets has 4 bytes for each of 2^22 keys
MIN_BANDS = -(-HASH_BITS // MAX_BAND_BITS)
MAX_BANDS = 16  # keys of fewer than 4 bits would hardly separate anything
SAMPLED_HASHES = 1 << 13  # hashes whose bits are counted before the bits are dealt to bands
ROWS_PER_JOIN = 1 << 16  # rows per call of the inner loop: bounds what one call returns
HOT_BUCKET_HASHES = 1 << 15  # a bucket of more hashes is split: comparing all its pairs takes half a second
MAX_SPLIT_DEPTH = 6  # after so many splits a hot bucket is compared all with all


@dataclass(frozen=True)
class Bands:
    """How 64 bits are dealt to bands, and how far each band is probed."""

    order: npt.NDArray[np.int64]
    """(64,) bits in the order of the bands; the first one becomes the highest."""
    widths: tuple[int, ...]
    """Bits of each band."""
    radii: tuple[int, ...]
    """Radius of each band; -1 for a band that needs no search."""

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """How many permuted bits lie above each band."""
        return tuple(sum(self.widths[:band]) for band in range(len(self.widths)))

    @cached_property
    def _byte_tables(self) -> tuple[Hashes, Hashes]:
        """Tables for `bucket_join.permute_bits`: to permute and to unpermute."""
        places = HASH_BITS - 1 - np.arange(HASH_BITS)
        return _byte_table(self.order, places), _byte_table(places, self.order)

    def permute(self, hashes: Hashes) -> PermutedHashes:
        """Put the bits of hashes into the order of the bands."""
        return _permute_bits(hashes, self._byte_tables[0])

    def unpermute(self, permuted: PermutedHashes) -> Hashes:
        """Undo `permute`."""
        return _permute_bits(permuted, self._byte_tables[1])

    def rotate_to_band(self, permuted: PermutedHashes, band: int, prefix_bits: int = 0) -> RotatedHashes:
        """Rotate permuted hashes so that a band comes to the top, and its first `prefix_bits` to the bottom."""
        return _rotate_left(permuted, self.offsets[band] + prefix_bits)

    def restore(self, rotated: RotatedHashes, band: int, prefix_bits: int = 0) -> Hashes:
        """Undo `rotate_to_band` and `permute`."""
        return self.unpermute(_rotate_left(rotated, -self.offsets[band] - prefix_bits))

    def probe_masks(self, band: int, prefix_bits: int = 0, prefix_distance: int = 0) -> Hashes:
        """Every difference of two keys within the band's radius, as masks of the key, in order.

        The keys lack their first `prefix_bits`, in which the hashes differ by `prefix_distance` bits already. Sorted,
        0 comes first, and masks with the same highest bit lie together: that bit decides which of two keys is larger.
        """
        bits = range(self.widths[band] - prefix_bits)
        counts = range(self.radii[band] - prefix_distance + 1)
        masks = (sum(1 << bit for bit in chosen) for count in counts for chosen in combinations(bits, count))
        return np.array(sorted(masks), np.uint64)

    def earlier_bands(self, band: int, prefix_bits: int = 0) -> tuple[Hashes, npt.NDArray[np.int64]]:
        """Masks of the bands before this one, rotated as its hashes are, and their radii."""
        lowest_bits = [HASH_BITS - self.widths[earlier] - self.offsets[earlier] for earlier in range(band)]
        masks = [((1 << width) - 1) << bit for width, bit in zip(self.widths, lowest_bits, strict=False)]
        return self.rotate_to_band(np.array(masks, np.uint64), band, prefix_bits), np.array(self.radii[:band], np.int64)


def choose_bands(hashes: Hashes, row_count: int, radius: int) -> Bands:
    """Bands for a table of hashes (n,) in which `row_count` hashes are looked up."""
    count = _cheapest_band_count(len(hashes), row_count, radius)
    if row_count * len(hashes) <= _cost(len(hashes), row_count, radius, count):
        # one bit never differs by more than one: two buckets, each compared with both
        return Bands(np.arange(HASH_BITS), (1, HASH_BITS - 1), (1, -1))
    return _balanced_bands(hashes, radius, count)


def near_hash_pairs(values: Hashes, known: Hashes, radius: int) -> Iterator[HashPairs]:
    """All pairs within the radius of two `values`, or of a value and a `known` hash; each once, in no order.

    `values` are distinct. `known` may repeat itself, and those that are among the values are ignored.
    """
    yield from _search(values, None, radius, 0)
    yield from _search(values, known, radius, 0)


def distinct_excluding(known: Hashes, values: Hashes) -> Hashes:
    """The distinct `known` hashes that are not among `values`, in order."""
    ordered = sorted_distinct(known)
    places = np.minimum(np.searchsorted(ordered, values), max(0, len(ordered) - 1))
    return np.delete(ordered, places[ordered[places] == values]) if len(ordered) else ordered


def join_tables(
    bands: Bands,
    band: int,
    tables: Sequence[RotatedHashes],
    radius: int,
    *,
    prefix_bits: int = 0,
    prefix_distance: int = 0,
    depth: int = 0,
) -> Iterator[HashPairs]:
    """Pairs within one sorted table, or between two, that are near in this band and in no earlier one.

    A table holds hashes rotated to the band; so do the pairs. The first `prefix_bits` of the band are equal throughout
    a table and differ by `prefix_distance` bits between two tables. `depth` counts the splits of hot buckets so far.
    """
    masks = bands.probe_masks(band, prefix_bits, prefix_distance)
    earlier = bands.earlier_bands(band, prefix_bits)
    shift = _key_shift(bands, band, prefix_bits)
    rows, partners, within_one = tables[0], tables[-1], len(tables) == 1
    starts = bucket_join.bucket_starts(partners, shift)
    hot_keys = np.flatnonzero(np.diff(starts) > HOT_BUCKET_HASHES).astype(np.uint64)
    if len(hot_keys) and depth < MAX_SPLIT_DEPTH:
        band_radius = bands.radii[band] - prefix_distance
        for nth, key in enumerate(hot_keys):
            bucket = partners[starts[key] : starts[key + np.uint64(1)]]
            around = rows[np.bitwise_count(rows >> shift ^ key) <= band_radius]
            if within_one:  # pairs with hot buckets up to this one are found there
                around = around[~np.isin(around >> shift, hot_keys[: nth + 1])]
            for pairs in _search_hot_bucket(bucket, around, radius, depth, within_one=within_one):
                yield pairs[_is_first_found_here(pairs, *earlier)]
        partners = partners[~np.isin(partners >> shift, hot_keys)]
        rows, starts = partners if within_one else rows, bucket_join.bucket_starts(partners, shift)
    for first in range(0, len(rows), ROWS_PER_JOIN):
        some_rows = rows[first : first + ROWS_PER_JOIN]
        yield bucket_join.join_buckets(some_rows, first, partners, starts, shift, masks, radius, within_one, *earlier)


def count_hot_buckets(bands: Bands, band: int, table: RotatedHashes, *, prefix_bits: int = 0) -> int:
    """Number of buckets in a sorted table that `join_tables` splits."""
    starts = bucket_join.bucket_starts(table, _key_shift(bands, band, prefix_bits))
    return int((np.diff(starts) > HOT_BUCKET_HASHES).sum())


def _key_shift(bands: Bands, band: int, prefix_bits: int) -> np.uint64:
    """Bits of a rotated hash that lie below its key."""
    return np.uint64(HASH_BITS - bands.widths[band] + prefix_bits)


def _cheapest_band_count(table_size: int, row_count: int, radius: int) -> int:
    counts = range(MIN_BANDS, max(MIN_BANDS, min(radius + 1, MAX_BANDS)) + 1)
    return min(counts, key=lambda count: _cost(table_size, row_count, radius, count))


def _cost(table_size: int, row_count: int, radius: int, band_count: int) -> float:
    """Estimated time of a search, in comparisons of two hashes.

    A probe, of which there is one a key, takes as long as 16 comparisons; a bucket of a table as long as 4.
    """
    width = HASH_BITS / band_count
    probes = sum(comb(round(width), bits) for radius in _radii(radius, band_count) for bits in range(radius + 1))
    compared = row_count * table_size / 2**width
    return probes * (16 * min(row_count, 2**width) + compared) + 4 * band_count * 2**width


def _radii(radius: int, band_count: int) -> tuple[int, ...]:
    """The least radii whose sum, plus one for each band, exceeds the search radius."""
    shared, extra = divmod(radius + 1, band_count)
    return tuple(shared + (band < extra) - 1 for band in range(band_count))


def _balanced_bands(hashes: Hashes, radius: int, count: int) -> Bands:
    """Bands whose keys separate a set of hashes (n,) about equally well.

    Real hashes are skewed: some bits are nearly always 0. Bits are dealt to the bands in turn, most telling first, so
    that no band is left with the skewed ones.
    """
    sample = np.ascontiguousarray(hashes[:: len(hashes) // SAMPLED_HASHES + 1], "<u8")
    bits = np.unpackbits(sample.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    ranked = np.argsort(np.abs(bits.mean(axis=0) - 0.5), kind="stable")
    bits_by_band = [ranked[band::count] for band in range(count)]
    return Bands(np.concatenate(bits_by_band), tuple(map(len, bits_by_band)), _radii(radius, count))


def _search(values: Hashes, others: Hashes | None, radius: int, depth: int) -> Iterator[HashPairs]:
    """Pairs of two of the distinct `values`; or, with `others`, of a value and another."""
    if not len(values) or (others is not None and not len(others)):
        return
    bands = choose_bands(values if others is None else others, len(values), radius)
    rows = bands.permute(values)
    partners = None if others is None else distinct_excluding(bands.permute(others), rows)
    for band, band_radius in enumerate(bands.radii):
        if band_radius >= 0:
            tables = [np.sort(bands.rotate_to_band(rows, band))]
            if partners is not None:
                tables.append(np.sort(bands.rotate_to_band(partners, band)))
            for pairs in join_tables(bands, band, tables, radius, depth=depth):
                yield bands.restore(pairs, band)


def _search_hot_bucket(
    bucket: Hashes, around: Hashes, radius: int, depth: int, *, within_one: bool
) -> Iterator[HashPairs]:
    """Pairs with at least one hash in a bucket that is too large, found by bands that are chosen for the bucket."""
    if within_one:
        yield from _search(bucket, None, radius, depth + 1)
    yield from _search(around, bucket, radius, depth + 1)


def _is_first_found_here(pairs: HashPairs, earlier_masks: Hashes, earlier_radii: npt.NDArray[np.int64]) -> Mask:
    """(m,) whether pairs are near in none of the earlier bands."""
    difference = (pairs[:, 0] ^ pairs[:, 1])[:, None]
    return np.asarray((np.bitwise_count(difference & earlier_masks) > earlier_radii).all(axis=1), np.bool_)


def _byte_table(sources: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]) -> Hashes:
    """(8, 256) what each value of each byte contributes when bit `sources[i]` moves to place `targets[i]`."""
    places = np.empty(HASH_BITS, np.uint64)
    places[sources] = targets
    ones = np.arange(256, dtype=np.uint64) >> np.arange(8, dtype=np.uint64)[:, None] & np.uint64(1)
    return np.asarray(np.bitwise_or.reduce(ones << places.reshape(8, 8, 1), axis=1), np.uint64)


def _permute_bits(hashes: Hashes, byte_tables: Hashes) -> Hashes:
    return np.asarray(bucket_join.permute_bits(hashes.ravel(), byte_tables), np.uint64).reshape(hashes.shape)


def _rotate_left(hashes: Hashes, places: int) -> Hashes:
    places %= HASH_BITS
    if not places:
        return hashes.copy()
    return np.asarray(hashes << np.uint64(places) | hashes >> np.uint64(HASH_BITS - places), np.uint64)
