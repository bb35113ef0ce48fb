"""Generator and discriminator, built from a config."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from train.config import Config
from train.layers import FiLM, conv, down, up

WIDEST = 8  # times the first width: deeper blocks stay that wide


def generator(config: Config, size: int, vocabulary: int) -> keras.Model:
    """U-Net: lines (b, size, size, 1) and multi-hot tags (b, vocabulary) -> colours (b, size, size, 3) in [-1, 1].

    Tags enter every decoder block by FiLM. The full resolution is left to two thin convolutions that see the lines
    again: blocks there cost several times all others together.
    Source: Ronneberger et al., "U-Net" (2015), arXiv:1505.04597; conditioning as in train.layers.FiLM.
    """
    lines = keras.Input((size, size, 1), name="lines")
    tags = keras.Input((vocabulary,), name="tags")
    condition = _embedding(tags, config.tag_width) if config.tags else None
    widths = [config.width * min(WIDEST, 2**level) for level in range(config.levels)]
    skips, x = [], lines
    for channels in widths:
        x = down(x, channels)
        skips.append(x)
    x = _bottleneck(x, condition, widths[-1])
    for channels, skip in zip(widths[-2::-1], skips[-2::-1], strict=True):
        x = up(x, skip, condition, channels)
    x = layers.UpSampling2D(interpolation="nearest")(conv(config.width // 2 or 1)(x))
    x = layers.Activation("silu")(conv(config.width // 2 or 1, bias=True)(layers.Concatenate()([x, lines])))
    colors = layers.Conv2D(3, 3, padding="same", activation="tanh", name="colors")(x)
    return keras.Model([lines, tags], colors, name="generator")


def _embedding(tags: Any, width: int) -> Any:
    """Sum of the tags' vectors, then a small network: (b, vocabulary) -> (b, width). No tags are a zero sum."""
    total = layers.Dense(width, use_bias=False, kernel_initializer="glorot_normal", name="tag_vectors")(tags)
    return layers.Dense(width, activation="silu", name="tag_mix")(layers.Activation("silu")(total))


def _bottleneck(x: Any, condition: Any | None, channels: int) -> Any:
    """Two convolutions where each sees most of the picture, and what the whole of it says added everywhere."""
    y = layers.Activation("silu")(conv(channels)(x))
    whole = layers.Dense(channels)(layers.GlobalAveragePooling2D()(y))
    y = layers.Add()([conv(channels)(y), layers.Reshape((1, 1, channels))(whole)])
    if condition is not None:
        y = FiLM()([y, condition])
    return layers.Activation("silu")(layers.Add()([x, y]))


def discriminator(config: Config, size: int, vocabulary: int) -> keras.Model:
    """Patch logits: lines (b, size, size, 1), colours (…, 3), tags (b, vocabulary) -> (b, size/8, size/8).

    Each patch is judged by itself, plus how its features agree with the tags (projection).
    Source: patches, Isola et al. (2017), arXiv:1611.07004; projection, Miyato and Koyama (2018), arXiv:1802.05637;
    spectral norm, Miyato et al. (2018), arXiv:1802.05957.
    """
    lines = keras.Input((size, size, 1), name="lines")
    colors = keras.Input((size, size, 3), name="colors")
    tags = keras.Input((vocabulary,), name="tags")
    x = layers.Concatenate()([lines, colors])
    for step in range(3):
        x = layers.LeakyReLU(0.2)(_spectral(conv(config.discriminator_width * 2**step, stride=2, bias=True))(x))
    x = layers.LeakyReLU(0.2)(_spectral(conv(config.discriminator_width * 4, bias=True))(x))
    logits = _spectral(layers.Conv2D(1, 1))(x)
    if config.tags:
        wanted = _spectral(layers.Dense(config.discriminator_width * 4, use_bias=False))(tags)
        logits = Agreement()([logits, x, wanted])
    return keras.Model([lines, colors, tags], logits, name="discriminator")


def _spectral(layer: layers.Layer) -> layers.Layer:
    return layers.SpectralNormalization(layer)


@keras.saving.register_keras_serializable(package="nurie")
class Agreement(layers.Layer):
    """Logits (b, h, w, 1), features (b, h, w, c), vectors (b, c) -> logits + <features, vector> / sqrt(c)."""

    def call(self, inputs: Any) -> Any:
        """Add to each patch's logit how its features agree with the tags' vector."""
        logits, features, vectors = inputs
        inner = ops.sum(features * ops.expand_dims(vectors, (1, 2)), axis=-1, keepdims=True)
        return logits + inner / ops.sqrt(ops.cast(ops.shape(features)[-1], inner.dtype))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the logits."""
        return input_shape[0]
