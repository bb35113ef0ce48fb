"""Losses as pure functions of logits or pixels; a preset names one of the table.

`reals` and `fakes` are logits, before any sigmoid, of any shape; D = sigmoid(logit). All give a scalar mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

Tensor = Any


def l1(fakes: Tensor, reals: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error of pixels (b, h, w, 3) where mask (b, h, w, 1) is 1; padding does not count."""
    return ops.sum(ops.abs(fakes - reals) * mask) / (3 * ops.sum(mask))


def hinge_discriminator(reals: Tensor, fakes: Tensor) -> Tensor:
    """max(0, 1 - real) + max(0, 1 + fake). Source: Lim and Ye, "Geometric GAN" (2017), arXiv:1705.02894, eq. 18."""
    return ops.mean(ops.relu(1 - reals)) + ops.mean(ops.relu(1 + fakes))


def hinge_generator(fakes: Tensor) -> Tensor:
    """-fake. Source: as the hinge discriminator, eq. 19."""
    return -ops.mean(fakes)


def cross_entropy_discriminator(reals: Tensor, fakes: Tensor) -> Tensor:
    """-log D(real) - log(1 - D(fake)); 2·log 2 where it cannot tell. Source: Goodfellow et al. (2014), eq. 1."""
    return ops.mean(ops.softplus(-reals)) + ops.mean(ops.softplus(fakes))


def nonsaturating_generator(fakes: Tensor) -> Tensor:
    """-log D(fake). Source: Goodfellow et al. (2014), arXiv:1406.2661, section 3."""
    return ops.mean(ops.softplus(-fakes))


@dataclass(frozen=True)
class Adversary:
    """Both sides of a game."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


ADVERSARIES: dict[str, Adversary] = {
    "hinge": Adversary(hinge_discriminator, hinge_generator),
    "nonsaturating": Adversary(cross_entropy_discriminator, nonsaturating_generator),
}
