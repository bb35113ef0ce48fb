"""Validation figures equal those of `train evaluate`, and show gray and uniform colours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.data.pairs import Pairs
from train.evaluation.evaluate import evaluate
from train.model.trained_model import load_trained
from train.training.validation_pairs import FIXED_PAIR_COUNT, FixedPairs, hues

Generator = Callable[..., Any]


@pytest.fixture(scope="module")
def fixed(pairs32: Path) -> FixedPairs:
    return FixedPairs(Pairs(pairs32, "validation"), "colors")


def generator(change: Callable[[Any], Any], fixed: FixedPairs) -> Generator:
    """A generator whose output is the true colours, changed by a function."""
    return lambda *_, **__: np.float32(change(np.asarray(fixed.batch.colors)))


def test_the_figures_equal_those_of_evaluate(trained: Path, pairs32: Path, fixed: FixedPairs) -> None:
    assert 2 < len(Pairs(pairs32, "validation")) <= FIXED_PAIR_COUNT
    evaluation, figures = evaluate(trained, pairs32), fixed.figures(load_trained(trained).model)
    for key in ("l1", "ciede2000"):
        assert figures[f"validation_{key}"] == pytest.approx(evaluation[key], rel=1e-4)
    # evaluate, too, gives each picture the same weight
    assert figures["validation_chroma"] == pytest.approx(evaluation["chroma_ratio"], rel=1e-4)


def test_the_true_colours_have_no_error_and_ratios_of_one(fixed: FixedPairs) -> None:
    figures = fixed.figures(generator(lambda truth: truth, fixed))
    assert figures == {
        "validation_l1": 0, "validation_ciede2000": 0, "validation_chroma": 1, "validation_diversity": 1,
    }  # fmt: skip


def test_gray_has_no_chroma_and_a_single_colour_no_diversity(fixed: FixedPairs) -> None:
    gray = fixed.figures(generator(lambda truth: truth.mean(axis=-1, keepdims=True).repeat(3, axis=-1), fixed))
    assert gray["validation_chroma"] < 0.05
    brown = fixed.figures(generator(lambda truth: truth * 0 + np.array([0.6, 0.0, -0.8]), fixed))
    assert brown["validation_diversity"] < 0.01
    assert brown["validation_chroma"] > 0.5


def test_all_figures_are_nan_if_any_output_is(fixed: FixedPairs) -> None:
    assert all(np.isnan(value) for value in fixed.figures(generator(lambda truth: truth * np.nan, fixed)).values())


def test_neither_shape_nor_strength_of_colours_changes_a_hue() -> None:
    labs = np.zeros((4, 8, 8, 3))
    labs[0, :2, :, 1] = 40
    labs[1, 3:7, 2:, 1] = 40
    labs[2, :2, :, 1] = 60
    labs[3, :2, :, 2] = 40
    np.testing.assert_allclose(hues(labs, np.ones((4, 8, 8))), [[1, 0], [1, 0], [1, 0], [0, 1]])
