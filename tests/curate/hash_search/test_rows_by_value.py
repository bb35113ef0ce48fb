import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.hash_search import rows_by_value
from curate.hash_search.array_types import Hashes
from curate.hash_search.rows_by_value import RowsByValue

# few values, so that several rows share one; some, 0 among them, share their first bits once multiplied
hashes = st.lists(st.one_of(st.integers(0, 9), st.integers(0, 2**64 - 1)), min_size=1, max_size=40).flatmap(
    lambda values: st.lists(st.sampled_from(values), min_size=1, max_size=60)
)


def row_pairs_by_brute_force(values: list[int], value_pairs: list[tuple[int, int]]) -> list[list[int]]:
    """The pairs of rows of each pair of values, sorted."""
    pairs = [
        [min(row, partner), max(row, partner)]
        for a, b in value_pairs
        for row, value in enumerate(values)
        for partner, partner_value in enumerate(values)
        if (value, partner_value) == (a, b) and (a != b or row < partner)
    ]
    return sorted(pairs)


@given(hashes, st.data())
def test_a_pair_of_values_gives_every_pair_of_their_rows(values: list[int], data: st.DataObject) -> None:
    value = st.sampled_from(sorted(set(values)))
    value_pairs = data.draw(st.lists(st.tuples(value, value), unique=True, max_size=10))
    expected = row_pairs_by_brute_force(values, value_pairs)
    column, pairs = np.array(values, np.uint64), np.array(value_pairs, np.uint64).reshape(-1, 2)
    for rows in (RowsByValue.of(column), RowsByValue.of(column, pairs.ravel())):
        assert sorted(pair for block in rows.row_pairs(pairs) for pair in block.tolist()) == expected


@given(hashes)
def test_values_are_distinct_and_repeated_ones_have_several_rows(values: list[int]) -> None:
    rows = RowsByValue.of(np.array(values, np.uint64))
    assert sorted(rows.values.tolist()) == sorted(set(values))
    assert rows.has_several_rows(rows.values).tolist() == [values.count(value) > 1 for value in rows.values.tolist()]


@pytest.mark.parametrize("shift", [0, 60])
def test_values_are_found_even_if_many_share_their_first_bits(shift: int) -> None:
    def unmixed(first: int) -> Hashes:
        return (np.arange(2000, dtype=np.uint64) + np.uint64(first)) * np.uint64(rows_by_value.UNMIX_FACTOR)

    values = unmixed(3 << shift)
    rows = RowsByValue.of(values)
    assert rows.values[rows.indices_of(values)].tolist() == values.tolist()


def test_row_pairs_come_in_batches_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_by_value, "ROW_PAIRS_PER_BATCH", 7)
    rows = RowsByValue.of(np.array([5] * 9 + [6] * 4, np.uint64))
    blocks = list(rows.row_pairs(np.array([[5, 5], [5, 6]], np.uint64)))
    assert max(map(len, blocks)) <= 7
    assert sorted(map(tuple, np.concatenate(blocks).tolist())) == sorted(
        {(a, b) for b in range(13) for a in range(min(b, 9))}
    )
