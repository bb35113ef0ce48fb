"""Layers and networks: shapes, what they depend on, and equality with Keras' layers."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from train.config import override
from train.model import networks
from train.model.layers import FiLM, GroupNorm
from train.presets import PRESETS, preset_config


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_film_starts_as_identity_and_scales_and_shifts_by_its_weights() -> None:
    layer = FiLM()
    features, condition = random(2, 3, 3, 4), random(2, 5)
    np.testing.assert_array_equal(layer([features, condition]), features)
    kernel = np.zeros((5, 8), np.float32)
    layer.map.set_weights([kernel, np.array([1, 1, 1, 1, 3, 3, 3, 3], np.float32)])
    np.testing.assert_allclose(layer([features, condition]), features * 2 + 3, rtol=1e-6)  # scale 1, shift 3


@pytest.mark.parametrize("groups", [1, 3, 6])
def test_group_norm_and_its_gradients_equal_those_of_keras(groups: int) -> None:
    features, output_gradient = 0.5 + 2 * random(2, 5, 4, 6), random(2, 5, 4, 6)[::-1]
    results = []
    for layer in (GroupNorm(groups), keras.layers.GroupNormalization(groups)):
        layer.build(features.shape)
        layer.set_weights([1 + random(6), random(6)])
        inputs = tf.constant(features)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
        results.append([outputs, *tape.gradient(outputs, [inputs, *layer.trainable_variables], output_gradient)])
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_generated_colours_have_the_size_of_the_lines_and_lie_in_minus_one_to_one(small: Any) -> None:
    model = networks.generator(small, 32, 10)
    colors = model([random(2, 32, 32, 1), random(2, 10)])
    assert colors.shape == (2, 32, 32, 3)
    assert np.abs(colors).max() <= 1


def test_a_generator_built_without_tags_ignores_them(small: Any) -> None:
    model = networks.generator(override(preset_config("unet-l1"), ["width=8", "levels=3"]), 32, 10)
    lines = random(1, 32, 32, 1)
    np.testing.assert_array_equal(model([lines, np.zeros((1, 10))]), model([lines, np.ones((1, 10))]))


def test_a_picture_gets_the_same_colours_alone_and_in_a_batch(small: Any) -> None:
    model = networks.generator(small, 32, 10)
    lines, tags = random(3, 32, 32, 1), random(3, 10)
    np.testing.assert_allclose(model([lines, tags])[:1], model([lines[:1], tags[:1]]), atol=1e-5)


def test_the_discriminator_gives_a_logit_for_each_patch_that_depends_on_the_tags(small: Any) -> None:
    model = networks.discriminator(small, 32, 10, 0)
    lines, colors = random(2, 32, 32, 1), random(2, 32, 32, 3)
    without, with_tags = (
        model([lines, colors, tags], training=False) for tags in (np.zeros((2, 10)), np.ones((2, 10)))
    )
    assert without.shape == (2, 4, 4, 1)
    assert not np.allclose(without, with_tags)


def discriminator(config: Any, size: int, vocabulary: int) -> keras.Model:
    return networks.discriminator(config, size, vocabulary, 3)


@pytest.mark.parametrize("build", [networks.generator, discriminator])
def test_a_network_gives_equal_outputs_eager_and_compiled(small: Any, build: Any) -> None:
    model = build(small, 32, 10)
    inputs = [random(1, *tensor.shape[1:]) for tensor in model.inputs]
    eager, graph = model(inputs, training=False), tf.function(lambda x: model(x, training=False))(inputs)
    np.testing.assert_allclose(eager, graph, atol=1e-5)


def test_a_generator_loaded_in_safe_mode_equals_the_one_saved(small: Any, tmp_path: Any) -> None:
    model = networks.generator(small, 32, 10)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    inputs = [random(1, 32, 32, 1), random(1, 10)]
    np.testing.assert_array_equal(model(inputs), loaded(inputs))


@pytest.mark.parametrize("name", [*PRESETS])
def test_the_networks_of_every_preset_fit_together(name: str) -> None:
    config = override(preset_config(name), ["width=8", "levels=3", "discriminator_width=8", "tag_width=8"])
    colors = np.asarray(networks.generator(config, 32, 10)([random(2, 32, 32, 1), random(2, 10)]))
    assert colors.shape == (2, 32, 32, 3)
    outputs = networks.discriminator(config, 32, 10, 3)([random(2, 32, 32, 1), colors, random(2, 10)])
    logits, *named = outputs if isinstance(outputs, list) else [outputs]
    assert logits.shape == ((2, 4, 4, 1) if config.head == "patch" else (2, 1))
    assert [output.shape for output in named] == [(2, 3)] * bool(config.auxiliary_weight)


def test_an_autoencoder_has_no_connection_past_its_bottleneck() -> None:
    model = networks.generator(override(preset_config("autoencoder"), ["width=8", "levels=3"]), 32, 10)
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.Concatenate)]
    additions = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert len(additions) == 2  # in the bottleneck itself
    assert [layer.output.shape[1] for layer in model.layers if isinstance(layer, keras.layers.MaxPooling2D)] == [
        16,
        8,
        4,
    ]


@pytest.mark.parametrize("skip", ["concat", "add"])
def test_skip_connections_are_concatenated_or_added_by_config(skip: str) -> None:
    model = networks.generator(override(preset_config("unet-l1"), ["width=8", "levels=3", f"skip={skip}"]), 32, 10)
    joins = [layer for layer in model.layers if isinstance(layer, (keras.layers.Concatenate, keras.layers.Add))]
    assert [type(layer).__name__.lower().startswith(skip) for layer in joins].count(True) >= 3
