"""Kernel Inception distance on random features."""

from typing import Any

import numpy as np
import pytest

from train.evaluation.kid import feature_distance


def test_the_distance_of_equal_distributions_is_zero_and_grows_with_their_shift() -> None:
    rng = np.random.default_rng(0)
    features, others = rng.normal(size=(60, 8)), rng.normal(size=(60, 8))
    same, far, farther = (feature_distance(features, others + shift, seed=0) for shift in (0, 1, 2))
    assert same["low"] < 0 < same["high"]
    assert 0 < far["low"] <= far["mean"] <= far["high"]
    assert farther["mean"] > far["mean"]


def test_the_distance_equals_the_formula_of_the_paper_written_as_loops() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(5, 3)), rng.normal(1, size=(6, 3))

    def mean_kernel(rows: Any, others: Any) -> float:
        return float(np.mean([(a @ b / 3 + 1) ** 3 for a in rows for b in others if (a != b).any()]))

    expected = mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
    assert feature_distance(x, y, seed=0)["mean"] == pytest.approx(expected)


def test_fewer_than_four_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="Received: 3"):
        feature_distance(np.ones((3, 2)), np.ones((6, 2)), seed=0)
