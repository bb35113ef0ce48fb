"""The updates of a training step, as the papers state them."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from train import augment, losses
from train.config import Config
from train.data import Batch, white_outside

Figures = dict[str, Any]


class Pace(NamedTuple):
    """What changes from step to step beside the data."""

    decay: Any
    """Of the moving average."""
    loss_weight: Any
    """Of the loss of pixels."""
    seed: Any
    """(2,) int64, the config's seed and the step."""


class ColorTags(NamedTuple):
    """The colour tags of a vocabulary."""

    places: Any
    """(n,) int: where each is in the vocabulary."""
    same: Any
    """(n, n) float32: 1 where two are of one noun, so that a tag of one says no to the other."""


class Gan:
    """Generator, its moving average, discriminator and their optimizers, for one config."""

    def __init__(
        self, config: Config, generator: keras.Model, discriminator: keras.Model | None, colors: ColorTags
    ) -> None:
        self.config, self.generator, self.colors = config, generator, colors
        self.discriminator: Any = discriminator  # like its loss, None without an adversary: then no step asks for it
        self.average = keras.models.clone_model(generator)
        self.average.set_weights(generator.get_weights())
        self.g_optimizer = _optimizer(config, config.learning_rate, generator)
        self.d_optimizer = _optimizer(config, config.discriminator_rate, discriminator)
        self.game: Any = losses.ADVERSARIES.get(config.adversary)
        kinds = {"plain": self.plain_step, "critic": self.critic_step, "both": self.adversarial_step}
        self.steps = {kind: tf.function(step, jit_compile=config.jit) for kind, step in kinds.items()}

    def step(self, batch: Batch, pace: Pace, rate: float, kind: str) -> Figures:
        """One training step of a kind, `plain`, `critic` or `both`, at `rate` times the optimizers' peak rates."""
        self.g_optimizer.learning_rate.assign(rate * self.config.learning_rate)
        self.d_optimizer.learning_rate.assign(rate * self.config.discriminator_rate)
        return dict(self.steps[kind](batch, Pace(*map(tf.constant, pace))))

    def plain_step(self, batch: Batch, pace: Pace) -> Figures:
        """One update of the generator by pixels alone: as long as colours are far off, a judge has nothing to add."""
        with tf.GradientTape() as tape:
            fakes = self.generator([batch.lines, batch.tags], training=True)
            error = self.error(fakes, batch)
            loss = pace.loss_weight * error
        self._apply(self.g_optimizer, tape, loss, self.generator)
        self._average(pace.decay)
        return {self.config.loss: error}

    def critic_step(self, batch: Batch, pace: Pace) -> Figures:
        """One update of the discriminator alone, which a Wasserstein critic needs several of."""
        fakes = white_outside(self.generator([batch.lines, batch.tags], training=True), batch.mask)
        return {self.config.loss: self.error(fakes, batch), **self.discriminator_step(batch, fakes, pace)}

    def adversarial_step(self, batch: Batch, pace: Pace) -> Figures:
        """One update of the discriminator, one of the generator, from the same fakes of one pass."""
        with tf.GradientTape() as tape:
            fakes = white_outside(self.generator([batch.lines, batch.tags], training=True), batch.mask)
            error = self.error(fakes, batch)
            figures = self.discriminator_step(batch, tf.stop_gradient(fakes), pace)
            adversarial, named = self._fooled(batch, fakes, pace)
            loss = pace.loss_weight * error + self.config.adversarial_weight * adversarial
            loss += self.config.auxiliary_weight * named
        self._apply(self.g_optimizer, tape, loss, self.generator)
        self._average(pace.decay)
        return {self.config.loss: error, "generator": adversarial, **figures}

    def discriminator_step(self, batch: Batch, fakes: Any, pace: Pace) -> Figures:
        """One update on reals and fakes (b, size, size, 3) in [-1, 1]; the fakes carry no gradient."""
        with tf.GradientTape() as tape:
            reals, named = self._judge(batch, batch.colors, pace, 10, training=True)
            judged, _ = self._judge(batch, fakes, pace, 20, training=True)
            loss = self.game.discriminator(reals, judged)
            penalty = self._penalty(batch, fakes, pace)
            whole = loss + self.config.penalty_weight * penalty + self.config.auxiliary_weight * named
        self._apply(self.d_optimizer, tape, whole, self.discriminator)
        if self.config.clip:
            for weight in self.discriminator.trainable_variables:
                weight.assign(tf.clip_by_value(weight, -self.config.clip, self.config.clip))
        figures = {"discriminator": loss, "real_logits": tf.reduce_mean(reals), "fake_logits": tf.reduce_mean(judged)}
        figures["accuracy"] = (tf.reduce_mean(_share(reals > 0)) + tf.reduce_mean(_share(judged < 0))) / 2
        extra = {"penalty": penalty} if self.config.penalty != "none" else {}
        return figures | extra | ({"named": named} if self.config.auxiliary_weight else {})

    def error(self, fakes: Any, batch: Batch) -> Any:
        """The config's loss of pixels, over what lies inside the content box."""
        return losses.masked_mean(losses.PIXELS[self.config.loss](fakes, batch.colors), batch.mask)

    def _fooled(self, batch: Batch, fakes: Any, pace: Pace) -> tuple[Any, Any]:
        """The generator's side of the game, and how well the fakes' colour tags are told from them."""
        training = self.config.discriminator_norm == "batch"  # else it would be judged by other statistics
        judged, named = self._judge(batch, fakes, pace, 30, training=training)
        relative = self.config.adversary == "relativistic"
        reals = self._judge(batch, batch.colors, pace, 10, training=training)[0] if relative else judged
        return self.game.generator(reals, judged), named

    def _judge(self, batch: Batch, colors: Any, pace: Pace, draw: int, *, training: bool) -> tuple[Any, Any]:
        """Logits of pictures beside their lines, moved and cut alike; and the error of their colour tags, else 0."""
        seen = tf.concat([batch.lines, colors], axis=-1)
        if self.config.move:
            seen = augment.move_and_cut(seen, augment.other(pace.seed, draw), self.config.move)
        outputs = self.discriminator([seen[..., :1], seen[..., 1:], batch.tags], training=training)
        if not isinstance(outputs, list):
            return outputs, 0.0
        tags = tf.gather(batch.tags, self.colors.places, axis=1)
        told = tf.cast(tf.matmul(tags, self.colors.same) > 0, tf.float32)
        return outputs[0], losses.tag_error(outputs[1], tags, told)

    def _penalty(self, batch: Batch, fakes: Any, pace: Pace) -> Any:
        if self.config.penalty == "none":
            return 0.0
        points = batch.colors
        if self.config.penalty == "unit":
            mix = tf.random.stateless_uniform((tf.shape(fakes)[0], 1, 1, 1), augment.other(pace.seed, 40))
            points += mix * (fakes - points)
        with tf.GradientTape() as tape:
            tape.watch(points)
            logits = self._judge(batch, points, pace, 10, training=True)[0]
        slopes = tape.gradient(logits, points)
        return (losses.unit_penalty if self.config.penalty == "unit" else losses.real_penalty)(slopes)

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


def _optimizer(config: Config, rate: float, model: keras.Model | None) -> keras.optimizers.Optimizer:
    if config.optimizer == "rmsprop":
        optimizer = keras.optimizers.RMSprop(rate)
    else:
        optimizer = keras.optimizers.Adam(rate, config.beta_1, config.beta_2)
    if model is not None:
        optimizer.build(model.trainable_variables)
    return optimizer


def _share(which: Any) -> Any:
    return tf.cast(which, tf.float32)
