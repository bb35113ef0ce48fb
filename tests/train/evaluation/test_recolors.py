"""Recolours painted by hand: which truth a picture resembles, and where a picture changed."""

import numpy as np
import pytest

from tests.train.evaluation.pictures import flat, square
from train.evaluation.recolors import RecoloredTruths, change_by_region


def test_a_picture_is_nearest_to_the_truth_it_resembles() -> None:
    red, blue = square(1, 0, 0), square(0, 0, 1)
    family = RecoloredTruths.from_truths([red, blue])
    assert family is not None
    assert [family.nearest_truth(picture) for picture in (red, blue, square(0.8, 0.1, 0.2))] == [0, 1, 0]


def test_equal_truths_are_no_recolours() -> None:
    assert RecoloredTruths.from_truths([square(1, 0, 0), square(1, 0, 0)]) is None


def test_the_region_holds_every_pixel_where_any_two_truths_differ() -> None:
    """The third truth differs from the first two in the corner, where those are equal."""
    corner = square(1, 0, 0)
    corner[:3, :3] = 0
    family = RecoloredTruths.from_truths([square(1, 0, 0), square(0, 0, 1), corner])
    expected = np.zeros((32, 32), bool)
    expected[8:24, 8:24] = expected[:3, :3] = True
    assert family is not None
    np.testing.assert_array_equal(family.region, expected)


def test_the_nearest_truth_is_judged_only_where_the_truths_differ() -> None:
    family = RecoloredTruths.from_truths([square(1, 0, 0), square(0, 0, 1)])
    mostly_wrong = flat(0, 0, 1, 32)
    mostly_wrong[8:24, 8:24] = (1, 0, 0)
    assert family is not None
    assert family.nearest_truth(mostly_wrong) == 0


def test_truths_are_ranked_by_their_lightness() -> None:
    family = RecoloredTruths.from_truths([square(0.5, 0.5, 0.5), square(1, 1, 1), square(0, 0, 0)])
    assert family is not None
    assert family.lightness_ranks().tolist() == [1, 2, 0]


def test_a_change_is_measured_inside_and_outside_the_region_where_the_truths_differ() -> None:
    red, blue = square(1, 0, 0), square(0, 0, 1)
    followed, ignored = change_by_region(red, blue, red, blue), change_by_region(red, red, red, blue)
    flooded = change_by_region(flat(1, 0, 0, 32), flat(0, 0, 1, 32), red, blue)
    assert followed is not None
    assert list(followed) == pytest.approx([52.88, 0, 52.88], abs=0.01)  # CIEDE2000 of sRGB's red and blue is 52.88
    assert ignored is not None
    assert list(ignored) == pytest.approx([0, 0, 52.88], abs=0.01)
    assert flooded is not None
    assert flooded[1] == pytest.approx(flooded[0], rel=1e-3)
    assert change_by_region(red, blue, red, red) is None
