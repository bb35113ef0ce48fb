import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.hash_search import rows_by_value
from curate.hash_search.array_types import Hashes
from curate.hash_search.rows_by_value import RowsByValue

# few values, so that several rows share one; some, 0 among them, share their first bits once multiplied
hashes = st.lists(st.one_of(st.integers(0, 9), st.integers(0, 2**64 - 1)), min_size=1, max_size=40).flatmap(
    lambda some: st.lists(st.sampled_from(some), min_size=1, max_size=60)
)


def oracle(given: list[int], found: list[tuple[int, int]]) -> list[list[int]]:
    """The pairs of rows of each pair of values, sorted."""
    pairs = [
        [min(row, partner), max(row, partner)]
        for a, b in found
        for row, one in enumerate(given)
        for partner, other in enumerate(given)
        if (one, other) == (a, b) and (a != b or row < partner)
    ]
    return sorted(pairs)


@given(hashes, st.data())
def test_a_pair_of_values_gives_every_pair_of_their_rows(some: list[int], data: st.DataObject) -> None:
    one_of = st.sampled_from(sorted(set(some)))
    found = data.draw(st.lists(st.tuples(one_of, one_of), unique=True, max_size=10))
    pairs = np.array(found, np.uint64).reshape(-1, 2)
    all_of, few = RowsByValue.of(np.array(some, np.uint64)), RowsByValue.of(np.array(some, np.uint64), pairs.ravel())
    for held in (all_of, few):
        assert sorted(pair for block in held.row_pairs(pairs) for pair in block.tolist()) == oracle(some, found)


@given(hashes)
def test_distinct_values_and_the_repeated_ones_are_known(some: list[int]) -> None:
    held = RowsByValue.of(np.array(some, np.uint64))
    assert sorted(held.values.tolist()) == sorted(set(some))
    assert held.has_several_rows(held.values).tolist() == [some.count(value) > 1 for value in held.values.tolist()]


@pytest.mark.parametrize("alike", [0, 60])
def test_values_are_found_however_many_share_their_first_bits(alike: int) -> None:
    def unmixed(first: int) -> Hashes:
        return (np.arange(2000, dtype=np.uint64) + np.uint64(first)) * np.uint64(rows_by_value.UNMIX_FACTOR)

    values = unmixed(3 << alike)
    held = RowsByValue.of(values)
    assert held.values[held.indices_of(values)].tolist() == values.tolist()


def test_row_pairs_come_in_batches_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_by_value, "ROW_PAIRS_PER_BATCH", 7)
    held = RowsByValue.of(np.array([5] * 9 + [6] * 4, np.uint64))
    blocks = list(held.row_pairs(np.array([[5, 5], [5, 6]], np.uint64)))
    assert max(map(len, blocks)) <= 7
    assert sorted(map(tuple, np.concatenate(blocks).tolist())) == sorted(
        {(a, b) for b in range(13) for a in range(min(b, 9))}
    )
