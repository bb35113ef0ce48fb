"""Losses equal numbers worked by hand and the formulas of their papers."""

import math

import numpy as np
import pytest

from train.model import losses

REALS, FAKES = np.array([2.0, 0.0], np.float32), np.array([-2.0, 1.0], np.float32)


def picture(*values: float) -> np.ndarray:
    """(1, 1, n, 1): one picture, a row of n pixels."""
    return np.array(values, np.float32).reshape(1, 1, -1, 1)


def test_pixel_losses_equal_numbers_worked_by_hand() -> None:
    fakes, reals = picture(0.5, -1.0), picture(1.0, 0.0)
    np.testing.assert_allclose(losses.l1(fakes, reals).numpy().ravel(), [0.5, 1.0])
    np.testing.assert_allclose(losses.mse(fakes, reals).numpy().ravel(), [0.25, 1.0])
    # probabilities 0.75 of 1: -log 0.75 = 0.287682; 0.25 of 0.5: -(log 0.25 + log 0.75) / 2 = 0.836988
    cross_entropy = losses.pixel_cross_entropy(picture(0.5, -0.5), picture(1.0, 0.0)).numpy().ravel()
    np.testing.assert_allclose(cross_entropy, [0.287682, 0.836988], atol=1e-6)


def test_the_masked_mean_counts_pixels_inside_the_mask_and_each_picture_equally() -> None:
    errors, mask = np.zeros((2, 2, 2, 3), np.float32), np.zeros((2, 2, 2, 1), np.float32)
    errors[0], mask[0] = 1, 1  # four pixels of error 1
    errors[1, 0, 0], errors[1, 1] = (3, 3, 3), 100
    mask[1, 0, 0] = 1  # one pixel of error 3, the others outside
    assert float(losses.masked_mean(errors, mask)) == pytest.approx((1 + 3) / 2)
    halves = [float(losses.masked_mean(errors[n : n + 1], mask[n : n + 1])) for n in (0, 1)]
    assert np.mean(halves) == pytest.approx(2)


def test_hinge_losses_equal_numbers_worked_by_hand() -> None:
    # reals: max(0, 1-2) = 0 and max(0, 1-0) = 1, mean 0.5; fakes: max(0, 1-2) = 0 and max(0, 1+1) = 2, mean 1
    assert float(losses.hinge_discriminator(REALS, FAKES)) == pytest.approx(1.5)
    assert float(losses.negative_logit(REALS, FAKES)) == pytest.approx(0.5)  # -(-2 + 1) / 2


def test_the_wasserstein_loss_equals_a_number_worked_by_hand() -> None:
    assert float(losses.wasserstein_critic(REALS, FAKES)) == pytest.approx(-0.5 - 1.0)  # mean of fakes, of reals


def test_relativistic_losses_equal_numbers_worked_by_hand() -> None:
    # real - fake: 4 and -1; log(1 + e^-4) = 0.018150, log(1 + e) = 1.313262
    assert float(losses.relativistic_discriminator(REALS, FAKES)) == pytest.approx(0.665706, abs=1e-5)
    # fake - real: -4 and 1; log(1 + e^4) = 4.018150, log(1 + e^-1) = 0.313262
    assert float(losses.relativistic_generator(REALS, FAKES)) == pytest.approx(2.165706, abs=1e-5)


def test_minimax_and_kl_losses_equal_the_formulas_of_their_papers() -> None:
    d = 1 / (1 + np.exp(-FAKES))
    assert float(losses.minimax_generator(REALS, FAKES)) == pytest.approx(np.log(1 - d).mean(), abs=1e-6)
    assert float(losses.negative_logit(REALS, FAKES)) == pytest.approx(-np.log(d / (1 - d)).mean(), abs=1e-6)


def test_cross_entropy_losses_equal_numbers_worked_by_hand() -> None:
    # log(1 + e^-2) = 0.126928, log(1 + e^0) = 0.693147, mean 0.410038
    # fakes: 0.126928 and log(1 + e) = 1.313262, mean 0.720095
    assert float(losses.cross_entropy_discriminator(REALS, FAKES)) == pytest.approx(0.410038 + 0.720095, abs=1e-5)
    # -log D(fake): log(1 + e^2) = 2.126928 and log(1 + e^-1) = 0.313262, mean 1.220095
    assert float(losses.nonsaturating_generator(REALS, FAKES)) == pytest.approx(1.220095, abs=1e-5)


@pytest.mark.parametrize(
    "name", [name for name, loss in losses.ADVERSARIAL_LOSSES.items() if loss.loss_at_tie is not None]
)
def test_a_discriminator_whose_logits_are_zero_has_the_loss_of_a_tie(name: str) -> None:
    zeros, loss = np.zeros(5, np.float32), losses.ADVERSARIAL_LOSSES[name]
    assert float(loss.discriminator(zeros, zeros)) == pytest.approx(loss.loss_at_tie)
    if name in {"minimax", "nonsaturating", "kl"}:
        assert loss.loss_at_tie == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("name", sorted(losses.ADVERSARIAL_LOSSES))
def test_each_networks_loss_falls_where_the_others_rises(name: str) -> None:
    loss = losses.ADVERSARIAL_LOSSES[name]
    assert float(loss.discriminator(REALS, FAKES)) < float(loss.discriminator(FAKES, REALS))
    assert float(loss.generator(FAKES, REALS)) < float(loss.generator(REALS, FAKES))


def test_unknown_tags_add_nothing_to_the_tag_loss() -> None:
    logits, tags = np.array([[0.0, 2.0, 9.0]], np.float32), np.array([[1.0, 0.0, 0.0]], np.float32)
    # log(1 + e^0) - 0 = 0.693147; log(1 + e^2) = 2.126928; the third is unknown
    known = np.array([[1.0, 1.0, 0.0]], np.float32)
    assert float(losses.tag_loss(logits, tags, known)) == pytest.approx((0.693147 + 2.126928) / 2, abs=1e-6)
    assert float(losses.tag_loss(logits, tags, np.zeros_like(known))) == 0


def test_gradient_penalties_take_the_norm_over_the_whole_picture() -> None:
    slopes = np.zeros((2, 2, 2, 3), np.float32)
    slopes[0, 0, 0, 0], slopes[0, 1, 1, 2] = 3, 4  # norm 5, over pixels and channels
    slopes[1, 0, 1, 1] = 1  # norm 1
    assert float(losses.wgan_gp_penalty(slopes)) == pytest.approx((16 + 0) / 2)
    assert float(losses.r1_penalty(slopes)) == pytest.approx((25 + 1) / 2 / 2)
