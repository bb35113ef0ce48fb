"""Figures of the fixed pairs are those of `train evaluate`, and tell gray and like pictures from true ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.data.pairs import Pairs
from train.evaluation.evaluate import evaluate
from train.model.trained import load_trained
from train.training.fixed_pairs import FIXED_PAIR_COUNT, FixedPairs, hues

Painter = Callable[..., Any]


@pytest.fixture(scope="module")
def fixed(pairs32: Path) -> FixedPairs:
    return FixedPairs(Pairs(pairs32, "validation"), "colors")


def painter(paint: Callable[[Any], Any], fixed: FixedPairs) -> Painter:
    """A generator that paints as a function of the true colours does."""
    return lambda *_, **__: np.float32(paint(np.asarray(fixed.batch.colors)))


def test_they_are_the_figures_of_evaluate(trained: Path, pairs32: Path, fixed: FixedPairs) -> None:
    assert 2 < len(Pairs(pairs32, "validation")) <= FIXED_PAIR_COUNT
    told, figures = evaluate(trained, pairs32), fixed.figures(load_trained(trained).model)
    assert figures["validation_l1"] == pytest.approx(told["l1"], rel=1e-4)
    assert figures["validation_ciede2000"] == pytest.approx(told["ciede2000"], rel=1e-4)
    # evaluate weighs pictures alike, too
    assert figures["validation_chroma"] == pytest.approx(told["chroma_ratio"], rel=1e-4)


def test_the_truth_is_without_fault(fixed: FixedPairs) -> None:
    figures = fixed.figures(painter(lambda truth: truth, fixed))
    assert figures == {
        "validation_l1": 0, "validation_ciede2000": 0, "validation_chroma": 1, "validation_diversity": 1,
    }  # fmt: skip


def test_gray_has_no_chroma_and_one_colour_everywhere_no_diversity(fixed: FixedPairs) -> None:
    gray = fixed.figures(painter(lambda truth: truth.mean(axis=-1, keepdims=True).repeat(3, axis=-1), fixed))
    assert gray["validation_chroma"] < 0.05
    brown = fixed.figures(painter(lambda truth: truth * 0 + np.array([0.6, 0.0, -0.8]), fixed))
    assert brown["validation_diversity"] < 0.01
    assert brown["validation_chroma"] > 0.5


def test_what_is_no_number_is_told_as_such(fixed: FixedPairs) -> None:
    assert all(np.isnan(value) for value in fixed.figures(painter(lambda truth: truth * np.nan, fixed)).values())


def test_neither_shape_nor_strength_moves_a_hue() -> None:
    labs = np.zeros((4, 8, 8, 3))
    labs[0, :2, :, 1] = 40
    labs[1, 3:7, 2:, 1] = 40
    labs[2, :2, :, 1] = 60
    labs[3, :2, :, 2] = 40
    one, shape, strength, other = hues(labs, np.ones((4, 8, 8)))
    np.testing.assert_allclose([one, shape, strength, other], [[1, 0], [1, 0], [1, 0], [0, 1]])
