from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.hash_search import multi_index
from curate.hash_search.array_types import Hashes
from curate.hash_search.multi_index import choose_bands, near_hash_pairs

NO_HASHES = np.empty(0, np.uint64)

hash_lists = st.lists(st.integers(0, 2**64 - 1), unique=True, min_size=1, max_size=50).map(
    lambda values: np.array(values, np.uint64)
)


@pytest.fixture
def banded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search sets of any size in three bands, as large sets are."""

    def cost(table_size: int, row_count: int, radius: int, band_count: int) -> float:
        return band_count - 4.0

    monkeypatch.setattr(multi_index, "_cost", cost)


def near_pairs_by_brute_force(first: Hashes, second: Hashes, radius: int) -> set[tuple[int, int]]:
    """Pairs of different hashes within `radius` bits, one of each set."""
    rows, columns = np.nonzero(np.bitwise_count(first[:, None] ^ second[None]) <= radius)
    return {(a, b) for a, b in zip(first[rows].tolist(), second[columns].tolist(), strict=True) if a != b}


def as_tuples(blocks: Iterable[Hashes]) -> list[tuple[int, int]]:
    return [(a, b) for block in blocks for a, b in block.tolist()]


def skewed_hashes(count: int, ones: float, seed: int) -> Hashes:
    """Distinct hashes, each bit 1 with probability `ones`; a fifth of them one bit away from another."""
    random = np.random.default_rng(seed)
    plain = np.packbits(random.random((count, 64)) < ones, axis=1).view(np.uint64).ravel()
    neighbours = plain[: count // 5] ^ (np.uint64(1) << random.integers(0, 64, count // 5).astype(np.uint64))
    return np.unique(np.concatenate([plain, neighbours]))


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize("radius", [0, 1, 2, 5, 8, 13])
@pytest.mark.parametrize("ones", [0.5, 0.1])
def test_every_near_pair_within_a_set_is_found_once(radius: int, ones: float) -> None:
    hashes = skewed_hashes(700, ones, radius)
    pairs = as_tuples(near_hash_pairs(hashes, NO_HASHES, radius))
    assert len(pairs) == len({frozenset(pair) for pair in pairs})
    assert {pair for a, b in pairs for pair in ((a, b), (b, a))} == near_pairs_by_brute_force(hashes, hashes, radius)


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize("radius", [0, 3, 8])
def test_every_near_pair_across_two_sets_is_found_once(radius: int) -> None:
    hashes = np.random.default_rng(0).permutation(skewed_hashes(1500, 0.2, 7))
    new, old = hashes[:100], hashes[100:]
    old_with_repeats = np.concatenate([old, hashes[90:300]])  # some of them twice, and some that are new
    old_values = set(old.tolist())
    pairs = [pair for pair in as_tuples(near_hash_pairs(new, old_with_repeats, radius)) if pair[1] in old_values]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == near_pairs_by_brute_force(new, old, radius)


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize("radius", [2, 6])
def test_splitting_hot_buckets_loses_no_pair(radius: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes, depths, search_hot_bucket = skewed_hashes(1500, 0.08, 3), [], multi_index._search_hot_bucket

    def record_depth(*arguments: Any, **options: Any) -> Iterator[Hashes]:
        depths.append(arguments[3])
        yield from search_hot_bucket(*arguments, **options)

    monkeypatch.setattr(multi_index, "HOT_BUCKET_HASHES", 150)
    monkeypatch.setattr(multi_index, "_search_hot_bucket", record_depth)
    pairs = as_tuples(near_hash_pairs(hashes, NO_HASHES, radius))
    assert depths
    assert len(pairs) == len({frozenset(pair) for pair in pairs})
    assert {pair for a, b in pairs for pair in ((a, b), (b, a))} == near_pairs_by_brute_force(hashes, hashes, radius)


@pytest.mark.usefixtures("banded")
@given(hash_lists, st.integers(0, 16))
def test_permuting_bits_keeps_distances_and_can_be_undone(hashes: Hashes, radius: int) -> None:
    bands = choose_bands(hashes, len(hashes), radius)
    assert sorted(bands.order.tolist()) == list(range(64))
    assert sum(band_radius + 1 for band_radius in bands.radii) == radius + 1
    permuted = bands.permute(hashes)
    assert bands.unpermute(permuted).tolist() == hashes.tolist()
    assert np.bitwise_count(permuted ^ permuted[:1]).tolist() == np.bitwise_count(hashes ^ hashes[:1]).tolist()
