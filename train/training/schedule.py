"""How long a training is, and what changes from step to step: learning rate, loss weights, kind of update.

Progress is the share of the training that is done, 0 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from train.config import Config
from train.model.gan import StepKind, StepSettings
from train.model.snapshots import TrainingClock


@dataclass(frozen=True)
class TrainingLength:
    """How long to train: a number of steps, or minutes of wall time over all calls of `fit`."""

    steps: int | None = None
    minutes: float | None = None

    def progress(self, clock: TrainingClock) -> float:
        """Progress at a clock, 0 to 1."""
        if self.steps is not None:
            return min(1.0, clock.step / self.steps)
        return min(1.0, clock.elapsed / (60 * (self.minutes or math.inf)))


def learning_rate_factor(config: Config, step: int, progress: float) -> float:
    """Learning rate as a share of its peak: a linear warm-up times half a cosine, which is zero at the end."""
    return min(1.0, (step + 1) / max(1, config.warm_up_steps)) * (1 + math.cos(math.pi * progress)) / 2


def average_decay(config: Config, step: int) -> float:
    """Decay of the moving average: small at first, so that the average forgets the initial weights."""
    return min(config.average_decay, (1 + step) / (10 + step))


def step_settings(config: Config, step: int, progress: float) -> StepSettings:
    """The average's decay, the weight of the pixel loss and the seed of a step."""
    adversary_progress = max(0.0, progress - config.adversary_from) / max(1e-9, 1 - config.adversary_from)
    weight = config.loss_weight + (config.loss_weight_end - config.loss_weight) * adversary_progress
    return StepSettings(
        np.float32(average_decay(config, step // config.accumulate)),
        np.float32(weight),
        np.array([config.seed, step], np.int64),
    )


def step_kind(config: Config, step: int, progress: float) -> StepKind:
    """Which update a step makes: `half`, then `plain`, then, with an adversary, `both`.

    With several `critic_steps`, all but the last of a round are `critic`.
    """
    if progress < config.half_until:
        return "half"
    if config.adversary == "none" or progress < config.adversary_from:
        return "plain"
    return "critic" if (step // config.accumulate + 1) % config.critic_steps else "both"
