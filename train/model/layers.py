"""Building blocks of both networks, in keras.layers and keras.ops alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import layers, ops

MAX_NORM_GROUPS = 8  # of GroupNorm: independent of the batch, so a batch of one behaves as in training


@contextmanager
def compute_precision(precision: str) -> Iterator[None]:
    """Layers made in the block compute in `float32` or `bfloat16`; their weights are float32 either way."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@keras.saving.register_keras_serializable(package="nurie")
class FiLM(layers.Layer):
    """Scale and shift each channel as a condition says: x·(1 + scale) + shift.

    Inputs: features (batch, height, width, channels) and a condition (batch, n). The scale and shift begin at zero, so
    an untrained condition changes nothing. Source: Perez et al., "FiLM" (2018), arXiv:1709.07871, eq. 2.
    """

    def build(self, input_shape: Any) -> None:
        """Create the dense map from condition to scale and shift."""
        (*_, channels), condition = input_shape
        self.map = layers.Dense(2 * channels, kernel_initializer="zeros", name="map", dtype=self.dtype_policy)
        self.map.build(condition)

    def call(self, inputs: Any) -> Any:
        """Features of the same shape, modulated."""
        features, condition = inputs
        scale, shift = ops.split(ops.expand_dims(self.map(condition), (1, 2)), 2, axis=-1)
        return features * (1 + scale) + shift

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the features."""
        return input_shape[0]


@keras.saving.register_keras_serializable(package="nurie")
class GroupNorm(layers.Layer):
    """Bring each group of channels of a picture to mean 0 and variance 1, then each channel to a scale of its own.

    Features are (batch, height, width, channels). What keras.layers.GroupNormalization does, in a quarter of the time
    on a CPU: a channel's sums are taken once, and what follows from them is one product and one sum. Sums are float32
    in any precision. Source: Wu and He (2018), arXiv:1803.08494; the variance as E[x²] - E[x]², as in Flax.
    """

    def __init__(self, groups: int, epsilon: float = 1e-3, **options: Any) -> None:
        """Groups divide the channels."""
        super().__init__(**options)
        self.groups, self.epsilon = groups, epsilon

    def build(self, input_shape: Any) -> None:
        """Create scale and shift."""
        channels = input_shape[-1]
        self.gamma = self.add_weight(shape=(channels,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(channels,), initializer="zeros", name="beta")

    def call(self, inputs: Any) -> Any:
        """Features of the same shape."""
        _, height, width, channels = inputs.shape
        one = np.ones((channels // self.groups,) * 2, np.float32)
        within = np.kron(np.eye(self.groups, dtype=np.float32), one / (one.shape[0] * height * width))
        wide = ops.cast(inputs, "float32")
        sums = ops.stack([ops.sum(wide, axis=(1, 2)), ops.sum(ops.square(wide), axis=(1, 2))])
        mean, square = ops.unstack(ops.matmul(sums, within))
        variance = ops.maximum(square - ops.square(mean), 0.0)
        scale = ops.cast(self.gamma, "float32") * ops.rsqrt(variance + self.epsilon)
        shift = ops.cast(self.beta, "float32") - mean * scale
        scale, shift = (ops.cast(ops.expand_dims(one, (1, 2)), inputs.dtype) for one in (scale, shift))
        return inputs * scale + shift

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the features."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return dict(super().get_config()) | {"groups": self.groups, "epsilon": self.epsilon}


CUSTOM_LAYERS = {"nurie>FiLM": FiLM, "nurie>GroupNorm": GroupNorm}
"""The layers that Keras does not bring, by the names that saved models have for them."""


def norm(x: Any, kind: str) -> Any:
    """Features of the same shape, normalised: `group`, `layer` (one group), `batch`, or not at all, `none`.

    Source of batch: Ioffe and Szegedy (2015), arXiv:1502.03167.
    """
    if kind == "none":
        return x
    if kind == "batch":
        return layers.BatchNormalization()(x)
    channels = x.shape[-1]
    groups = (
        1 if kind == "layer" else next(groups for groups in range(MAX_NORM_GROUPS, 0, -1) if channels % groups == 0)
    )
    return GroupNorm(groups)(x)


def conv(channels: int, *, stride: int = 1, bias: bool = False) -> layers.Layer:
    """3x3 convolution, "same" padding; He's initialisation (2015), fit for rectifiers."""
    return layers.Conv2D(channels, 3, strides=stride, padding="same", use_bias=bias, kernel_initializer="he_normal")


def conv_block(x: Any, channels: int, kind: str, *, stride: int = 1) -> Any:
    """Convolution, norm, SiLU: (b, h, w, c) -> (b, h/stride, w/stride, channels)."""
    return layers.Activation("silu")(norm(conv(channels, stride=stride, bias=kind == "none")(x), kind))


def downsample(x: Any, channels: int, kind: str, *, pooled: bool = False) -> Any:
    """Halve the resolution and add what 3x3 can see there: (b, h, w, c) -> (b, h/2, w/2, channels).

    `pooled`: convolve where it is still large, then keep the largest of four.
    """
    if pooled:
        return layers.MaxPooling2D()(conv_block(x, channels, kind))
    return conv_block(conv_block(x, channels, kind, stride=2), channels, kind)


def upsample(x: Any, channels: int, *, transposed: bool = False) -> Any:
    """Double the resolution: (b, h, w, c) -> (b, 2h, 2w, channels).

    Resize, then convolve: transposed convolutions leave checkerboards (Odena et al., distill.pub 2016). The narrowing
    convolution runs before the resize, at a quarter of the cost.
    """
    if transposed:
        return layers.Conv2DTranspose(channels, 3, strides=2, padding="same", kernel_initializer="he_normal")(x)
    return layers.UpSampling2D(interpolation="nearest")(conv(channels)(x))


def join_skip(x: Any, skip: Any, how: str) -> Any:
    """What the encoder saw, brought to the decoder: `concat`, `add`, or not at all, `none`."""
    if how == "none":
        return x
    if how == "concat":
        return layers.Concatenate()([x, skip])
    if x.shape[-1] != skip.shape[-1]:
        skip = layers.Conv2D(x.shape[-1], 1, use_bias=False)(skip)
    return layers.Add()([x, skip])


def modulate(x: Any, condition: Any | None) -> Any:
    """FiLM, where there is a condition."""
    return x if condition is None else FiLM()([x, condition])
