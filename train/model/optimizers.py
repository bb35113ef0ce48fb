"""Adam or RMSprop, stepping once in so many batches, on one device or on many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from train.config import Config


def make_optimizer(config: Config, rate: float, model: keras.Model | None) -> keras.optimizers.Optimizer:
    """The config's optimizer at a peak rate, with its state for the model's weights."""
    rmsprop = config.optimizer == "rmsprop"
    made = keras.optimizers.RMSprop(rate) if rmsprop else Adam(rate, config.beta_1, config.beta_2)
    if model is not None:
        made.build(model.trainable_variables)
    return made


class Adam(keras.optimizers.Adam):
    """Keras' Adam, by TensorFlow's kernel of it, which goes over weights and moments once in place of twelve times."""

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        steps = tf.cast(self.iterations.value + 1, tf.float32)
        self._powers = tf.pow(self.beta_1, steps), tf.pow(self.beta_2, steps)  # once for all variables
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move a variable, as Kingma and Ba (2014), arXiv:1412.6980, end section 2."""
        place = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=self._powers[0],
            beta2_power=self._powers[1],
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class GradientAccumulator:
    """Gradients of the batches since the weights last moved, summed on each device for itself.

    They are all zero whenever weights have just moved, so that a snapshot taken there need not hold them.
    """

    def __init__(self, batches: int, model: keras.Model | None) -> None:
        """Of `batches` batches; of one there is nothing to keep."""
        self.batches = batches
        shapes = [one.shape for one in model.trainable_variables] if model is not None and batches > 1 else []
        self.held = [tf.Variable(tf.zeros(shape), trainable=False, **_OWN) for shape in shapes]

    def add(self, gradients: Sequence[Any]) -> None:
        """Count a batch's gradients in."""
        for held, gradient in zip(self.held, gradients, strict=True):
            held.assign_add(gradient)

    def take_mean(self, gradients: Sequence[Any]) -> list[Any]:
        """Their mean with the last batch's, from zero again; a device's share of it, as Keras adds up the devices'."""
        parts = self.batches * tf.distribute.get_strategy().num_replicas_in_sync
        if not self.held:
            return list(gradients) if parts == 1 else [one / parts for one in gradients]
        means = [(held + one) / parts for held, one in zip(self.held, gradients, strict=True)]
        for held in self.held:
            held.assign(tf.zeros_like(held))
        return means


_OWN = {"synchronization": tf.VariableSynchronization.ON_READ, "aggregation": tf.VariableAggregation.SUM}
"""Of a variable of which each device has its own."""
