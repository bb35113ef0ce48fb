"""Obedience of pictures painted by hand: one family, each member in a colour of its own."""

import numpy as np
import pytest

from train.evaluation.metrics import RgbFloat
from train.evaluation.tag_adherence import EvaluationSplit, obedience

RED, GREEN, BLUE, GRAY = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.5, 0.5)


def painted(color: tuple[float, float, float]) -> RgbFloat:
    """A square of one colour on white, 8 px."""
    picture = np.ones((8, 8, 3), np.float32)
    picture[2:6, 2:6] = color
    return picture


def split_with(rows: list[list[int]], families: str) -> EvaluationSplit:
    """Truths in red, green, blue and gray with these tags; a letter of `families` for each."""
    truths = [painted(color) for color in (RED, GREEN, BLUE, GRAY)]
    return EvaluationSplit(truths, list(families), np.array(rows, np.float32), lambda _: [], np.array([0, 1]))


def test_every_truth_with_the_same_tags_counts_as_obeyed() -> None:
    split = split_with([[1, 0], [0, 1], [0, 1], [0, 0]], "aaab")
    figures = obedience(split, [painted(color) for color in (RED, BLUE, RED, GRAY)])
    assert figures is not None
    assert figures["sets"] == 1
    assert figures["accuracy"] == pytest.approx(
        2 / 3
    )  # blue is as right as green for the second, red wrong for the third
    assert figures["chance"] == pytest.approx((1 / 3 + 2 / 3 + 2 / 3) / 3)


def test_a_family_whose_members_have_equal_tags_is_not_measured() -> None:
    split = split_with([[1, 0], [1, 0], [0, 1], [0, 1]], "aabc")
    assert obedience(split, list(split.truths)) is None
