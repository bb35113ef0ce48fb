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


def test_film_begins_as_identity_and_then_scales_and_shifts() -> None:
    layer = FiLM()
    features, condition = random(2, 3, 3, 4), random(2, 5)
    np.testing.assert_array_equal(layer([features, condition]), features)
    kernel = np.zeros((5, 8), np.float32)
    layer.map.set_weights([kernel, np.array([1, 1, 1, 1, 3, 3, 3, 3], np.float32)])
    np.testing.assert_allclose(layer([features, condition]), features * 2 + 3, rtol=1e-6)  # scale 1, shift 3


@pytest.mark.parametrize("groups", [1, 3, 6])
def test_group_norm_and_its_gradient_are_those_of_keras(groups: int) -> None:
    layer, theirs = GroupNorm(groups), keras.layers.GroupNormalization(groups)
    features, asked = 0.5 + 2 * random(2, 5, 4, 6), random(2, 5, 4, 6)[::-1]
    for one in (layer, theirs):
        one.build(features.shape)
        one.set_weights([1 + random(6), random(6)])
    found = []
    for one in (layer, theirs):
        given = tf.constant(features)
        with tf.GradientTape() as tape:
            tape.watch(given)
            made = one(given)
        found.append([made, *tape.gradient(made, [given, *one.trainable_variables], asked)])
    for mine, yours in zip(*found, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=1e-4, atol=1e-5)


def test_colours_have_the_size_of_the_lines_and_lie_within_one(small: Any) -> None:
    model = networks.generator(small, 32, 10)
    colors = model([random(2, 32, 32, 1), random(2, 10)])
    assert colors.shape == (2, 32, 32, 3)
    assert np.abs(colors).max() <= 1


def test_a_generator_without_tags_ignores_them(small: Any) -> None:
    model = networks.generator(override(preset_config("unet-l1"), ["width=8", "levels=3"]), 32, 10)
    lines = random(1, 32, 32, 1)
    np.testing.assert_array_equal(model([lines, np.zeros((1, 10))]), model([lines, np.ones((1, 10))]))


def test_a_picture_is_coloured_alike_alone_and_in_a_batch(small: Any) -> None:
    model = networks.generator(small, 32, 10)
    lines, tags = random(3, 32, 32, 1), random(3, 10)
    np.testing.assert_allclose(model([lines, tags])[:1], model([lines[:1], tags[:1]]), atol=1e-5)


def test_the_discriminator_judges_patches_and_hears_the_tags(small: Any) -> None:
    model = networks.discriminator(small, 32, 10, 0)
    lines, colors = random(2, 32, 32, 1), random(2, 32, 32, 3)
    one, other = (model([lines, colors, tags], training=False) for tags in (np.zeros((2, 10)), np.ones((2, 10))))
    assert one.shape == (2, 4, 4, 1)
    assert not np.allclose(one, other)


def judge(config: Any, size: int, vocabulary: int) -> keras.Model:
    return networks.discriminator(config, size, vocabulary, 3)


@pytest.mark.parametrize("build", [networks.generator, judge])
def test_eager_and_graph_agree(small: Any, build: Any) -> None:
    import tensorflow as tf

    model = build(small, 32, 10)
    inputs = [random(1, *one.shape[1:]) for one in model.inputs]
    eager, graph = model(inputs, training=False), tf.function(lambda x: model(x, training=False))(inputs)
    np.testing.assert_allclose(eager, graph, atol=1e-5)


def test_a_generator_survives_saving_in_safe_mode(small: Any, tmp_path: Any) -> None:
    model = networks.generator(small, 32, 10)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    inputs = [random(1, 32, 32, 1), random(1, 10)]
    np.testing.assert_array_equal(model(inputs), again(inputs))


@pytest.mark.parametrize("name", [*PRESETS])
def test_every_rung_s_networks_fit_together(name: str) -> None:
    config = override(preset_config(name), ["width=8", "levels=3", "discriminator_width=8", "tag_width=8"])
    colors = np.asarray(networks.generator(config, 32, 10)([random(2, 32, 32, 1), random(2, 10)]))
    assert colors.shape == (2, 32, 32, 3)
    outputs = networks.discriminator(config, 32, 10, 3)([random(2, 32, 32, 1), colors, random(2, 10)])
    logits, *named = outputs if isinstance(outputs, list) else [outputs]
    assert logits.shape == ((2, 4, 4, 1) if config.head == "patch" else (2, 1))
    assert [one.shape for one in named] == [(2, 3)] * bool(config.auxiliary_weight)


def test_an_autoencoder_has_no_way_around_its_bottleneck() -> None:
    model = networks.generator(override(preset_config("autoencoder"), ["width=8", "levels=3"]), 32, 10)
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.Concatenate)]
    inside = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert len(inside) == 2  # of the bottleneck itself
    assert [layer.output.shape[1] for layer in model.layers if isinstance(layer, keras.layers.MaxPooling2D)] == [
        16,
        8,
        4,
    ]


@pytest.mark.parametrize("skip", ["concat", "add"])
def test_skips_are_joined_or_added_as_asked(skip: str) -> None:
    model = networks.generator(override(preset_config("unet-l1"), ["width=8", "levels=3", f"skip={skip}"]), 32, 10)
    joins = [layer for layer in model.layers if isinstance(layer, (keras.layers.Concatenate, keras.layers.Add))]
    assert [type(layer).__name__.lower().startswith(skip) for layer in joins].count(True) >= 3
