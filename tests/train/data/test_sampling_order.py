"""Pairs are seen equally often or by their weights, and a step's pairs depend on seed and step alone."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.batches import fixed_batch
from train.data.pairs import Pairs, read_pair_weights
from train.data.sampling_order import (
    PairWeights,
    mean_tag_weights,
    pair_numbers_at_step,
    systematic_sample,
    tag_weights,
)

EPOCHS = 40


def times_seen(count: int, weights: PairWeights | None, seed: int = 0) -> npt.NDArray[np.int64]:
    """(count,): how often each pair is seen in EPOCHS epochs."""
    numbers = [pair_numbers_at_step(seed, step, count, count, weights) for step in range(EPOCHS)]
    return np.bincount(np.concatenate(numbers), minlength=count)


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 50), st.booleans())
def test_each_epoch_is_a_permutation_of_all_pairs_if_their_weights_are_equal(
    seed: int, batch_size: int, count: int, weighted: bool
) -> None:
    steps = -(-2 * count // batch_size)
    weights = PairWeights(np.full(count, 0.3)) if weighted else None
    numbers = np.concatenate([pair_numbers_at_step(seed, step, batch_size, count, weights) for step in range(steps)])
    for epoch in (numbers[:count], numbers[count : 2 * count]):
        assert sorted(epoch) == list(range(count))


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=40), st.floats(0, 1, exclude_max=True))
def test_a_systematic_sample_holds_each_number_as_often_as_its_weight_says_to_rounding(
    values: list[float], start: float
) -> None:
    shares = len(values) * np.array(values) / sum(values)
    times = np.bincount(systematic_sample(np.array(values), start), minlength=len(values))
    assert len(times) == len(values)
    assert (abs(times - shares) < 1 + 1e-6).all()


def test_a_balance_of_one_shows_rare_tags_as_often_as_common_ones() -> None:
    """Ninety pairs have one tag, nine another, one a third. A balance of 1 gives each tag a third of the epoch."""
    tags = np.repeat([0, 1, 2], [90, 9, 1])
    shares = {}
    for balance in (0.0, 0.5, 1.0):
        rare = tag_weights(np.array([90, 9, 1]), balance)
        times = times_seen(100, PairWeights(mean_tag_weights(tags, np.arange(100), 100, rare)), seed=2)
        shares[balance] = np.bincount(tags, times) / sum(times)
    np.testing.assert_allclose(shares[0.0], [0.9, 0.09, 0.01])
    roots = np.sqrt([90, 9, 1])
    np.testing.assert_allclose(shares[0.5], roots / roots.sum(), atol=0.01)
    np.testing.assert_allclose(shares[1.0], [1 / 3] * 3, atol=0.01)


def test_a_pairs_weight_is_the_mean_of_its_tags_or_without_tags_that_of_the_most_common_tag() -> None:
    weights = mean_tag_weights(np.array([0, 1, 1]), np.array([0, 0, 2]), 3, np.array([1.0, 0.25]))
    assert weights.tolist() == [0.625, 0.25, 0.25]


def test_a_greater_balance_evens_out_how_often_the_tags_of_real_pairs_are_seen(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    tags = fixed_batch(pairs, list(range(len(pairs)))).tags.numpy()
    spreads = []
    for balance in (0.0, 0.5, 1.0):
        times = times_seen(len(pairs), read_pair_weights(pairs, balance)) @ tags
        spreads.append(np.std(np.log(times[times > 0])))
    assert spreads[0] > 1.1 * spreads[1] > 1.2 * spreads[2]


@pytest.mark.parametrize("records_per_read", [1, 7, 1000])
def test_weights_of_real_pairs_do_not_depend_on_how_many_records_are_parsed_together(
    records_per_read: int, pairs32: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.data.pairs.RECORDS_PER_READ", records_per_read)
    pairs = Pairs(pairs32, "train")
    tags = fixed_batch(pairs, list(range(len(pairs)))).tags.numpy()
    counts = np.maximum(tags.sum(axis=0), 1)
    expected = [np.mean(1 / counts[row > 0]) for row in tags]
    np.testing.assert_allclose(read_pair_weights(pairs, 1.0).values, expected)
    np.testing.assert_array_equal(read_pair_weights(pairs, 0.0).values, 1)


def test_the_pairs_of_a_step_depend_on_seed_and_step_and_not_on_earlier_calls() -> None:
    values = np.random.default_rng(0).random(50)
    numbers = [pair_numbers_at_step(1, step, 8, 50, PairWeights(values)).tolist() for step in (9, 0, 30, 9)]
    assert numbers[0] == numbers[3]
    assert numbers[0] != pair_numbers_at_step(2, 9, 8, 50, PairWeights(values)).tolist()
