"""Figures of pictures whose values are known: worked by hand, or published."""

import numpy as np
import pytest

from tests.train.evaluation.pictures import flat, square
from train.evaluation import metrics


def test_l1_and_psnr_equal_numbers_worked_by_hand() -> None:
    assert metrics.l1(flat(0.5, 0.5, 0.5), flat(0.5, 0.2, 0.5)) == pytest.approx(0.1)
    assert metrics.psnr(flat(0, 0, 0), flat(0.1, 0.1, 0.1)) == pytest.approx(20, abs=1e-4)  # -10 log10(0.01)
    assert metrics.psnr(flat(1, 0, 0), flat(1, 0, 0)) == 100


def test_ssim_is_one_for_equal_pictures_and_lower_for_noise() -> None:
    noise = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    assert metrics.ssim(noise, noise) == pytest.approx(1)
    assert metrics.ssim(noise, noise[::-1]) < 0.5
    assert metrics.ssim(noise[:2], noise[:2]) == 1


def test_ciede2000_of_black_and_white_is_100_and_of_equal_colours_0() -> None:
    assert metrics.ciede2000(flat(0, 0, 0), flat(1, 1, 1)) == pytest.approx(100, abs=0.1)  # black to white
    assert metrics.ciede2000(flat(1, 0, 0), flat(1, 0, 0)) == 0


def test_gray_has_no_chroma_and_sepia_has_less_than_red() -> None:
    assert metrics.mean_chroma(flat(0.5, 0.5, 0.5)) == pytest.approx(0, abs=0.1)
    assert 5 < metrics.mean_chroma(flat(0.5, 0.4, 0.3)) < metrics.mean_chroma(flat(1, 0, 0))


def test_line_f1_ignores_colours_and_falls_to_zero_without_lines() -> None:
    assert metrics.line_f1(square(1, 0.8, 0.2), square(0.4, 0.9, 1)) > 0.95
    assert metrics.line_f1(flat(0.5, 0.5, 0.5, 32), square(1, 0, 0)) == 0
    assert metrics.line_f1(flat(1, 1, 1, 32), flat(0, 0, 1, 32)) == 1
