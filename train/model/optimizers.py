"""Adam or RMSprop, and gradients accumulated over several batches, on one device or on many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from train.config import Config


def make_optimizer(config: Config, rate: float, model: keras.Model | None) -> keras.optimizers.Optimizer:
    """The config's optimizer at a learning rate, with its state for the model's weights, if there is a model."""
    rmsprop = config.optimizer == "rmsprop"
    optimizer = keras.optimizers.RMSprop(rate) if rmsprop else Adam(rate, config.beta_1, config.beta_2)
    if model is not None:
        optimizer.build(model.trainable_variables)
    return optimizer


class Adam(keras.optimizers.Adam):
    """Keras' Adam with TensorFlow's fused kernel, which reads weights and moments once instead of twelve times."""

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        steps = tf.cast(self.iterations.value + 1, tf.float32)
        self._powers = tf.pow(self.beta_1, steps), tf.pow(self.beta_2, steps)  # once for all variables
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable. Source: Kingma and Ba (2014), arXiv:1412.6980, end of section 2."""
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self._powers[0],
            beta2_power=self._powers[1],
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class GradientAccumulator:
    """Sums of the gradients since the last update; each device sums its own.

    They are zero after every update, so a snapshot taken there need not hold them.
    """

    def __init__(self, batches: int, model: keras.Model | None) -> None:
        """An update takes the gradients of `batches` batches; for one batch nothing is stored."""
        self.batches = batches
        shapes = [weight.shape for weight in model.trainable_variables] if model is not None and batches > 1 else []
        self.sums = [tf.Variable(tf.zeros(shape), trainable=False, **_PER_DEVICE) for shape in shapes]

    def add(self, gradients: Sequence[Any]) -> None:
        """Add a batch's gradients to the sums."""
        for total, gradient in zip(self.sums, gradients, strict=True):
            total.assign_add(gradient)

    def take_mean(self, gradients: Sequence[Any]) -> list[Any]:
        """Mean of the gradients added and of these, and reset the sums.

        On several devices it is this device's share of the mean, since Keras adds up those of all devices.
        """
        count = self.batches * tf.distribute.get_strategy().num_replicas_in_sync
        if not self.sums:
            return list(gradients) if count == 1 else [gradient / count for gradient in gradients]
        means = [(total + gradient) / count for total, gradient in zip(self.sums, gradients, strict=True)]
        for total in self.sums:
            total.assign(tf.zeros_like(total))
        return means


_PER_DEVICE = {"synchronization": tf.VariableSynchronization.ON_READ, "aggregation": tf.VariableAggregation.SUM}
"""Options of a variable that has its own value on each device."""
