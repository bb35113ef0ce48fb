"""Each pair alike, or pairs with rare tags more often: the same at any step, whatever went before."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.batches import fixed_batch
from train.data.order import PairWeights, mean_tag_weights, pair_numbers_at_step, systematic_sample, tag_weights
from train.data.pairs import Pairs, read_pair_weights

EPOCHS = 40


def seen(count: int, weighed: PairWeights | None, seed: int = 0) -> npt.NDArray[np.int64]:
    """(count,) How often each pair is seen."""
    numbers = [pair_numbers_at_step(seed, step, count, count, weighed) for step in range(EPOCHS)]
    return np.bincount(np.concatenate(numbers), minlength=count)


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 50), st.booleans())
def test_each_epoch_is_a_permutation_of_all_pairs(seed: int, batch_size: int, count: int, weighed: bool) -> None:
    steps = -(-2 * count // batch_size)
    alike = PairWeights(np.full(count, 0.3)) if weighed else None
    seen = np.concatenate([pair_numbers_at_step(seed, step, batch_size, count, alike) for step in range(steps)])
    for epoch in (seen[:count], seen[count : 2 * count]):
        assert sorted(epoch) == list(range(count))


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=40), st.floats(0, 1, exclude_max=True))
def test_an_epoch_has_each_pair_as_often_as_its_weight_asks_but_for_rounding(values: list[float], at: float) -> None:
    shares = len(values) * np.array(values) / sum(values)
    times = np.bincount(systematic_sample(np.array(values), at), minlength=len(values))
    assert len(times) == len(values)
    assert (abs(times - shares) < 1 + 1e-6).all()


def test_rare_tags_of_pairs_with_one_each_are_seen_as_often_as_common_ones() -> None:
    """Ninety pairs of one tag, nine of another, one of a third: by a balance of 1 a third each."""
    tags = np.repeat([0, 1, 2], [90, 9, 1])
    found = {}
    for balance in (0.0, 0.5, 1.0):
        rare = tag_weights(np.array([90, 9, 1]), balance)
        times = seen(100, PairWeights(mean_tag_weights(tags, np.arange(100), 100, rare)), seed=2)
        found[balance] = np.bincount(tags, times) / sum(times)
    np.testing.assert_allclose(found[0.0], [0.9, 0.09, 0.01])
    roots = np.sqrt([90, 9, 1])
    np.testing.assert_allclose(found[0.5], roots / roots.sum(), atol=0.01)
    np.testing.assert_allclose(found[1.0], [1 / 3] * 3, atol=0.01)


def test_a_pair_weighs_the_mean_of_its_tags_and_without_any_as_the_most_common_tag() -> None:
    found = mean_tag_weights(np.array([0, 1, 1]), np.array([0, 0, 2]), 3, np.array([1.0, 0.25]))
    assert found.tolist() == [0.625, 0.25, 0.25]


def test_the_greater_the_balance_the_more_alike_are_the_tags_of_real_pairs(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    carried = fixed_batch(pairs, list(range(len(pairs)))).tags.numpy()
    spreads = []
    for balance in (0.0, 0.5, 1.0):
        times = seen(len(pairs), read_pair_weights(pairs, balance)) @ carried
        spreads.append(np.std(np.log(times[times > 0])))
    assert spreads[0] > 1.1 * spreads[1] > 1.2 * spreads[2]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_weights_of_real_pairs_follow_from_their_tags_however_many_are_read_at_once(
    chunk: int, pairs32: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.data.pairs.RECORDS_PER_READ", chunk)
    pairs = Pairs(pairs32, "train")
    carried = fixed_batch(pairs, list(range(len(pairs)))).tags.numpy()
    counts = np.maximum(carried.sum(axis=0), 1)
    expected = [np.mean(1 / counts[row > 0]) for row in carried]
    np.testing.assert_allclose(read_pair_weights(pairs, 1.0).values, expected)
    np.testing.assert_array_equal(read_pair_weights(pairs, 0.0).values, 1)


def test_a_step_draws_the_same_whatever_was_drawn_before_and_another_seed_others() -> None:
    values = np.random.default_rng(0).random(50)
    numbers = [pair_numbers_at_step(1, step, 8, 50, PairWeights(values)).tolist() for step in (9, 0, 30, 9)]
    assert numbers[0] == numbers[3]
    assert numbers[0] != pair_numbers_at_step(2, 9, 8, 50, PairWeights(values)).tolist()
