"""Building blocks of both networks, in keras.layers and keras.ops only, so that they run on any Keras backend.

Features are (batch, height, width, channels) throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import layers, ops

MAX_NORM_GROUPS = 8  # in a GroupNorm


@contextmanager
def compute_precision(precision: str) -> Iterator[None]:
    """Let layers created in the block compute in `float32` or `bfloat16`. Their weights are float32 either way."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@keras.saving.register_keras_serializable(package="nurie")
class FiLM(layers.Layer):
    """Feature-wise linear modulation: scale and shift each channel by a condition, x·(1 + scale) + shift.

    A dense layer maps the condition to scale and shift. Its weights start at zero, so that an untrained condition
    changes nothing. Source: Perez et al., "FiLM" (2018), arXiv:1709.07871, eq. 2.

    Input shape:
        Features (batch, height, width, channels) and a condition (batch, n).

    Output shape:
        That of the features.
    """

    def build(self, input_shape: Any) -> None:
        """Create the dense layer from condition to scale and shift."""
        (*_, channels), condition = input_shape
        self.map = layers.Dense(2 * channels, kernel_initializer="zeros", name="map", dtype=self.dtype_policy)
        self.map.build(condition)

    def call(self, inputs: Any) -> Any:
        """Modulated features."""
        features, condition = inputs
        scale, shift = ops.split(ops.expand_dims(self.map(condition), (1, 2)), 2, axis=-1)
        return features * (1 + scale) + shift

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the features."""
        return input_shape[0]


@keras.saving.register_keras_serializable(package="nurie")
class GroupNorm(layers.Layer):
    """Normalise each group of a picture's channels to mean 0 and variance 1, then scale and shift each channel.

    It computes what keras.layers.GroupNormalization does in a quarter of the time on a CPU: each channel is summed
    once, and the rest is one product and one sum. Sums are float32 in any precision. Source: Wu and He (2018),
    arXiv:1803.08494; the variance as E[x²] - E[x]², as in Flax.

    Args:
        groups: Number of groups; it must divide the channels.
        epsilon: Added to the variance.

    Input shape:
        (batch, height, width, channels).

    Output shape:
        The same.
    """

    def __init__(self, groups: int, epsilon: float = 1e-3, **options: Any) -> None:
        super().__init__(**options)
        self.groups, self.epsilon = groups, epsilon

    def build(self, input_shape: Any) -> None:
        """Create the scale and shift of each channel."""
        channels = input_shape[-1]
        self.gamma = self.add_weight(shape=(channels,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(channels,), initializer="zeros", name="beta")

    def call(self, inputs: Any) -> Any:
        """Normalised features."""
        _, height, width, channels = inputs.shape
        block = np.ones((channels // self.groups,) * 2, np.float32)
        # (channels, channels): a product with it turns sums over each channel into means over its group
        group_mean = np.kron(np.eye(self.groups, dtype=np.float32), block / (block.shape[0] * height * width))
        features = ops.cast(inputs, "float32")
        sums = ops.stack([ops.sum(features, axis=(1, 2)), ops.sum(ops.square(features), axis=(1, 2))])
        mean, mean_square = ops.unstack(ops.matmul(sums, group_mean))
        variance = ops.maximum(mean_square - ops.square(mean), 0.0)
        scale = ops.cast(self.gamma, "float32") * ops.rsqrt(variance + self.epsilon)
        shift = ops.cast(self.beta, "float32") - mean * scale
        scale, shift = (ops.cast(ops.expand_dims(factor, (1, 2)), inputs.dtype) for factor in (scale, shift))
        return inputs * scale + shift

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the features."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments that recreate the layer."""
        return dict(super().get_config()) | {"groups": self.groups, "epsilon": self.epsilon}


CUSTOM_LAYERS = {"nurie>FiLM": FiLM, "nurie>GroupNorm": GroupNorm}
"""The layers that Keras lacks, by their names in saved models.

Saved models also state a module, `train.layers` in older ones; Keras finds the layer by its name nevertheless.
"""


def norm(x: Any, kind: str) -> Any:
    """Features of the same shape, normalised by `group`, `layer` (a single group) or `batch`; as they are for `none`.

    Group norm does not depend on the batch, so a batch of one behaves as in training.
    Source of batch norm: Ioffe and Szegedy (2015), arXiv:1502.03167.
    """
    if kind == "none":
        return x
    if kind == "batch":
        return layers.BatchNormalization()(x)
    channels = x.shape[-1]
    most = 1 if kind == "layer" else MAX_NORM_GROUPS
    return GroupNorm(next(groups for groups in range(most, 0, -1) if channels % groups == 0))(x)


def conv(channels: int, *, stride: int = 1, bias: bool = False) -> layers.Layer:
    """3x3 convolution with "same" padding and He's initialisation (2015), which suits rectifiers."""
    return layers.Conv2D(channels, 3, strides=stride, padding="same", use_bias=bias, kernel_initializer="he_normal")


def conv_block(x: Any, channels: int, kind: str, *, stride: int = 1) -> Any:
    """Convolution, norm, SiLU: (b, h, w, c) -> (b, h/stride, w/stride, channels)."""
    return layers.Activation("silu")(norm(conv(channels, stride=stride, bias=kind == "none")(x), kind))


def downsample(x: Any, channels: int, kind: str, *, pooled: bool = False) -> Any:
    """Halve the resolution with a strided convolution, and convolve once more: (b, h, w, c) -> (b, h/2, w/2, channels).

    With `pooled`, convolve at the full resolution, then max-pool.
    """
    if pooled:
        return layers.MaxPooling2D()(conv_block(x, channels, kind))
    return conv_block(conv_block(x, channels, kind, stride=2), channels, kind)


def upsample(x: Any, channels: int, *, transposed: bool = False) -> Any:
    """Double the resolution: (b, h, w, c) -> (b, 2h, 2w, channels).

    The convolution to fewer channels runs before the resizing, at a quarter of the cost. A `transposed` convolution
    instead leaves checkerboards (Odena et al., distill.pub 2016).
    """
    if transposed:
        return layers.Conv2DTranspose(channels, 3, strides=2, padding="same", kernel_initializer="he_normal")(x)
    return layers.UpSampling2D(interpolation="nearest")(conv(channels)(x))


def join_skip(x: Any, skip: Any, how: str) -> Any:
    """Decoder features joined with the encoder's of the same resolution: by `concat`, `add` or not at all (`none`)."""
    if how == "none":
        return x
    if how == "concat":
        return layers.Concatenate()([x, skip])
    if x.shape[-1] != skip.shape[-1]:
        skip = layers.Conv2D(x.shape[-1], 1, use_bias=False)(skip)
    return layers.Add()([x, skip])


def modulate(x: Any, condition: Any | None) -> Any:
    """Features modulated by FiLM, or as they are without a condition."""
    return x if condition is None else FiLM()([x, condition])
