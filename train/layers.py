"""Building blocks of both networks, in keras.layers and keras.ops alone."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

GROUPS = 8  # of GroupNorm: independent of the batch, so a batch of one behaves as in training


@keras.saving.register_keras_serializable(package="nurie")
class FiLM(layers.Layer):
    """Scale and shift each channel as a condition says: x·(1 + scale) + shift.

    Inputs: features (batch, height, width, channels) and a condition (batch, n). The scale and shift begin at zero, so
    an untrained condition changes nothing. Source: Perez et al., "FiLM" (2018), arXiv:1709.07871, eq. 2.
    """

    def build(self, input_shape: Any) -> None:
        """Create the dense map from condition to scale and shift."""
        (*_, channels), condition = input_shape
        self.map = layers.Dense(2 * channels, kernel_initializer="zeros", name="map")
        self.map.build(condition)

    def call(self, inputs: Any) -> Any:
        """Features of the same shape, modulated."""
        features, condition = inputs
        scale, shift = ops.split(ops.expand_dims(self.map(condition), (1, 2)), 2, axis=-1)
        return features * (1 + scale) + shift

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the features."""
        return input_shape[0]


def norm(channels: int) -> layers.Layer:
    """GroupNorm of up to eight groups. Source: Wu and He (2018), arXiv:1803.08494."""
    return layers.GroupNormalization(next(groups for groups in range(GROUPS, 0, -1) if channels % groups == 0))


def conv(channels: int, *, stride: int = 1, bias: bool = False) -> layers.Layer:
    """3x3 convolution, "same" padding; He's initialisation (2015), fit for rectifiers."""
    return layers.Conv2D(channels, 3, strides=stride, padding="same", use_bias=bias, kernel_initializer="he_normal")


def down(x: Any, channels: int) -> Any:
    """Halve the resolution and add what 3x3 can see there: (b, h, w, c) -> (b, h/2, w/2, channels)."""
    x = layers.Activation("silu")(norm(channels)(conv(channels, stride=2)(x)))
    return layers.Activation("silu")(norm(channels)(conv(channels)(x)))


def up(x: Any, skip: Any, condition: Any | None, channels: int) -> Any:
    """Double the resolution, join the skip, modulate: (b, h, w, c), (b, 2h, 2w, s) -> (b, 2h, 2w, channels).

    Resize, then convolve: transposed convolutions leave checkerboards (Odena et al., distill.pub 2016).
    """
    # the narrowing convolution runs before the resize, at a quarter of the cost
    x = layers.UpSampling2D(interpolation="nearest")(conv(channels)(x))
    x = norm(channels)(conv(channels)(layers.Concatenate()([x, skip])))
    if condition is not None:
        x = FiLM()([x, condition])
    return layers.Activation("silu")(x)
