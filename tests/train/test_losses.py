import math

import numpy as np
import pytest

from train import losses

REALS, FAKES = np.array([2.0, 0.0], np.float32), np.array([-2.0, 1.0], np.float32)


def test_l1_is_the_mean_over_what_the_mask_leaves() -> None:
    fakes, reals = np.zeros((1, 2, 2, 3), np.float32), np.ones((1, 2, 2, 3), np.float32)
    reals[0, 0, 0] = (3, 0, 0)  # |0-3| + 0 + 0 = 3 beside a pixel of 1 + 1 + 1 = 3: six numbers, mean 1
    mask = np.zeros((1, 2, 2, 1), np.float32)
    mask[0, 0] = 1
    assert float(losses.l1(fakes, reals, mask)) == pytest.approx(1)
    reals[0, 1] = 100  # outside the mask
    assert float(losses.l1(fakes, reals, mask)) == pytest.approx(1)


def test_hinge_against_numbers_worked_by_hand() -> None:
    # reals: max(0, 1-2) = 0 and max(0, 1-0) = 1, mean 0.5; fakes: max(0, 1-2) = 0 and max(0, 1+1) = 2, mean 1
    assert float(losses.hinge_discriminator(REALS, FAKES)) == pytest.approx(1.5)
    assert float(losses.hinge_generator(FAKES)) == pytest.approx(0.5)  # -(-2 + 1) / 2


def test_cross_entropy_against_numbers_worked_by_hand() -> None:
    # log(1 + e^-2) = 0.126928, log(1 + e^0) = 0.693147, mean 0.410038
    # fakes: 0.126928 and log(1 + e) = 1.313262, mean 0.720095
    assert float(losses.cross_entropy_discriminator(REALS, FAKES)) == pytest.approx(0.410038 + 0.720095, abs=1e-5)
    # -log D(fake): log(1 + e^2) = 2.126928 and log(1 + e^-1) = 0.313262, mean 1.220095
    assert float(losses.nonsaturating_generator(FAKES)) == pytest.approx(1.220095, abs=1e-5)


def test_a_discriminator_that_cannot_tell_has_a_loss_of_two_log_two() -> None:
    nothing = np.zeros(5, np.float32)
    assert float(losses.cross_entropy_discriminator(nothing, nothing)) == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("name", sorted(losses.ADVERSARIES))
def test_each_side_gains_where_the_other_loses(name: str) -> None:
    game = losses.ADVERSARIES[name]
    assert float(game.discriminator(REALS, FAKES)) < float(game.discriminator(FAKES, REALS))
    assert float(game.generator(REALS)) < float(game.generator(FAKES))
