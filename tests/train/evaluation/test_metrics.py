import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.evaluation import metrics

Rgb = metrics.RgbFloat


def flat(r: float, g: float, b: float, size: int = 16) -> Rgb:
    return np.full((size, size, 3), (r, g, b), np.float32)


def square(r: float, g: float, b: float) -> Rgb:
    """A coloured square with a black outline on white, 32 px."""
    picture = flat(1, 1, 1, 32)
    picture[6:26, 6:26] = 0
    picture[8:24, 8:24] = (r, g, b)
    return picture


def test_l1_and_psnr_against_numbers_worked_by_hand() -> None:
    assert metrics.l1(flat(0.5, 0.5, 0.5), flat(0.5, 0.2, 0.5)) == pytest.approx(0.1)
    assert metrics.psnr(flat(0, 0, 0), flat(0.1, 0.1, 0.1)) == pytest.approx(20, abs=1e-4)  # -10 log10(0.01)
    assert metrics.psnr(flat(1, 0, 0), flat(1, 0, 0)) == 100


def test_ssim_is_one_for_equal_pictures_and_lower_for_noise() -> None:
    noise = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    assert metrics.ssim(noise, noise) == pytest.approx(1)
    assert metrics.ssim(noise, noise[::-1]) < 0.5
    assert metrics.ssim(noise[:2], noise[:2]) == 1


def test_ciede2000_against_published_colours() -> None:
    assert metrics.ciede2000(flat(0, 0, 0), flat(1, 1, 1)) == pytest.approx(100, abs=0.1)  # black to white
    assert metrics.ciede2000(flat(1, 0, 0), flat(1, 0, 0)) == 0


def test_gray_has_no_chroma_and_sepia_less_than_red() -> None:
    assert metrics.mean_chroma(flat(0.5, 0.5, 0.5)) == pytest.approx(0, abs=0.1)
    assert 5 < metrics.mean_chroma(flat(0.5, 0.4, 0.3)) < metrics.mean_chroma(flat(1, 0, 0))


def test_lines_survive_a_change_of_colour_but_not_a_blur() -> None:
    assert metrics.line_f1(square(1, 0.8, 0.2), square(0.4, 0.9, 1)) > 0.95
    assert metrics.line_f1(flat(0.5, 0.5, 0.5, 32), square(1, 0, 0)) == 0
    assert metrics.line_f1(flat(1, 1, 1, 32), flat(0, 0, 1, 32)) == 1


def test_a_fake_is_nearest_to_the_truth_it_looks_like() -> None:
    red, blue = square(1, 0, 0), square(0, 0, 1)
    family = metrics.RecoloredTruths.from_truths([red, blue])
    assert family is not None
    assert [family.nearest_truth(one) for one in (red, blue, square(0.8, 0.1, 0.2))] == [0, 1, 0]
    assert metrics.RecoloredTruths.from_truths([red, red]) is None


def test_nearness_looks_only_where_the_truths_differ() -> None:
    family = metrics.RecoloredTruths.from_truths([square(1, 0, 0), square(0, 0, 1)])
    mostly_wrong = flat(0, 0, 1, 32)
    mostly_wrong[8:24, 8:24] = (1, 0, 0)
    assert family is not None
    assert family.nearest_truth(mostly_wrong) == 0


def test_shades_rank_truths_by_their_lightness() -> None:
    family = metrics.RecoloredTruths.from_truths([square(0.5, 0.5, 0.5), square(1, 1, 1), square(0, 0, 0)])
    assert family is not None
    assert family.lightness_ranks().tolist() == [1, 2, 0]


def test_a_change_is_told_inside_and_outside_of_where_it_was_asked_for() -> None:
    red, blue = square(1, 0, 0), square(0, 0, 1)
    followed, ignored = metrics.change_by_region(red, blue, red, blue), metrics.change_by_region(red, red, red, blue)
    flooded = metrics.change_by_region(flat(1, 0, 0, 32), flat(0, 0, 1, 32), red, blue)
    assert followed is not None
    assert list(followed) == pytest.approx([52.88, 0, 52.88], abs=0.01)  # CIEDE2000 of sRGB's red and blue
    assert ignored is not None
    assert list(ignored) == pytest.approx([0, 0, 52.88], abs=0.01)
    assert flooded is not None
    assert flooded[1] == pytest.approx(flooded[0], rel=1e-3)
    assert metrics.change_by_region(red, blue, red, red) is None


def test_kid_is_naught_between_draws_of_one_kind_and_grows_with_what_sets_two_apart() -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(size=(60, 8)), random.normal(size=(60, 8))
    same, far, farther = (metrics.kid(one, other + shift, seed=0) for shift in (0, 1, 2))
    assert same["low"] < 0 < same["high"]
    assert 0 < far["low"] <= far["mean"] <= far["high"]
    assert farther["mean"] > far["mean"]


def test_kid_against_eight_lines_that_follow_the_paper() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=(5, 3)), random.normal(1, size=(6, 3))

    def mean(one: Any, other: Any) -> float:
        return float(np.mean([(a @ b / 3 + 1) ** 3 for a in one for b in other if a is not b and (a != b).any()]))

    assert metrics.kid(x, y, seed=0)["mean"] == pytest.approx(mean(x, x) + mean(y, y) - 2 * mean(x, y))
    with pytest.raises(ValueError, match="Received: 3"):
        metrics.kid(x[:3], y, seed=0)


@given(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=40), st.integers(0, 5))
def test_a_derangement_moves_every_picture_to_another_family(families: list[str], seed: int) -> None:
    order = metrics.derangement(families, seed)
    if 2 * max(map(families.count, families)) > len(families):
        assert order is None
    else:
        assert order is not None
        assert sorted(order) == list(range(len(families)))
        assert all(families[at] != families[came_from] for at, came_from in enumerate(order))
        np.testing.assert_array_equal(order, metrics.derangement(families, seed))


def test_a_bootstrap_interval_holds_the_mean_and_narrows_with_families() -> None:
    values = np.random.default_rng(0).normal(1.0, 1.0, 400)
    many = metrics.bootstrap_interval(values.tolist(), [str(n) for n in range(400)], seed=0)
    few = metrics.bootstrap_interval(values.tolist(), [str(n // 40) for n in range(400)], seed=0)
    one = metrics.bootstrap_interval([2.0] * 8, list("aabbccdd"), seed=0)
    assert many["low"] < many["mean"] < many["high"]
    # the mean of 400 standard normals has a standard error of 0.05: an interval of about 0.2
    assert many["high"] - many["low"] == pytest.approx(2 * 1.96 / math.sqrt(400), rel=0.15)
    assert few["high"] - few["low"] > 0.5 * (many["high"] - many["low"])
    assert (one["low"], one["mean"], one["high"]) == (2.0, 2.0, 2.0)
