import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate.search import prefilter
from curate.search.bucket_join import Hashes
from curate.search.hamming import near_pairs
from curate.search.multi_index import MIN_BANDS
from curate.search.prefilter import Mask, near_any_mask
from tests.curate.search.test_multi_index import skewed

hash_lists = st.lists(st.integers(0, 2**64 - 1), max_size=20)


def oracle(hashes: Hashes, few: Hashes, radius: int) -> Mask:
    return np.asarray((np.bitwise_count(hashes[:, None] ^ few[None]) <= radius).any(axis=1), np.bool_)


@given(hash_lists, hash_lists, st.integers(0, 20))
@example(rows=[], few=[], radius=6)
def test_those_near_any_of_a_few_pass_and_no_other(rows: list[int], few: list[int], radius: int) -> None:
    beside = [one ^ (1 << bit | 1 << 63 - bit) for bit, one in enumerate(few)]
    hashes, sought = np.array(rows + beside, np.uint64), np.array(few, np.uint64)
    assert near_any_mask(hashes, sought, radius).tolist() == oracle(hashes, sought, radius).tolist()
    assert not len(near_any_mask(hashes[:0], sought, radius))


def at_distance(hashes: Hashes, distance: int) -> Hashes:
    """Hashes (n,) with so many bits turned."""
    random, moved = np.random.default_rng(distance), hashes.copy()
    for row in range(len(hashes)):
        moved[row] ^= np.bitwise_or.reduce(np.uint64(1) << random.permutation(64)[:distance].astype(np.uint64))
    return moved


@pytest.mark.parametrize("count", [3, 4, 5, 9, 17])
@pytest.mark.parametrize("radius", [0, 2, 6, 8, 13])
def test_however_many_bands_there_are_the_same_pass(count: int, radius: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefilter, "_cheapest_band_count", lambda *_: count)
    few = skewed(60 if count == MIN_BANDS else 2000, 0.3, 2)  # in more bands, buckets are of several vectors
    hashes = np.concatenate([at_distance(few, radius), at_distance(few, radius + 1), skewed(300, 0.3, 1)])
    assert near_any_mask(hashes, few, radius).tolist() == oracle(hashes, few, radius).tolist()


def test_what_looks_into_a_bucket_too_full_passes_and_no_pair_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefilter, "MAX_BUCKET_HASHES", 20)
    few = skewed(3000, 0.3, 3)
    hashes = np.concatenate([at_distance(few, 8), skewed(300, 0.3, 4), few])
    passed, near = near_any_mask(hashes, few, 8), oracle(hashes, few, 8)
    assert (passed & ~near).any()
    assert not (near & ~passed).any()
    fresh = np.arange(len(hashes)) >= len(hashes) - len(few)
    found = near_pairs(hashes, 8)
    assert near_pairs(hashes, 8, fresh).tolist() == found[fresh[found].any(axis=1)].tolist()


@pytest.mark.parametrize("pays", [True, False])
@pytest.mark.parametrize("radius", [1, 6, 12])
def test_pairs_of_fresh_ones_are_the_same_with_and_without_a_pass(
    pays: bool, radius: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefilter, "is_worthwhile", lambda *_: pays)
    hashes = np.random.default_rng(6).permutation(np.repeat(skewed(900, 0.4, 7), 2))
    fresh = np.arange(len(hashes)) % 11 == 0
    a, b = np.nonzero(np.bitwise_count(hashes[:, None] ^ hashes[None]) <= radius)
    every = np.stack([a, b], axis=1)[a < b]
    assert near_pairs(hashes, radius, fresh).tolist() == every[fresh[every].any(axis=1)].tolist()


@pytest.mark.parametrize("radius", range(13))
def test_a_pass_is_made_for_few_and_never_for_all(radius: int) -> None:
    assert prefilter.is_worthwhile(1_000_000, 1000, radius)
    for rows in (1, 1000, 1_000_000):
        assert not prefilter.is_worthwhile(rows, rows, radius)
