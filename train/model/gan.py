"""The updates of a training step, as the papers state them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from train.config import Config
from train.data import augment
from train.data.batches import Batch, white_outside
from train.model import losses, networks
from train.model.optimizers import GradientAccumulator, make_optimizer

Figures = dict[str, Any]


class StepSettings(NamedTuple):
    """What changes from step to step beside the data."""

    average_decay: Any
    """Of the moving average."""
    loss_weight: Any
    """Of the loss of pixels."""
    seed: Any
    """(2,) int64, the config's seed and the step."""


class ColorTags(NamedTuple):
    """The colour tags of a vocabulary."""

    indices: Any
    """(n,) int: where each is in the vocabulary."""
    same_noun: Any
    """(n, n) float32: 1 where two are of one noun, so that a tag of one says no to the other."""


class Gan:
    """Generator, its moving average, discriminator and their optimizers, for one config."""

    def __init__(
        self, config: Config, generator: keras.Model, discriminator: keras.Model | None, colors: ColorTags
    ) -> None:
        self.config, self.generator, self.color_tags = config, generator, colors
        self.discriminator: Any = discriminator  # like its loss, None without an adversary: then no step asks for it
        self.averaged_generator = keras.models.clone_model(generator, clone_function=_in_float32)
        self.averaged_generator.set_weights(generator.get_weights())
        self.half_size_generator = networks.at_half_size(generator) if config.half_until else None
        self.g_optimizer = make_optimizer(config, config.learning_rate, generator)
        self.d_optimizer = make_optimizer(config, config.discriminator_rate, discriminator)
        self.g_accumulator, self.d_accumulator = (
            GradientAccumulator(config.accumulate, model) for model in (generator, discriminator)
        )
        self.adversarial_loss: Any = losses.ADVERSARIAL_LOSSES.get(config.adversary)
        kinds = {"half": self.half_step, "plain": self.plain_step}
        kinds |= {"critic": self.critic_step, "both": self.adversarial_step}
        self.strategy = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
        # what devices tell each other cannot be compiled; nor, where equal runs shall be equal, can pooling's gradient
        jit = config.jit and self.strategy is None and config.sampling != "pooled"
        self.parts = config.effective_parts if self.strategy is None else 1
        self.step_functions = {kind: tf.function(self._on_each(step), jit_compile=jit) for kind, step in kinds.items()}

    def step(self, batch: Batch, pace: StepSettings, rate: float, kind: str, updates_weights: bool = True) -> Figures:
        """One training step of a kind, `half`, `plain`, `critic` or `both`, at `rate` times the optimizers' peak rates.

        Unless it `moves` the weights, it only counts its gradients in, for the next step that does.
        """
        self.g_optimizer.learning_rate.assign(rate * self.config.learning_rate)
        self.d_optimizer.learning_rate.assign(rate * self.config.discriminator_rate)
        parts = batch if self.strategy is None else _split_over_devices(self.strategy, batch)
        return dict(self.step_functions[kind](parts, StepSettings(*map(tf.constant, pace)), updates_weights))

    def _on_each(self, step: Callable[..., Figures]) -> Callable[..., Figures]:
        """The step on every device, each with its part of the batch; figures are means over devices."""
        strategy = self.strategy
        if strategy is None:
            return step

        def on_each(parts: Batch, pace: StepSettings, moves: bool) -> Figures:
            figures = strategy.run(step, args=(parts, pace, moves))
            return {name: strategy.reduce("MEAN", value, axis=None) for name, value in figures.items()}

        return on_each

    def half_step(self, batch: Batch, pace: StepSettings, updates_weights: bool = True) -> Figures:
        """A plain step on the batch at half its size, a quarter of the work: where colours go is learnt there."""
        lines, colors, mask = (tf.nn.avg_pool2d(one, 2, 2, "VALID") for one in batch[:3])
        return self._step_by_pixels(
            self.half_size_generator, Batch(lines, colors, mask, batch.tags), pace, updates_weights
        )

    def plain_step(self, batch: Batch, pace: StepSettings, updates_weights: bool = True) -> Figures:
        """One update of the generator by pixels alone: as long as colours are far off, a judge has nothing to add."""
        return self._step_by_pixels(self.generator, batch, pace, updates_weights)

    def _step_by_pixels(self, generator: Any, batch: Batch, pace: StepSettings, moves: bool) -> Figures:
        with tf.GradientTape() as tape:
            fakes = self._pass(generator, [batch.lines, batch.tags])
            error = self.pixel_loss(fakes, batch)
            loss = pace.loss_weight * error
        gradients = tape.gradient(loss, self.generator.trainable_variables)
        self._update_generator(gradients, pace.average_decay, moves)
        return {self.config.loss: error}

    def _pass(self, model: keras.Model, inputs: list[Any], *, training: bool = True) -> Any:
        """What a model makes of a batch, whose parts wait for nothing of one another.

        A layer that learns from a pass, as spectral norm does, learns from the first part's: it is of weights alone.
        """
        if self.parts == 1:
            return model(inputs, training=training)
        cuts = [number * inputs[0].shape[0] // self.parts for number in range(self.parts + 1)]
        spans = enumerate(pairwise(cuts))
        made = [model([one[a:b] for one in inputs], training=training and not number) for number, (a, b) in spans]
        return tf.nest.map_structure(lambda *some: tf.concat(some, axis=0), *made)

    def critic_step(self, batch: Batch, pace: StepSettings, updates_weights: bool = True) -> Figures:
        """One update of the discriminator alone, which a Wasserstein critic needs several of."""
        fakes = white_outside(self._pass(self.generator, [batch.lines, batch.tags]), batch.mask)
        return {
            self.config.loss: self.pixel_loss(fakes, batch),
            **self.discriminator_step(batch, fakes, pace, updates_weights),
        }

    def adversarial_step(self, batch: Batch, pace: StepSettings, updates_weights: bool = True) -> Figures:
        """One update of the discriminator, one of the generator, from the same fakes of one pass."""
        with tf.GradientTape() as tape:
            fakes = white_outside(self._pass(self.generator, [batch.lines, batch.tags]), batch.mask)
            error = self.pixel_loss(fakes, batch)
            figures = self.discriminator_step(batch, tf.stop_gradient(fakes), pace, updates_weights)
            adversarial, named = self._generator_losses(batch, fakes, pace)
            loss = pace.loss_weight * error + self.config.adversarial_weight * adversarial
            loss += self.config.auxiliary_weight * named
        gradients = tape.gradient(loss, self.generator.trainable_variables)
        self._update_generator(gradients, pace.average_decay, updates_weights)
        return {self.config.loss: error, "generator": adversarial, **figures}

    def discriminator_step(self, batch: Batch, fakes: Any, pace: StepSettings, updates_weights: bool = True) -> Figures:
        """One update on reals and fakes (b, size, size, 3) in [-1, 1]; the fakes carry no gradient."""
        with tf.GradientTape() as tape:
            reals, named = self._judge(batch, batch.colors, pace, 10, training=True)
            judged, _ = self._judge(batch, fakes, pace, 20, training=True)
            loss = self.adversarial_loss.discriminator(reals, judged)
            penalty = self._penalty(batch, fakes, pace)
            whole = loss + self.config.penalty_weight * penalty + self.config.auxiliary_weight * named
        self._update_discriminator(tape.gradient(whole, self.discriminator.trainable_variables), updates_weights)
        figures = {"discriminator": loss, "real_logits": tf.reduce_mean(reals), "fake_logits": tf.reduce_mean(judged)}
        figures["accuracy"] = (tf.reduce_mean(_share(reals > 0)) + tf.reduce_mean(_share(judged < 0))) / 2
        extra = {"penalty": penalty} if self.config.penalty != "none" else {}
        return figures | extra | ({"named": named} if self.config.auxiliary_weight else {})

    def pixel_loss(self, fakes: Any, batch: Batch) -> Any:
        """The config's loss of pixels, over what lies inside the content box."""
        return losses.masked_mean(losses.PIXEL_LOSSES[self.config.loss](fakes, batch.colors), batch.mask)

    def _generator_losses(self, batch: Batch, fakes: Any, pace: StepSettings) -> tuple[Any, Any]:
        """The generator's side of the game, and how well the fakes' colour tags are told from them."""
        training = self.config.discriminator_norm == "batch"  # else it would be judged by other statistics
        judged, named = self._judge(batch, fakes, pace, 30, training=training)
        relative = self.config.adversary == "relativistic"
        reals = self._judge(batch, batch.colors, pace, 10, training=training)[0] if relative else judged
        return self.adversarial_loss.generator(reals, judged), named

    def _judge(self, batch: Batch, colors: Any, pace: StepSettings, draw: int, *, training: bool) -> tuple[Any, Any]:
        """Logits of pictures beside their lines, moved and cut alike; and the error of their colour tags, else 0."""
        seen = tf.concat([batch.lines, colors], axis=-1)
        if self.config.move:
            seen = augment.translate_and_cutout(seen, augment.derive_seed(pace.seed, draw), self.config.move)
        outputs = self._pass(self.discriminator, [seen[..., :1], seen[..., 1:], batch.tags], training=training)
        if not isinstance(outputs, list):
            return outputs, 0.0
        tags = tf.gather(batch.tags, self.color_tags.indices, axis=1)
        told = tf.cast(tf.matmul(tags, self.color_tags.same_noun) > 0, tf.float32)
        return outputs[0], losses.tag_loss(outputs[1], tags, told, _replica_share(tf.reduce_sum(told)))

    def _penalty(self, batch: Batch, fakes: Any, pace: StepSettings) -> Any:
        if self.config.penalty == "none":
            return 0.0
        points = batch.colors
        if self.config.penalty == "unit":
            mix = augment.uniform_per_picture(augment.derive_seed(pace.seed, 40), 1, tf.shape(fakes)[0])[
                0, :, None, None, None
            ]
            points += mix * (fakes - points)
        with tf.GradientTape() as tape:
            tape.watch(points)
            logits = self._judge(batch, points, pace, 10, training=True)[0]
        slopes = tape.gradient(logits, points)
        return (losses.wgan_gp_penalty if self.config.penalty == "unit" else losses.r1_penalty)(slopes)

    def state(self) -> dict[str, Any]:
        """Every variable that decides the next step, by a name that is the same in every run."""
        models = {"generator": self.generator.weights, "average": self.averaged_generator.weights}
        models |= {"g_optimizer": self.g_optimizer.variables, "d_optimizer": self.d_optimizer.variables}
        if self.discriminator is not None:
            models["discriminator"] = self.discriminator.weights
        return {f"{part}/{place:03d}": one for part, found in models.items() for place, one in enumerate(found)}

    def _update_generator(self, gradients: list[Any], decay: Any, moves: bool) -> None:
        if not moves:
            return self.g_accumulator.add(gradients)
        self.g_optimizer.apply(self.g_accumulator.take_mean(gradients), self.generator.trainable_variables)
        return self._update_average(decay)

    def _update_discriminator(self, gradients: list[Any], moves: bool) -> None:
        if not moves:
            return self.d_accumulator.add(gradients)
        self.d_optimizer.apply(self.d_accumulator.take_mean(gradients), self.discriminator.trainable_variables)
        for weight in self.discriminator.trainable_variables if self.config.clip else ():
            weight.assign(tf.clip_by_value(weight, -self.config.clip, self.config.clip))
        return None

    def _update_average(self, decay: Any) -> None:
        """Move the average's weights towards the generator's. Source: Yazici et al. (2019), arXiv:1806.04498, eq. 4."""
        for slow, fast in zip(self.averaged_generator.weights, self.generator.weights, strict=True):
            # slow - (1 - decay) (slow - fast), the last of it by a kernel of TensorFlow's
            apart, handle = slow.value - fast.value, slow.value.handle
            tf.raw_ops.ResourceApplyGradientDescent(var=handle, alpha=1 - decay, delta=apart)


def _split_over_devices(strategy: tf.distribute.Strategy, batch: Batch) -> Batch:
    """A process's batch in equal parts, one for each of its devices, in order."""
    size = len(batch.lines) // len(strategy.extended.worker_devices)

    def part(context: Any) -> Batch:
        first = context.replica_id_in_sync_group * size % len(batch.lines)
        return Batch(*(one[first : first + size] for one in batch))

    parts: Batch = strategy.experimental_distribute_values_from_function(part)
    return parts


def _replica_share(total: Any) -> Any:
    """A device's share of a total over the whole batch, such that the mean of quotients is the quotient of totals."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tf.maximum(total, 1)
    return tf.maximum(context.all_reduce("SUM", total), 1) / context.num_replicas_in_sync


def _in_float32(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A layer like another, computing in float32 whatever that one does: what is shown, saved and handed on."""
    return layer.__class__.from_config(layer.get_config() | {"dtype": "float32"})


def _share(which: Any) -> Any:
    return tf.cast(which, tf.float32)
