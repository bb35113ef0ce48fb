"""Generator and discriminator, built from a config in keras.layers and keras.ops only.

b is the batch, size the side of a pair in px, vocabulary the number of tags.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from train.config import Config
from train.model.layers import compute_precision, conv, downsample, join_skip, modulate, norm, upsample

MAX_WIDTH_FACTOR = 8  # times the width of the first block: deeper blocks grow no wider


def generator(config: Config, size: int, vocabulary: int) -> keras.Model:
    """U-Net: lines (b, size, size, 1) and multi-hot tags (b, vocabulary) -> colours (b, size, size, 3).

    Pixels are in [-1, 1], where 1 is white.
    Tags condition every decoder block through FiLM. At the full resolution there are only two thin convolutions, which
    see the lines again: blocks of full width there would cost several times all others together. Without skips the
    network is an autoencoder. It computes in the config's precision; its inputs, weights and output are float32.

    Source: Ronneberger et al., "U-Net" (2015), arXiv:1505.04597; conditioning as in train.model.layers.FiLM.
    """
    with compute_precision(config.precision):
        return _generator(config, size, vocabulary)


def _generator(config: Config, size: int, vocabulary: int) -> keras.Model:
    lines = keras.Input((size, size, 1), name="lines")
    tags = keras.Input((vocabulary,), name="tags")
    condition = _embedding(tags, config.tag_width) if config.tags else None
    pooled = config.sampling == "pooled"
    widths = [config.width * min(MAX_WIDTH_FACTOR, 2**level) for level in range(config.levels)]
    skips, x = [], lines
    for channels in widths:
        x = downsample(x, channels, config.norm, pooled=pooled)
        skips.append(x)
    x = _bottleneck(x, condition, widths[-1])
    for channels, skip in zip(widths[-2::-1], skips[-2::-1], strict=True):
        x = conv(channels)(join_skip(upsample(x, channels, transposed=pooled), skip, config.skip))
        x = layers.Activation("silu")(modulate(norm(x, config.norm), condition))
    thin = config.width // 2 or 1
    x = join_skip(upsample(x, thin, transposed=pooled), lines, config.skip)
    x = layers.Activation("silu")(conv(thin, bias=True)(x))
    colors = layers.Conv2D(3, 3, padding="same", activation="tanh", name="colors", dtype="float32")(x)
    return keras.Model([lines, tags], colors, name="generator")


def at_half_size(model: keras.Model) -> keras.Model:
    """The same generator for pairs of half the size; it shares all layers, and so all weights, with `model`."""
    lines, tags = model.inputs
    inputs = [keras.Input((lines.shape[1] // 2, lines.shape[2] // 2, 1)), keras.Input(tags.shape[1:])]
    return keras.models.clone_model(model, inputs, clone_function=lambda layer: layer)


def _embedding(tags: Any, width: int) -> Any:
    """Sum of the tags' vectors, then a dense layer: (b, vocabulary) -> (b, width). Without tags the sum is zero."""
    total = layers.Dense(width, use_bias=False, kernel_initializer="glorot_normal", name="tag_vectors")(tags)
    return layers.Dense(width, activation="silu", name="tag_mix")(layers.Activation("silu")(total))


def _bottleneck(x: Any, condition: Any | None, channels: int) -> Any:
    """Residual block at the lowest resolution, where a convolution sees most of the picture.

    A dense layer on the mean over all positions is added at every position, so that each knows the whole picture.
    """
    y = layers.Activation("silu")(conv(channels)(x))
    global_features = layers.Dense(channels)(layers.GlobalAveragePooling2D()(y))
    y = layers.Add()([conv(channels)(y), layers.Reshape((1, 1, channels))(global_features)])
    return layers.Activation("silu")(layers.Add()([x, modulate(y, condition)]))


def discriminator(config: Config, size: int, vocabulary: int, colors: int) -> keras.Model:
    """Lines (b, size, size, 1), colours (b, size, size, 3), tags (b, vocabulary) -> logits of real against fake.

    Logits are (b, size/8, size/8, 1), one for each patch, or (b, 1) from a dense head. To each is added how well the
    features agree with the tags (projection). With `auxiliary_weight` there is a second output, logits (b, colors) of
    the colour tags.

    Sources: patches, Isola et al. (2017), arXiv:1611.07004; dense head, and batch norm from the second block on,
    Radford et al. (2015), arXiv:1511.06434; projection, Miyato and Koyama (2018), arXiv:1802.05637; spectral norm,
    Miyato et al. (2018), arXiv:1802.05957; second output, Odena et al. (2017), arXiv:1610.09585.
    """
    lines = keras.Input((size, size, 1), name="lines")
    pictures = keras.Input((size, size, 3), name="colors")
    tags = keras.Input((vocabulary,), name="tags")
    normalized = layers.SpectralNormalization if config.discriminator_norm == "spectral" else lambda layer: layer
    x = layers.Concatenate()([lines, pictures])
    deepest = 4 * config.discriminator_width
    dense = config.head == "dense"
    for block in range(4):
        channels = min(deepest, config.discriminator_width * 2**block)
        x = normalized(conv(channels, stride=2 if block < 3 or dense else 1, bias=True))(x)
        x = layers.LeakyReLU(0.2)(norm(x, "none" if block == 0 else _feature_norm(config)))
    logits = normalized(layers.Dense(1))(layers.Flatten()(x)) if dense else normalized(layers.Conv2D(1, 1))(x)
    if config.tags:
        tag_vectors = normalized(layers.Dense(deepest, use_bias=False))(tags)
        logits = Agreement()([logits, layers.GlobalAveragePooling2D()(x) if dense else x, tag_vectors])
    outputs = [logits]
    if config.auxiliary_weight and colors:
        outputs.append(normalized(layers.Dense(colors))(layers.GlobalAveragePooling2D()(x)))
    return keras.Model([lines, pictures, tags], outputs, name="discriminator")


def _feature_norm(config: Config) -> str:
    """How the discriminator normalises features; spectral norm normalises weights instead."""
    return "none" if config.discriminator_norm == "spectral" else config.discriminator_norm


@keras.saving.register_keras_serializable(package="nurie")
class Agreement(layers.Layer):
    """Add to logits how well features agree with a vector of the tags: logits + <features, vector> / sqrt(c).

    Source: projection, Miyato and Koyama (2018), arXiv:1802.05637; the division by sqrt(c) is ours.

    Input shape:
        Logits (b, ..., 1), features (b, ..., c) and vectors (b, c).

    Output shape:
        That of the logits.
    """

    def call(self, inputs: Any) -> Any:
        """Logits with the agreement added."""
        logits, features, vectors = inputs
        broadcast = ops.reshape(vectors, (-1, *(1,) * (len(features.shape) - 2), vectors.shape[-1]))
        agreement = ops.sum(features * broadcast, axis=-1, keepdims=True)
        return logits + agreement / ops.sqrt(ops.cast(ops.shape(features)[-1], agreement.dtype))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the logits."""
        return input_shape[0]
