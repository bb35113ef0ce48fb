"""What is counted as obeying tags, on a family painted by hand."""

import numpy as np
import pytest

from train.evaluation.metrics import RgbFloat
from train.evaluation.tag_adherence import EvaluationSplit, obedience

RED, GREEN, BLUE, GRAY = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.5, 0.5)


def plain(color: tuple[float, float, float]) -> RgbFloat:
    picture = np.ones((8, 8, 3), np.float32)
    picture[2:6, 2:6] = color
    return picture


def split(rows: list[list[int]], families: str) -> EvaluationSplit:
    truths = [plain(color) for color in (RED, GREEN, BLUE, GRAY)]
    return EvaluationSplit(truths, list(families), np.array(rows, np.float32), lambda _: [], np.array([0, 1]))


def test_each_truth_that_was_asked_for_by_the_same_tags_is_right() -> None:
    work = split([[1, 0], [0, 1], [0, 1], [0, 0]], "aaab")
    painted = [plain(color) for color in (RED, BLUE, RED, GRAY)]
    found = obedience(work, painted)
    assert found is not None
    assert found["sets"] == 1
    assert found["accuracy"] == pytest.approx(2 / 3)  # blue is as good as green, red is neither
    assert found["chance"] == pytest.approx((1 / 3 + 2 / 3 + 2 / 3) / 3)


def test_a_family_whose_tags_do_not_tell_its_members_apart_asks_for_nothing() -> None:
    work = split([[1, 0], [1, 0], [0, 1], [0, 1]], "aabc")
    assert obedience(work, list(work.truths)) is None
