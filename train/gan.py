"""The two updates of a training step, as the papers state them."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from train import losses
from train.config import Config
from train.data import Batch, white_outside

Figures = dict[str, Any]


class Gan:
    """Generator, its moving average, discriminator and their optimizers, for one config."""

    def __init__(self, config: Config, generator: keras.Model, discriminator: keras.Model | None) -> None:
        self.config, self.generator = config, generator
        self.discriminator: Any = discriminator  # like its loss, None without an adversary: then no step asks for it
        self.average = keras.models.clone_model(generator)
        self.average.set_weights(generator.get_weights())
        self.g_optimizer = keras.optimizers.Adam(config.learning_rate, config.beta_1, config.beta_2)
        self.g_optimizer.build(generator.trainable_variables)
        self.d_optimizer = keras.optimizers.Adam(config.discriminator_rate, config.beta_1, config.beta_2)
        if discriminator is not None:
            self.d_optimizer.build(discriminator.trainable_variables)
        self.loss: Any = losses.ADVERSARIES.get(config.adversary)
        self.steps = {
            adversarial: tf.function(step, jit_compile=config.jit)
            for adversarial, step in ((False, self.plain_step), (True, self.adversarial_step))
        }

    def step(self, batch: Batch, rate: float, decay: float, adversarial: bool) -> Figures:
        """One training step at `rate` times the optimizers' peak rates; `decay` is that of the moving average."""
        self.g_optimizer.learning_rate.assign(rate * self.config.learning_rate)
        self.d_optimizer.learning_rate.assign(rate * self.config.discriminator_rate)
        return dict(self.steps[adversarial](batch, tf.constant(decay, tf.float32)))

    def plain_step(self, batch: Batch, decay: Any) -> Figures:
        """One update of the generator by L1 alone: as long as colours are far off, a judge has nothing to add."""
        with tf.GradientTape() as tape:
            fakes = self.generator([batch.lines, batch.tags], training=True)
            error = losses.l1(fakes, batch.colors, batch.mask)
            loss = self.config.l1_weight * error
        self._apply(self.g_optimizer, tape, loss, self.generator)
        self._average(decay)
        return {"l1": error}

    def adversarial_step(self, batch: Batch, decay: Any) -> Figures:
        """One update of the discriminator, one of the generator, from the same fakes of one pass."""
        with tf.GradientTape() as tape:
            fakes = white_outside(self.generator([batch.lines, batch.tags], training=True), batch.mask)
            error = losses.l1(fakes, batch.colors, batch.mask)
            figures = self.discriminator_step(batch, tf.stop_gradient(fakes))
            adversarial = self.loss.generator(self.discriminator([batch.lines, fakes, batch.tags], training=False))
            loss = self.config.l1_weight * error + self.config.adversarial_weight * adversarial
        self._apply(self.g_optimizer, tape, loss, self.generator)
        self._average(decay)
        return {"l1": error, "generator": adversarial, **figures}

    def discriminator_step(self, batch: Batch, fakes: Any) -> Figures:
        """One update on reals and fakes (b, size, size, 3) in [-1, 1]; the fakes carry no gradient."""
        with tf.GradientTape() as tape:
            real_logits = self.discriminator([batch.lines, batch.colors, batch.tags], training=True)
            fake_logits = self.discriminator([batch.lines, fakes, batch.tags], training=True)
            loss = self.loss.discriminator(real_logits, fake_logits)
        self._apply(self.d_optimizer, tape, loss, self.discriminator)
        return {
            "discriminator": loss,
            "real_logits": tf.reduce_mean(real_logits),
            "fake_logits": tf.reduce_mean(fake_logits),
        }

    def state(self) -> dict[str, Any]:
        """Every variable that decides the next step, by a name that is the same in every run."""
        models = {"generator": self.generator.weights, "average": self.average.weights}
        models |= {"g_optimizer": self.g_optimizer.variables, "d_optimizer": self.d_optimizer.variables}
        if self.discriminator is not None:
            models["discriminator"] = self.discriminator.weights
        return {f"{part}/{place:03d}": one for part, found in models.items() for place, one in enumerate(found)}

    @staticmethod
    def _apply(optimizer: keras.optimizers.Optimizer, tape: tf.GradientTape, loss: Any, model: keras.Model) -> None:
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    def _average(self, decay: Any) -> None:
        """Move the average's weights towards the generator's. Source: Yazici et al. (2019), arXiv:1806.04498, eq. 4."""
        for slow, fast in zip(self.average.weights, self.generator.weights, strict=True):
            slow.assign(decay * slow + (1 - decay) * fast)
