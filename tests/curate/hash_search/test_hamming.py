from itertools import combinations
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.hash_search.hamming import near_pairs, parse_hex_hashes


def near_pairs_by_brute_force(hashes: list[int], radius: int) -> list[list[int]]:
    return [[a, b] for a, b in combinations(range(len(hashes)), 2) if (hashes[a] ^ hashes[b]).bit_count() <= radius]


clusters = st.integers(0, 2**64 - 1).flatmap(
    lambda center: st.lists(
        st.lists(st.integers(0, 63), max_size=5).map(lambda bits: center ^ sum(1 << bit for bit in set(bits))),
        max_size=12,
    )
)


@given(st.tuples(clusters, clusters, st.lists(st.integers(0, 2**64 - 1), max_size=5)), st.integers(0, 16))
def test_exactly_the_near_pairs_are_found(groups: tuple[list[int], ...], radius: int) -> None:
    hashes = [value for group in groups for value in group]
    assert near_pairs(np.array(hashes, np.uint64), radius).tolist() == near_pairs_by_brute_force(hashes, radius)


@given(st.tuples(clusters, clusters, st.lists(st.integers(0, 2**64 - 1), max_size=5)), st.integers(0, 12), st.randoms())
def test_given_fresh_rows_exactly_the_near_pairs_with_a_fresh_row_are_found(
    groups: tuple[list[int], ...], radius: int, random: Random
) -> None:
    hashes = [value for group in groups for value in group]
    fresh = np.array([random.random() < 0.3 for _ in hashes], np.bool_)
    pairs = near_pairs(np.array(hashes, np.uint64), radius, fresh).tolist()
    assert pairs == [[a, b] for a, b in near_pairs_by_brute_force(hashes, radius) if fresh[a] or fresh[b]]


def test_all_near_pairs_of_hashes_that_share_most_bits_are_found() -> None:
    rng = np.random.default_rng(0)
    hashes = (rng.integers(0, 2**20, 2000, dtype=np.uint64) << np.uint64(22)) | np.uint64(5)
    assert near_pairs(hashes, 2).tolist() == near_pairs_by_brute_force(hashes.tolist(), 2)


def test_hex_hashes_are_parsed_as_imagehash_writes_them() -> None:
    assert parse_hex_hashes(["8000000000000001", "00000000000000ff"]).tolist() == [2**63 + 1, 255]
