from random import Random
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.jit import compiled
from curate.search.simd import LANES, any_near


@compiled
def near_one(one: Any, table: Any, at: Any, radius: Any) -> Any:
    return any_near(one, table, at, radius)


@given(st.integers(0, 2**64 - 1), st.integers(0, 5), st.integers(0, 64), st.randoms())
def test_one_is_compared_with_just_as_many_as_there_are_lanes(one: int, at: int, radius: int, random: Random) -> None:
    drawn = np.random.default_rng(random.getrandbits(32))
    table = drawn.integers(0, 2**64, LANES + 5, np.uint64)
    table ^= (table ^ np.uint64(one)) & drawn.integers(
        0, 2**64, len(table), np.uint64
    )  # about a quarter of bits differ
    near = np.bitwise_count(table[at : at + LANES] ^ np.uint64(one)) <= radius
    assert near_one(np.uint64(one), table, np.uint64(at), np.uint64(radius)) == near.any()
