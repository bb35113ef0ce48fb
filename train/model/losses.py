"""Losses as pure functions; a config names a pixel loss and an adversarial loss.

Pixel losses take pictures (b, h, w, c) in [-1, 1] and give the loss of each pixel and channel. All others give a
scalar. Adversarial losses take `reals` and `fakes` as logits of any shape; D = sigmoid(logit) is the probability that
the discriminator gives for real.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

Tensor = Any
MIN_PROBABILITY = 1e-6  # log(0) is infinite
LOG_2 = math.log(2)


def l1(fakes: Tensor, reals: Tensor) -> Tensor:
    """|fake - real|."""
    return ops.abs(fakes - reals)


def mse(fakes: Tensor, reals: Tensor) -> Tensor:
    """(fake - real)²."""
    return ops.square(fakes - reals)


def pixel_cross_entropy(fakes: Tensor, reals: Tensor) -> Tensor:
    """-q·log p - (1 - q)·log(1 - p) with pixels read as probabilities: p = (fake + 1) / 2, q = (real + 1) / 2.

    Source: Vincent et al., "Stacked denoising autoencoders", JMLR 11 (2010), section 2.2.
    """
    p, q = ops.clip((fakes + 1) / 2, MIN_PROBABILITY, 1 - MIN_PROBABILITY), (reals + 1) / 2
    return -q * ops.log(p) - (1 - q) * ops.log(1 - p)


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": l1, "mse": mse, "log": pixel_cross_entropy}


def masked_mean(errors: Tensor, mask: Tensor) -> Tensor:
    """Mean over pictures of each picture's mean error (b, h, w, c) where its mask (b, h, w, 1) is 1.

    Each picture counts equally, however much of its square is padding; so the means of equal parts of a batch average
    to the mean of the batch.
    """
    inside = ops.maximum(ops.sum(mask, axis=(1, 2, 3)), 1)
    return ops.mean(ops.sum(errors * mask, axis=(1, 2, 3)) / (inside * errors.shape[-1]))


def hinge_discriminator(reals: Tensor, fakes: Tensor) -> Tensor:
    """max(0, 1 - real) + max(0, 1 + fake). Source: Lim and Ye, "Geometric GAN" (2017), arXiv:1705.02894, eq. 18."""
    return ops.mean(ops.relu(1 - reals)) + ops.mean(ops.relu(1 + fakes))


def cross_entropy_discriminator(reals: Tensor, fakes: Tensor) -> Tensor:
    """-log D(real) - log(1 - D(fake)). Source: Goodfellow et al. (2014), arXiv:1406.2661, eq. 1."""
    return ops.mean(ops.softplus(-reals)) + ops.mean(ops.softplus(fakes))


def wasserstein_critic(reals: Tensor, fakes: Tensor) -> Tensor:
    """Mean of fakes less mean of reals. Source: Arjovsky et al. (2017), arXiv:1701.07875, algorithm 1."""
    return ops.mean(fakes) - ops.mean(reals)


def relativistic_discriminator(reals: Tensor, fakes: Tensor) -> Tensor:
    """-log sigmoid(real - fake), pair by pair. Source: Jolicoeur-Martineau (2018), arXiv:1807.00734, eq. 10."""
    return ops.mean(ops.softplus(fakes - reals))


def minimax_generator(_: Tensor, fakes: Tensor) -> Tensor:
    """log(1 - D(fake)); its gradient vanishes where D is certain of fakes. Source: Goodfellow et al. (2014), eq. 1."""
    return -ops.mean(ops.softplus(fakes))


def nonsaturating_generator(_: Tensor, fakes: Tensor) -> Tensor:
    """-log D(fake). Source: Goodfellow et al. (2014), arXiv:1406.2661, section 3."""
    return ops.mean(ops.softplus(-fakes))


def negative_logit(_: Tensor, fakes: Tensor) -> Tensor:
    """-fake: the generator's loss of the hinge (Lim and Ye, eq. 19), of Wasserstein (algorithm 1) and of KL.

    For KL, since -log(D / (1 - D)) is exactly minus the logit; it has no bound. Source: Sønderby et al. (2016),
    arXiv:1610.04490.
    """
    return -ops.mean(fakes)


def relativistic_generator(reals: Tensor, fakes: Tensor) -> Tensor:
    """-log sigmoid(fake - real), pair by pair. Source: Jolicoeur-Martineau (2018), eq. 11."""
    return ops.mean(ops.softplus(reals - fakes))


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of both networks, each of the logits of reals and of fakes: (reals, fakes) -> scalar."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    loss_at_tie: float | None = None
    """The discriminator's loss if all logits are 0, so that it cannot tell reals from fakes; None if it has no tie."""


ADVERSARIAL_LOSSES: dict[str, AdversarialLoss] = {
    "minimax": AdversarialLoss(cross_entropy_discriminator, minimax_generator, 2 * LOG_2),
    "nonsaturating": AdversarialLoss(cross_entropy_discriminator, nonsaturating_generator, 2 * LOG_2),
    "kl": AdversarialLoss(cross_entropy_discriminator, negative_logit, 2 * LOG_2),
    "wasserstein": AdversarialLoss(wasserstein_critic, negative_logit),
    "hinge": AdversarialLoss(hinge_discriminator, negative_logit, 2.0),
    "relativistic": AdversarialLoss(relativistic_discriminator, relativistic_generator, LOG_2),
}


def tag_loss(logits: Tensor, tags: Tensor, known: Tensor, total: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of tag logits (b, n) against multi-hot tags (b, n), where `known` (b, n) is 1.

    A missing tag does not say that the picture lacks it: `known` is 0 where a picture's tags leave a tag open.
    For a part of a batch, `total` is its share of the sum of `known` over the whole batch. Source: Odena et al.,
    "Auxiliary Classifier GANs" (2017), arXiv:1610.09585, eq. 3, with one sigmoid for each tag.
    """
    cross_entropy = ops.softplus(logits) - logits * tags
    return ops.sum(cross_entropy * known) / (ops.maximum(ops.sum(known), 1) if total is None else total)


def wgan_gp_penalty(slopes: Tensor) -> Tensor:
    """Mean of (|slope| - 1)² for gradients `slopes` (b, h, w, c) of the logits by a picture.

    The norm is over height, width and channels together.

    Source: Gulrajani et al. (2017), arXiv:1704.00028, eq. 3.
    """
    norms = ops.sqrt(ops.sum(ops.square(slopes), axis=(1, 2, 3)) + 1e-12)  # the gradient of sqrt at 0 is infinite
    return ops.mean(ops.square(norms - 1))


def r1_penalty(slopes: Tensor) -> Tensor:
    """Mean of |slope|² / 2 for gradients `slopes` (b, h, w, c) of the logits at real pictures (R1).

    Source: Mescheder et al. (2018), arXiv:1801.04406, eq. 9.
    """
    return ops.mean(ops.sum(ops.square(slopes), axis=(1, 2, 3))) / 2
