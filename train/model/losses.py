"""Losses as pure functions of logits or pixels; a preset names one of each table.

`reals` and `fakes` are logits, before any sigmoid, of any shape; D = sigmoid(logit). All give a scalar mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

Tensor = Any
_LEAST = 1e-6  # of a probability: log(0) is infinite


def l1(fakes: Tensor, reals: Tensor) -> Tensor:
    """Absolute error of pixels in [-1, 1]."""
    return ops.abs(fakes - reals)


def mse(fakes: Tensor, reals: Tensor) -> Tensor:
    """Squared error of pixels in [-1, 1]."""
    return ops.square(fakes - reals)


def pixel_cross_entropy(fakes: Tensor, reals: Tensor) -> Tensor:
    """Binary cross-entropy, with pixels in [-1, 1] taken for probabilities: p = (pixel + 1) / 2.

    Source: Vincent et al., "Stacked denoising autoencoders", JMLR 11 (2010), section 2.2.
    """
    made, wanted = ops.clip((fakes + 1) / 2, _LEAST, 1 - _LEAST), (reals + 1) / 2
    return -wanted * ops.log(made) - (1 - wanted) * ops.log(1 - made)


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": l1, "mse": mse, "log": pixel_cross_entropy}


def masked_mean(errors: Tensor, mask: Tensor) -> Tensor:
    """Mean over pictures of the mean over each one's pixels: errors (b, h, w, c) where mask (b, h, w, 1) is 1.

    Each picture weighs the same however much of its square is padding, so the parts of a batch may be averaged.
    """
    inside = ops.maximum(ops.sum(mask, axis=(1, 2, 3)), 1)
    return ops.mean(ops.sum(errors * mask, axis=(1, 2, 3)) / (inside * errors.shape[-1]))


def hinge_discriminator(reals: Tensor, fakes: Tensor) -> Tensor:
    """max(0, 1 - real) + max(0, 1 + fake). Source: Lim and Ye, "Geometric GAN" (2017), arXiv:1705.02894, eq. 18."""
    return ops.mean(ops.relu(1 - reals)) + ops.mean(ops.relu(1 + fakes))


def cross_entropy_discriminator(reals: Tensor, fakes: Tensor) -> Tensor:
    """-log D(real) - log(1 - D(fake)); 2·log 2 where it cannot tell. Source: Goodfellow et al. (2014), eq. 1."""
    return ops.mean(ops.softplus(-reals)) + ops.mean(ops.softplus(fakes))


def wasserstein_critic(reals: Tensor, fakes: Tensor) -> Tensor:
    """Fake - real. Source: Arjovsky et al., "Wasserstein GAN" (2017), arXiv:1701.07875, algorithm 1."""
    return ops.mean(fakes) - ops.mean(reals)


def relativistic_discriminator(reals: Tensor, fakes: Tensor) -> Tensor:
    """-log sigmoid(real - fake), pair by pair; log 2 where it cannot tell.

    Source: Jolicoeur-Martineau (2018), arXiv:1807.00734, eq. 10.
    """
    return ops.mean(ops.softplus(fakes - reals))


def minimax_generator(_: Tensor, fakes: Tensor) -> Tensor:
    """log(1 - D(fake)), whose slope dies where fakes are seen through. Source: Goodfellow et al. (2014), eq. 1."""
    return -ops.mean(ops.softplus(fakes))


def nonsaturating_generator(_: Tensor, fakes: Tensor) -> Tensor:
    """-log D(fake). Source: Goodfellow et al. (2014), arXiv:1406.2661, section 3."""
    return ops.mean(ops.softplus(-fakes))


def negative_logit(_: Tensor, fakes: Tensor) -> Tensor:
    """-fake: the generator's side of the hinge (Lim and Ye, eq. 19), of Wasserstein (algorithm 1), and of KL.

    -log(D / (1 - D)) is exactly minus the logit, and unbounded. Source: Sønderby et al. (2016), arXiv:1610.04490.
    """
    return -ops.mean(fakes)


def relativistic_generator(reals: Tensor, fakes: Tensor) -> Tensor:
    """-log sigmoid(fake - real), pair by pair. Source: as the relativistic discriminator, eq. 11."""
    return ops.mean(ops.softplus(reals - fakes))


@dataclass(frozen=True)
class AdversarialLoss:
    """Both sides of a game; each sees the logits of reals and of fakes."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    loss_at_tie: float | None = None
    """The discriminator's loss where it cannot tell, if the game has such a number."""


ADVERSARIAL_LOSSES: dict[str, AdversarialLoss] = {
    "minimax": AdversarialLoss(cross_entropy_discriminator, minimax_generator, 2 * 0.6931471805599453),
    "nonsaturating": AdversarialLoss(cross_entropy_discriminator, nonsaturating_generator, 2 * 0.6931471805599453),
    "kl": AdversarialLoss(cross_entropy_discriminator, negative_logit, 2 * 0.6931471805599453),
    "wasserstein": AdversarialLoss(wasserstein_critic, negative_logit),
    "hinge": AdversarialLoss(hinge_discriminator, negative_logit, 2.0),
    "relativistic": AdversarialLoss(relativistic_discriminator, relativistic_generator, 0.6931471805599453),
}


def tag_loss(logits: Tensor, tags: Tensor, told: Tensor, total: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of tag logits (b, n) against multi-hot tags, where told (b, n) is 1.

    Of a part of a batch, `total` is its share of the sum of told over the whole one.
    What a picture's tags leave open is no "no": told is 0 there. Source: Odena et al., "Auxiliary Classifier GANs"
    (2017), arXiv:1610.09585, eq. 3, with one sigmoid a tag.
    """
    each = ops.softplus(logits) - logits * tags
    return ops.sum(each * told) / (ops.maximum(ops.sum(told), 1) if total is None else total)


def wgan_gp_penalty(slopes: Tensor) -> Tensor:
    """Mean of (|slope| - 1)², slopes (b, h, w, c) of the logits; the norm is over height, width and channels together.

    Source: Gulrajani et al. (2017), arXiv:1704.00028, eq. 3.
    """
    norms = ops.sqrt(ops.sum(ops.square(slopes), axis=(1, 2, 3)) + 1e-12)  # the slope of a root at 0 is infinite
    return ops.mean(ops.square(norms - 1))


def r1_penalty(slopes: Tensor) -> Tensor:
    """Mean of |slope|² / 2 at the reals (R1), slopes (b, h, w, c).

    Source: Mescheder et al. (2018), arXiv:1801.04406, eq. 9.
    """
    return ops.mean(ops.sum(ops.square(slopes), axis=(1, 2, 3))) / 2
