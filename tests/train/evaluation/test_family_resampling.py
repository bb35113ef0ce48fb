"""Shuffles and intervals that keep families together."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.evaluation.family_resampling import bootstrap_interval, derangement


@given(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=40), st.integers(0, 5))
def test_a_derangement_gives_every_picture_the_place_of_another_family(families: list[str], seed: int) -> None:
    order = derangement(families, seed)
    if 2 * max(map(families.count, families)) > len(families):
        assert order is None
    else:
        assert order is not None
        assert sorted(order) == list(range(len(families)))
        assert all(families[place] != families[source] for place, source in enumerate(order))
        np.testing.assert_array_equal(order, derangement(families, seed))


def test_a_bootstrap_interval_of_independent_pictures_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(1.0, 1.0, 400)
    interval = bootstrap_interval(values.tolist(), [str(n) for n in range(400)], seed=0)
    assert interval["low"] < interval["mean"] < interval["high"]
    # the mean of 400 standard normals has a standard error of 0.05: an interval of about 0.2
    assert interval["high"] - interval["low"] == pytest.approx(2 * 1.96 / math.sqrt(400), rel=0.15)


def test_a_bootstrap_interval_counts_a_family_of_equal_pictures_as_one() -> None:
    values = np.random.default_rng(0).normal(1.0, 1.0, 10).repeat(40).tolist()
    by_family = bootstrap_interval(values, [str(n // 40) for n in range(400)], seed=0)
    by_picture = bootstrap_interval(values, [str(n) for n in range(400)], seed=0)
    assert by_family["high"] - by_family["low"] > 4 * (by_picture["high"] - by_picture["low"])  # √40 = 6.3 times
    assert by_family["mean"] == by_picture["mean"]


def test_a_bootstrap_interval_of_equal_values_is_a_point() -> None:
    assert bootstrap_interval([2.0] * 8, list("aabbccdd"), seed=0) == {"mean": 2.0, "low": 2.0, "high": 2.0}
