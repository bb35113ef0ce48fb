from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.search import multi_index
from curate.search.bucket_join import Hashes
from curate.search.multi_index import choose_bands, near_hash_pairs

NONE = np.empty(0, np.uint64)

hash_lists = st.lists(st.integers(0, 2**64 - 1), unique=True, min_size=1, max_size=50).map(
    lambda found: np.array(found, np.uint64)
)


@pytest.fixture
def banded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets of any size are searched in three bands, as large ones are."""

    def cost(size: int, rows: int, radius: int, count: int) -> float:
        return count - 4.0

    monkeypatch.setattr(multi_index, "_cost", cost)


def beside(rows: Hashes, others: Hashes, radius: int) -> set[tuple[int, int]]:
    a, b = np.nonzero(np.bitwise_count(rows[:, None] ^ others[None]) <= radius)
    return {(one, other) for one, other in zip(rows[a].tolist(), others[b].tolist(), strict=True) if one != other}


def told(found: list[Hashes]) -> list[tuple[int, int]]:
    return [(one, other) for block in found for one, other in block.tolist()]


def skewed(count: int, ones: float, seed: int) -> Hashes:
    """Distinct hashes most of whose bits are mostly 0, a fifth of them beside another."""
    random = np.random.default_rng(seed)
    plain = np.packbits(random.random((count, 64)) < ones, axis=1).view(np.uint64).ravel()
    beside = plain[: count // 5] ^ (np.uint64(1) << random.integers(0, 64, count // 5).astype(np.uint64))
    return np.unique(np.concatenate([plain, beside]))


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize("radius", [0, 1, 2, 5, 8, 13])
@pytest.mark.parametrize("ones", [0.5, 0.1])
def test_in_bands_every_near_pair_is_met_once(radius: int, ones: float) -> None:
    hashes = skewed(700, ones, radius)
    found = told(list(near_hash_pairs(hashes, NONE, radius)))
    assert len(found) == len({frozenset(pair) for pair in found})
    assert {pair for a, b in found for pair in ((a, b), (b, a))} == beside(hashes, hashes, radius)


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize("radius", [0, 3, 8])
def test_across_two_sets_every_near_pair_is_met_once(radius: int) -> None:
    hashes = np.random.default_rng(0).permutation(skewed(1500, 0.2, 7))
    known = np.concatenate([hashes[100:], hashes[90:300]])  # some twice, and some of the set
    found = told(list(near_hash_pairs(hashes[:100], known, radius)))
    found = [pair for pair in found if pair[1] in set(hashes[100:].tolist())]
    assert len(found) == len(set(found))
    assert set(found) == beside(hashes[:100], hashes[100:], radius)


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize("radius", [2, 6])
def test_hot_buckets_are_split_and_lose_no_pair(radius: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes, depths, split = skewed(1500, 0.08, 3), [], multi_index._search_hot_bucket

    def counted(*given: Any, **options: Any) -> Iterator[Hashes]:
        depths.append(given[3])
        yield from split(*given, **options)

    monkeypatch.setattr(multi_index, "HOT_BUCKET_HASHES", 150)
    monkeypatch.setattr(multi_index, "_search_hot_bucket", counted)
    found = told(list(near_hash_pairs(hashes, NONE, radius)))
    assert depths
    assert len(found) == len({frozenset(pair) for pair in found})
    assert {pair for a, b in found for pair in ((a, b), (b, a))} == beside(hashes, hashes, radius)


@pytest.mark.usefixtures("banded")
@given(hash_lists, st.integers(0, 16))
def test_dealing_bits_to_bands_keeps_distances_and_is_undone(hashes: Hashes, radius: int) -> None:
    dealt = choose_bands(hashes, len(hashes), radius)
    assert sorted(dealt.order.tolist()) == list(range(64))
    assert sum(reach + 1 for reach in dealt.radii) == radius + 1
    moved = dealt.permute(hashes)
    assert dealt.unpermute(moved).tolist() == hashes.tolist()
    assert np.bitwise_count(moved ^ moved[:1]).tolist() == np.bitwise_count(hashes ^ hashes[:1]).tolist()
