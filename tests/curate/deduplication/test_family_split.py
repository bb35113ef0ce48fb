from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.deduplication.family_split import SplitShares, grow_families, parse_split_shares
from curate.system.errors import NurieError

graphs = st.integers(1, 25).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=40))
)


def neighbours(count: int, edges: set[tuple[int, int]]) -> list[list[int]]:
    return [sorted({b for a, b in edges if a == i} | {a for a, b in edges if b == i} - {i}) for i in range(count)]


@given(graphs, st.integers(0, 5))
def test_no_family_straddles_splits(graph: tuple[int, set[tuple[int, int]]], seed: int) -> None:
    count, edges = graph
    ids, shares = [f"{i:032x}" for i in range(count)], SplitShares(0.5, 0.25, 0.25, seed)
    families, left_out = grow_families(ids, neighbours(count, edges), shares)
    for a, b in edges:
        if not {a, b} & left_out:
            assert families.root(a) == families.root(b)


@given(graphs, st.integers(0, 5))
def test_adding_pictures_never_moves_earlier_ones(graph: tuple[int, set[tuple[int, int]]], seed: int) -> None:
    count, edges = graph
    ids, shares = [f"{i:032x}" for i in range(count)], SplitShares(0.5, 0.25, 0.25, seed)
    families, left_out = grow_families(ids, neighbours(count, edges), shares)
    for less in range(1, count):
        before, out_before = grow_families(ids[:less], neighbours(less, {e for e in edges if max(e) < less}), shares)
        assert out_before == {picture for picture in left_out if picture < less}
        for picture in set(range(less)) - left_out:
            assert shares.split_of(ids[before.root(picture)]) == shares.split_of(ids[families.root(picture)])


def test_splits_have_their_shares_of_the_families() -> None:
    counts = Counter(SplitShares(0.8, 0.15, 0.05, seed=1).split_of(f"{i:032x}") for i in range(20_000))
    assert counts["train"] == pytest.approx(16_000, abs=250)
    assert counts["test"] == pytest.approx(1_000, abs=130)


@pytest.mark.parametrize("text", ["", "1", "a,b,c", "0.5,0.5,0.5", "1.5,-0.5,0"])
def test_shares_that_do_not_add_up_are_refused(text: str) -> None:
    with pytest.raises(NurieError, match="--split"):
        parse_split_shares(text, 0)
