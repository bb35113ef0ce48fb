"""Sets of distinct 64-bit hashes -> the pairs of them within a Hamming radius: complete, and near linear in time.

Pigeonhole with probing (Norouzi, Punjani, Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", IEEE
PAMI 36, 2014): cut 64 bits into bands with radii r_i such that the sum of (r_i + 1) exceeds the radius. Two hashes
within the radius are then within r_i in some band i, so it is enough to look, band by band, into the buckets whose key
differs by at most r_i bits. With bands about as wide as log2(n) a bucket holds about one hash, whatever n is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from curate.search import bucket_join
from curate.search.bucket_join import HASH_BITS, Hashes
from curate.search.value_rows import sorted_distinct

HashPairs = npt.NDArray[np.uint64]
"""(m, 2) uint64: pairs of hashes."""

MAX_BAND_BITS = 22  # bits of a band: its table of buckets has 4 bytes for each of 2^22 keys
MIN_BANDS = -(-HASH_BITS // MAX_BAND_BITS)  # bands: as many as a large set is searched in
MAX_BANDS = 16  # bands: narrower ones would part nothing
SAMPLED_HASHES = 1 << 13  # hashes whose bits are counted before they are dealt to bands
ROWS_PER_JOIN = 1 << 16  # rows probed at once: bounds what one call returns
HOT_BUCKET_HASHES = (
    1 << 15
)  # hashes in a bucket from which it is split on other bits: all with all would take half a second
MAX_SPLIT_DEPTH = 6  # splits after which a bucket is compared all with all after all


@dataclass(frozen=True)
class Bands:
    """How 64 bits are dealt to bands, and how far each band is probed."""

    order: npt.NDArray[np.int64]
    """(64,) bits in the order of the bands; the first comes to lie highest."""
    widths: tuple[int, ...]
    radii: tuple[int, ...]
    """-1: a band that is not needed."""

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Place of each band's first bit among the dealt ones."""
        return tuple(sum(self.widths[:band]) for band in range(len(self.widths)))

    @cached_property
    def _permutation_tables(self) -> tuple[Hashes, Hashes]:
        """Tables of `probe.moved`, to deal and to gather."""
        places = HASH_BITS - 1 - np.arange(HASH_BITS)
        return _table(self.order, places), _table(places, self.order)

    def permute(self, hashes: Hashes) -> Hashes:
        """Hashes with their bits in the order of the bands."""
        return _permute_bits(hashes, self._permutation_tables[0])

    def unpermute(self, dealt: Hashes) -> Hashes:
        """The hashes again."""
        return _permute_bits(dealt, self._permutation_tables[1])

    def rotate_to_band(self, dealt: Hashes, band: int, cut: int = 0) -> Hashes:
        """Dealt hashes with a band's bits on top, but for its first `cut`, which come to lie lowest."""
        return _rotate_left(dealt, self.offsets[band] + cut)

    def restore(self, turned: Hashes, band: int, cut: int = 0) -> Hashes:
        """The hashes again, of what was dealt and turned."""
        return self.unpermute(_rotate_left(turned, -self.offsets[band] - cut))

    def probe_masks(self, band: int, cut: int = 0, spent: int = 0) -> Hashes:
        """Every difference of keys that is probed in a band; in its first bits hashes differ by `spent`.

        Sorted: so none is first, and what begins with one bit, which tells whether a key grows or shrinks, is together.
        """
        bits, counts = range(self.widths[band] - cut), range(self.radii[band] - spent + 1)
        return np.array(
            sorted(sum(1 << bit for bit in some) for count in counts for some in combinations(bits, count)), np.uint64
        )

    def earlier_bands(self, band: int, cut: int = 0) -> tuple[Hashes, npt.NDArray[np.int64]]:
        """Bits of the bands before this one, as they lie turned to it, and their radii: near there is known."""
        places = [HASH_BITS - self.widths[one] - self.offsets[one] for one in range(band)]
        masks = [((1 << self.widths[one]) - 1) << place for one, place in enumerate(places)]
        return self.rotate_to_band(np.array(masks, np.uint64), band, cut), np.array(self.radii[:band], np.int64)


def choose_bands(hashes: Hashes, rows: int, radius: int) -> Bands:
    """Bands for a set of hashes (n,) in which so many rows are looked up."""
    count = cheapest_band_count(radius, lambda one: _cost(len(hashes), rows, radius, one))
    if rows * len(hashes) <= _cost(len(hashes), rows, radius, count):
        return Bands(
            np.arange(HASH_BITS), (1, HASH_BITS - 1), (1, -1)
        )  # a bit never differs by more than one: all with all
    return balanced_bands(hashes, radius, count)


def cheapest_band_count(radius: int, cost: Callable[[int], float]) -> int:
    """The number of bands for a radius that costs least."""
    return min(range(MIN_BANDS, max(MIN_BANDS, min(radius + 1, MAX_BANDS)) + 1), key=cost)


def balanced_bands(hashes: Hashes, radius: int, count: int) -> Bands:
    """So many bands for a set of hashes (n,), each of which parts it about equally well.

    Real hashes are skewed: some bits are nearly always 0. Bits are dealt in turn by how much they tell, so that no band
    is left with those alone.
    """
    some = np.ascontiguousarray(hashes[:: len(hashes) // SAMPLED_HASHES + 1], "<u8")
    bits = np.unpackbits(some.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    ranked = np.argsort(np.abs(bits.mean(axis=0) - 0.5), kind="stable")
    dealt = [ranked[band::count] for band in range(count)]
    return Bands(np.concatenate(dealt), tuple(map(len, dealt)), _radii(radius, count))


def near_hash_pairs(values: Hashes, known: Hashes, radius: int) -> Iterator[HashPairs]:
    """All pairs of a set, and of its members and others that are `known`; each once, in no order.

    `known` may hold one more than once; those that are in the set, too, are passed over.
    """
    yield from _search(values, None, radius, 0)
    yield from _search(values, known, radius, 0)


def distinct_excluding(known: Hashes, values: Hashes) -> Hashes:
    """The distinct ones of `known` that are not among some values; in order."""
    ordered = sorted_distinct(known)
    places = np.minimum(np.searchsorted(ordered, values), max(0, len(ordered) - 1))
    return np.delete(ordered, places[ordered[places] == values]) if len(ordered) else ordered


def join_tables(
    bands: Bands,
    band: int,
    tables: Sequence[Hashes],
    radius: int,
    *,
    prefix_bits: int = 0,
    prefix_distance: int = 0,
    depth: int = 0,
) -> Iterator[HashPairs]:
    """Pairs within one sorted table, or between two, that are near in this band and in none before it.

    Hashes of a table are dealt and turned to the band; `cut` of its bits are equal within each, and differ by `spent`
    between the two. Found pairs are turned, too.
    """
    reach = bands.radii[band] - prefix_distance
    masks, earlier = bands.probe_masks(band, prefix_bits, prefix_distance), bands.earlier_bands(band, prefix_bits)
    shift = np.uint64(HASH_BITS - bands.widths[band] + prefix_bits)
    rows, partners, own = tables[0], tables[-1], len(tables) == 1
    starts = bucket_join.bucket_starts(partners, shift)
    hot = np.flatnonzero(np.diff(starts) > HOT_BUCKET_HASHES).astype(np.uint64)
    if len(hot) and depth < MAX_SPLIT_DEPTH:
        for key in hot.tolist():
            members = partners[starts[key] : starts[key + 1]]
            close = rows[np.bitwise_count(rows >> shift ^ np.uint64(key)) <= reach]
            close = close[~np.isin(close >> shift, hot[: 1 + int(np.searchsorted(hot, key))])] if own else close
            for found in _search_hot_bucket(members, close, radius, depth, own=own):
                yield found[_is_new_pair(found, *earlier)]
        partners = partners[~np.isin(partners >> shift, hot)]
        rows, starts = partners if own else rows, bucket_join.bucket_starts(partners, shift)
    for first in range(0, len(rows), ROWS_PER_JOIN):
        yield bucket_join.join_buckets(
            rows[first : first + ROWS_PER_JOIN], first, partners, starts, shift, masks, radius, own, *earlier
        )


def count_hot_buckets(bands: Bands, band: int, table: Hashes, *, prefix_bits: int = 0) -> int:
    """How many buckets of a table, as `join` takes it, are so large that they are split."""
    return int(
        (
            np.diff(bucket_join.bucket_starts(table, np.uint64(HASH_BITS - bands.widths[band] + prefix_bits)))
            > HOT_BUCKET_HASHES
        ).sum()
    )


def _cost(size: int, rows: int, radius: int, count: int) -> float:
    """Of a search in `count` bands, in comparisons: a probe, one a key, takes as long as 16, a table's bucket as 4."""
    width, probes = HASH_BITS / count, sum(probes_per_band(radius, count))
    return probes * (16 * min(rows, 2**width) + rows * size / 2**width) + 4 * count * 2**width


def probes_per_band(radius: int, count: int) -> list[int]:
    """Keys that are probed for one hash in each of so many bands; 0 in one that is not needed."""
    return [sum(comb(round(HASH_BITS / count), bits) for bits in range(reach + 1)) for reach in _radii(radius, count)]


def _radii(radius: int, count: int) -> tuple[int, ...]:
    """Least radii whose sum, with 1 for each band, exceeds the radius."""
    shared, extra = divmod(radius + 1, count)
    return tuple(shared + (band < extra) - 1 for band in range(count))


def _search(hashes: Hashes, others: Hashes | None, radius: int, depth: int) -> Iterator[HashPairs]:
    """Pairs within `hashes`, or between them and `others`."""
    if not len(hashes) or (others is not None and not len(others)):
        return
    bands = choose_bands(hashes if others is None else others, len(hashes), radius)
    rows = bands.permute(hashes)
    partners = None if others is None else distinct_excluding(bands.permute(others), rows)
    for band, reach in enumerate(bands.radii):
        if reach >= 0:
            tables = [np.sort(bands.rotate_to_band(rows, band))]
            if partners is not None:
                tables.append(np.sort(bands.rotate_to_band(partners, band)))
            for found in join_tables(bands, band, tables, radius, depth=depth):
                yield bands.restore(found, band)


def _search_hot_bucket(members: Hashes, close: Hashes, radius: int, depth: int, *, own: bool) -> Iterator[HashPairs]:
    """Pairs of which one is in a bucket that is too large, sought by bits that part it."""
    if own:
        yield from _search(members, None, radius, depth + 1)
    yield from _search(close, members, radius, depth + 1)


def _table(sources: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]) -> Hashes:
    """What each value of each byte adds where every bit of `sources` (64,) is moved to its place in `targets`."""
    places = np.empty(HASH_BITS, np.uint64)
    places[sources] = targets
    ones = np.arange(256, dtype=np.uint64) >> np.arange(8, dtype=np.uint64)[:, None] & np.uint64(1)
    return np.asarray(np.bitwise_or.reduce(ones << places.reshape(8, 8, 1), axis=1), np.uint64)


def _permute_bits(hashes: Hashes, tables: Hashes) -> Hashes:
    return np.asarray(bucket_join.permute_bits(hashes.ravel(), tables), np.uint64).reshape(hashes.shape)


def _rotate_left(hashes: Hashes, places: int) -> Hashes:
    """Bits turned left by so many places."""
    places %= HASH_BITS
    if not places:
        return hashes.copy()
    return np.asarray(hashes << np.uint64(places) | hashes >> np.uint64(HASH_BITS - places), np.uint64)


def _is_new_pair(found: HashPairs, earlier: Hashes, radii: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(m,) whether pairs are near in none of the bands before."""
    unlike = (found[:, 0] ^ found[:, 1])[:, None]
    return np.asarray((np.bitwise_count(unlike & earlier) > radii).all(axis=1), np.bool_)
