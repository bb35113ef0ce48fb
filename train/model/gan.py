"""The updates of a training step, as the papers state them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import keras
import tensorflow as tf

from train.config import Config
from train.data import augment
from train.data.batches import Batch, white_outside
from train.model import losses, networks
from train.model.optimizers import GradientAccumulator, make_optimizer

Figures = dict[str, Any]
"""A step's losses and other figures by name: scalar tensors."""
StepKind = Literal["half", "plain", "critic", "both"]
"""Which update a step makes; see the method `*_step` of Gan, and `adversarial_step` for `both`."""


class StepSettings(NamedTuple):
    """What changes from step to step besides the data."""

    average_decay: Any
    """Decay of the moving average of the generator's weights, float32 scalar."""
    loss_weight: Any
    """Weight of the pixel loss, float32 scalar."""
    seed: Any
    """(2,) int64: the config's seed and the step."""


class ColorTags(NamedTuple):
    """The colour tags of a vocabulary."""

    indices: Any
    """(n,) int32: the position of each in the vocabulary."""
    same_noun: Any
    """(n, n) float32: 1 where two tags have the same noun, so that having one means not having the other."""


class Gan:
    """Generator, its moving average, discriminator and their optimizers, for one config.

    A step's methods take a Batch, StepSettings and whether weights change. With `updates_weights=False` a step only
    adds its gradients to those waiting for the next update.
    """

    def __init__(
        self, config: Config, generator: keras.Model, discriminator: keras.Model | None, colors: ColorTags
    ) -> None:
        self.config, self.generator, self.color_tags = config, generator, colors
        # typed Any: it and its loss are None without an adversary, and then no step uses them
        self.discriminator: Any = discriminator
        self.averaged_generator = keras.models.clone_model(generator, clone_function=_in_float32)
        self.averaged_generator.set_weights(generator.get_weights())
        self.half_size_generator = networks.at_half_size(generator) if config.half_until else None
        self.g_optimizer = make_optimizer(config, config.learning_rate, generator)
        self.d_optimizer = make_optimizer(config, config.discriminator_rate, discriminator)
        self.g_accumulator, self.d_accumulator = (
            GradientAccumulator(config.accumulate, model) for model in (generator, discriminator)
        )
        self.adversarial_loss: Any = losses.ADVERSARIAL_LOSSES.get(config.adversary)
        self.strategy = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
        self.parts = config.effective_parts if self.strategy is None else 1
        # XLA compiles no communication between devices, and no deterministic gradient of max pooling
        jit = config.jit and self.strategy is None and config.sampling != "pooled"
        steps: dict[StepKind, Callable[..., Figures]] = {
            "half": self.half_step, "plain": self.plain_step, "critic": self.critic_step, "both": self.adversarial_step
        }  # fmt: skip
        self.step_functions = {
            kind: tf.function(self._on_every_device(step), jit_compile=jit) for kind, step in steps.items()
        }

    def step(
        self, batch: Batch, settings: StepSettings, rate: float, kind: StepKind, updates_weights: bool = True
    ) -> Figures:
        """One compiled training step; `rate` is the share of their peak at which both learning rates are."""
        self.g_optimizer.learning_rate.assign(rate * self.config.learning_rate)
        self.d_optimizer.learning_rate.assign(rate * self.config.discriminator_rate)
        shares = batch if self.strategy is None else _split_over_devices(self.strategy, batch)
        return dict(self.step_functions[kind](shares, StepSettings(*map(tf.constant, settings)), updates_weights))

    def _on_every_device(self, step: Callable[..., Figures]) -> Callable[..., Figures]:
        """The step run by every device on its share of the batch; figures are means over devices."""
        strategy = self.strategy
        if strategy is None:
            return step

        def on_every_device(shares: Batch, settings: StepSettings, updates_weights: bool) -> Figures:
            figures = strategy.run(step, args=(shares, settings, updates_weights))
            return {name: strategy.reduce("MEAN", value, axis=None) for name, value in figures.items()}

        return on_every_device

    def half_step(self, batch: Batch, settings: StepSettings, updates_weights: bool = True) -> Figures:
        """A plain step at half the pairs' size, for a quarter of the work: enough to learn where colours go."""
        lines, colors, mask = (tf.nn.avg_pool2d(pixels, 2, 2, "VALID") for pixels in batch[:3])
        half_batch = Batch(lines, colors, mask, batch.tags)
        return self._pixel_step(self.half_size_generator, half_batch, settings, updates_weights)

    def plain_step(self, batch: Batch, settings: StepSettings, updates_weights: bool = True) -> Figures:
        """One update of the generator by pixel loss: while colours are far off, a discriminator adds nothing."""
        return self._pixel_step(self.generator, batch, settings, updates_weights)

    def _pixel_step(self, generator: Any, batch: Batch, settings: StepSettings, updates_weights: bool) -> Figures:
        with tf.GradientTape() as tape:
            fakes = self._forward(generator, [batch.lines, batch.tags])
            pixel_loss = self.pixel_loss(fakes, batch)
            loss = settings.loss_weight * pixel_loss
        gradients = tape.gradient(loss, self.generator.trainable_variables)
        self._update_generator(gradients, settings.average_decay, updates_weights)
        return {self.config.loss: pixel_loss}

    def critic_step(self, batch: Batch, settings: StepSettings, updates_weights: bool = True) -> Figures:
        """One update of the discriminator only; a Wasserstein critic needs several for each of the generator."""
        fakes = white_outside(self._forward(self.generator, [batch.lines, batch.tags]), batch.mask)
        return {
            self.config.loss: self.pixel_loss(fakes, batch),
            **self.discriminator_step(batch, fakes, settings, updates_weights),
        }

    def adversarial_step(self, batch: Batch, settings: StepSettings, updates_weights: bool = True) -> Figures:
        """One update of the discriminator and one of the generator, on fakes of the same forward pass."""
        with tf.GradientTape() as tape:
            fakes = white_outside(self._forward(self.generator, [batch.lines, batch.tags]), batch.mask)
            pixel_loss = self.pixel_loss(fakes, batch)
            figures = self.discriminator_step(batch, tf.stop_gradient(fakes), settings, updates_weights)
            adversarial, auxiliary = self._generator_losses(batch, fakes, settings)
            loss = settings.loss_weight * pixel_loss + self.config.adversarial_weight * adversarial
            loss += self.config.auxiliary_weight * auxiliary
        gradients = tape.gradient(loss, self.generator.trainable_variables)
        self._update_generator(gradients, settings.average_decay, updates_weights)
        return {self.config.loss: pixel_loss, "generator": adversarial, **figures}

    def discriminator_step(
        self, batch: Batch, fakes: Any, settings: StepSettings, updates_weights: bool = True
    ) -> Figures:
        """One update on the batch's reals and on fakes (b, size, size, 3) in [-1, 1], which carry no gradient."""
        with tf.GradientTape() as tape:
            real_logits, auxiliary = self._discriminate(batch, batch.colors, settings, 10, training=True)
            fake_logits, _ = self._discriminate(batch, fakes, settings, 20, training=True)
            loss = self.adversarial_loss.discriminator(real_logits, fake_logits)
            penalty = self._penalty(batch, fakes, settings)
            total = loss + self.config.penalty_weight * penalty + self.config.auxiliary_weight * auxiliary
        self._update_discriminator(tape.gradient(total, self.discriminator.trainable_variables), updates_weights)
        accuracy = (tf.reduce_mean(_indicator(real_logits > 0)) + tf.reduce_mean(_indicator(fake_logits < 0))) / 2
        figures = {
            "discriminator": loss,
            "real_logits": tf.reduce_mean(real_logits),
            "fake_logits": tf.reduce_mean(fake_logits),
            "accuracy": accuracy,
        }
        if self.config.penalty != "none":
            figures["penalty"] = penalty
        if self.config.auxiliary_weight:
            figures["named"] = auxiliary
        return figures

    def pixel_loss(self, fakes: Any, batch: Batch) -> Any:
        """The config's pixel loss inside the content box, a scalar; fakes (b, size, size, 3) in [-1, 1]."""
        return losses.masked_mean(losses.PIXEL_LOSSES[self.config.loss](fakes, batch.colors), batch.mask)

    def _forward(self, model: keras.Model, inputs: list[Any], *, training: bool = True) -> Any:
        """The model's outputs for a batch, computed in `parts` that do not wait for one another.

        Only the first part runs in training mode: a layer that then updates itself, as spectral norm does, depends on
        its weights alone and must do so once.
        """
        if self.parts == 1:
            return model(inputs, training=training)
        cuts = [number * inputs[0].shape[0] // self.parts for number in range(self.parts + 1)]
        outputs = [
            model([values[start:end] for values in inputs], training=training and not number)
            for number, (start, end) in enumerate(pairwise(cuts))
        ]
        return tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *outputs)

    def _generator_losses(self, batch: Batch, fakes: Any, settings: StepSettings) -> tuple[Any, Any]:
        """The generator's adversarial loss, and the auxiliary loss of the fakes' colour tags (0 if there is none)."""
        # with batch norm in inference mode, fakes would be judged by other statistics than in the discriminator's step
        training = self.config.discriminator_norm == "batch"
        fake_logits, auxiliary = self._discriminate(batch, fakes, settings, 30, training=training)
        real_logits = fake_logits  # unused, except by a relativistic loss
        if self.config.adversary == "relativistic":
            real_logits, _ = self._discriminate(batch, batch.colors, settings, 10, training=training)
        return self.adversarial_loss.generator(real_logits, fake_logits), auxiliary

    def _discriminate(
        self, batch: Batch, colors: Any, settings: StepSettings, draw: int, *, training: bool
    ) -> tuple[Any, Any]:
        """Logits of colours with their lines, augmented together; and the auxiliary loss (0 if there is none).

        `draw` numbers the augmentation's random choice within the step.
        """
        pictures = tf.concat([batch.lines, colors], axis=-1)
        if self.config.move:
            seed = augment.derive_seed(settings.seed, draw)
            pictures = augment.translate_and_cutout(pictures, seed, self.config.move)
        inputs = [pictures[..., :1], pictures[..., 1:], batch.tags]
        outputs = self._forward(self.discriminator, inputs, training=training)
        if not isinstance(outputs, list):
            return outputs, 0.0
        tags = tf.gather(batch.tags, self.color_tags.indices, axis=1)
        known = tf.cast(tf.matmul(tags, self.color_tags.same_noun) > 0, tf.float32)
        return outputs[0], losses.tag_loss(outputs[1], tags, known, _replica_share(tf.reduce_sum(known)))

    def _penalty(self, batch: Batch, fakes: Any, settings: StepSettings) -> Any:
        """The config's gradient penalty: at points between reals and fakes for `unit`, at reals for `real`."""
        if self.config.penalty == "none":
            return 0.0
        points = batch.colors
        if self.config.penalty == "unit":
            mix = augment.uniform_per_picture(augment.derive_seed(settings.seed, 40), 1, tf.shape(fakes)[0])
            points += mix[0, :, None, None, None] * (fakes - points)
        with tf.GradientTape() as tape:
            tape.watch(points)
            logits, _ = self._discriminate(batch, points, settings, 10, training=True)
        slopes = tape.gradient(logits, points)
        return (losses.wgan_gp_penalty if self.config.penalty == "unit" else losses.r1_penalty)(slopes)

    def state(self) -> dict[str, Any]:
        """Every variable that decides the next step, by a name that is the same in every run: PART/NUMBER."""
        variables = {"generator": self.generator.weights, "average": self.averaged_generator.weights}
        variables |= {"g_optimizer": self.g_optimizer.variables, "d_optimizer": self.d_optimizer.variables}
        if self.discriminator is not None:
            variables["discriminator"] = self.discriminator.weights
        return {
            f"{part}/{number:03d}": variable
            for part, group in variables.items()
            for number, variable in enumerate(group)
        }

    def _update_generator(self, gradients: list[Any], decay: Any, updates_weights: bool) -> None:
        if not updates_weights:
            return self.g_accumulator.add(gradients)
        self.g_optimizer.apply(self.g_accumulator.take_mean(gradients), self.generator.trainable_variables)
        return self._update_average(decay)

    def _update_discriminator(self, gradients: list[Any], updates_weights: bool) -> None:
        if not updates_weights:
            return self.d_accumulator.add(gradients)
        self.d_optimizer.apply(self.d_accumulator.take_mean(gradients), self.discriminator.trainable_variables)
        for weight in self.discriminator.trainable_variables if self.config.clip else ():
            weight.assign(tf.clip_by_value(weight, -self.config.clip, self.config.clip))
        return None

    def _update_average(self, decay: Any) -> None:
        """Move the averaged weights towards the generator's: average = decay·average + (1 - decay)·weight.

        Source: Yazici et al. (2019), arXiv:1806.04498, eq. 4.
        """
        for average, weight in zip(self.averaged_generator.weights, self.generator.weights, strict=True):
            # the same as average - (1 - decay)·(average - weight), in one kernel of TensorFlow's
            difference, handle = average.value - weight.value, average.value.handle
            tf.raw_ops.ResourceApplyGradientDescent(var=handle, alpha=1 - decay, delta=difference)


def _split_over_devices(strategy: tf.distribute.Strategy, batch: Batch) -> Batch:
    """This worker's batch in equal shares, one for each of its devices, in order."""
    size = len(batch.lines) // len(strategy.extended.worker_devices)

    def share(context: Any) -> Batch:
        first = context.replica_id_in_sync_group * size % len(batch.lines)
        return Batch(*(tensor[first : first + size] for tensor in batch))

    shares: Batch = strategy.experimental_distribute_values_from_function(share)
    return shares


def _replica_share(total: Any) -> Any:
    """A divisor for this device, such that the mean of the devices' quotients is the quotient over the whole batch."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tf.maximum(total, 1)
    return tf.maximum(context.all_reduce("SUM", total), 1) / context.num_replicas_in_sync


def _in_float32(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A copy of the layer that computes in float32: the averaged generator, which is sampled, saved and exported."""
    return layer.__class__.from_config(layer.get_config() | {"dtype": "float32"})


def _indicator(condition: Any) -> Any:
    return tf.cast(condition, tf.float32)
