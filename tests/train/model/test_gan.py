"""Each preset's steps: what they update and leave unchanged, and that a resumed run ends in equal tensors."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from train.config import Config, override
from train.data.augment import translate_and_cutout
from train.data.batches import Batch, BatchOptions, training_batches
from train.data.pairs import Pairs
from train.model import snapshots
from train.model.gan import StepKind, StepSettings
from train.presets import PRESETS, preset_config
from train.training import fit as training
from train.training import schedule
from train.training.fit import fit
from train.training.schedule import TrainingLength

TINY = ("width=8", "levels=2", "tag_width=8", "discriminator_width=8", "batch_size=4", "jit=false")
PRESET_NAMES = [name for name in PRESETS if name != "tags-gpu"]
SETTINGS = StepSettings(*map(tf.constant, (0.5, 10.0, np.array([0, 3], np.int64))))


@pytest.fixture(scope="module")
def batch(pairs32: Path) -> Batch:
    first: Batch = next(iter(training_batches(Pairs(pairs32, "train"), 4, BatchOptions(0))))
    return first


def tiny(name: str, *settings: str) -> Config:
    return override(preset_config(name), [*TINY, *settings])


def changed(before: list[Any], weights: list[Any]) -> bool:
    return any(not np.array_equal(old, new) for old, new in zip(before, weights, strict=True))


def copies(weights: list[Any]) -> list[Any]:
    return [np.asarray(weight) for weight in weights]


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_a_run_resumed_from_an_earlier_snapshot_ends_in_equal_tensors(
    name: str, pairs32: Path, tmp_path: Path, eagerly: Any
) -> None:
    """Four steps at once, against two steps repeated from the snapshot after the first two."""
    config = tiny(name, "log_every=2", "snapshot_every=2", "half_until=0", "adversary_from=0", "critic_steps=2")
    whole = tmp_path / "whole"
    with eagerly():
        fit(pairs32, whole, config, TrainingLength(steps=4), on_progress=lambda *_: None)
        resumed = Path(copytree(whole, tmp_path / "resumed"))
        snapshots.list_snapshots(resumed)[-1].unlink()
        fit(pairs32, resumed, config, TrainingLength(steps=4), on_progress=lambda *_: None)
    last, resumed_last = (snapshots.list_snapshots(run)[-1] for run in (whole, resumed))
    with np.load(last) as expected, np.load(resumed_last) as tensors:
        names = set(expected.files) - {"clock/elapsed"}
        assert all(np.array_equal(expected[name], tensors[name]) for name in names)
        with np.load(snapshots.list_snapshots(whole)[0]) as early:
            assert not all(np.array_equal(expected[name], early[name]) for name in names)


@pytest.mark.parametrize("name", [name for name in PRESET_NAMES if preset_config(name).adversary != "none"])
def test_each_update_changes_only_its_own_network(name: str, pairs32: Path, batch: Batch) -> None:
    gan = training.build_gan(tiny(name, "critic_steps=2"), pairs32)
    generator, discriminator = copies(gan.generator.trainable_weights), copies(gan.discriminator.trainable_weights)
    gan.critic_step(batch, SETTINGS)
    assert not changed(generator, gan.generator.trainable_weights)
    assert changed(discriminator, gan.discriminator.trainable_weights)
    figures = gan.adversarial_step(batch, SETTINGS)
    assert changed(generator, gan.generator.trainable_weights)
    assert all(np.isfinite(float(value)) for value in figures.values())
    discriminator = copies(gan.discriminator.trainable_weights)
    gan.plain_step(batch, SETTINGS)
    assert not changed(discriminator, gan.discriminator.trainable_weights)


def step_kinds(name: str) -> tuple[StepKind, ...]:
    return ("half", "plain") if preset_config(name).adversary == "none" else ("half", "plain", "critic", "both")


# `pooled` sampling is never compiled by XLA
COMPILED_PRESETS = [name for name in PRESET_NAMES if preset_config(name).sampling != "pooled"]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("unet-l1", ("plain",)),
        *(pytest.param(name, step_kinds(name), marks=pytest.mark.slow) for name in COMPILED_PRESETS),
    ],
)
def test_steps_compiled_by_xla_return_the_figures_of_eager_steps(
    name: str, kinds: tuple[StepKind, ...], pairs32: Path, batch: Batch, eagerly: Any
) -> None:
    config = tiny(name, "jit=true", "width=4", "discriminator_width=4", "half_until=0.3", "adversary_from=0.6")
    compiled, eager = (training.build_gan(config, pairs32) for _ in range(2))
    assert all(compiled.step_functions[kind]._jit_compile for kind in kinds)  # as given to tf.function
    for kind in kinds:
        figures = compiled.step(batch, SETTINGS, 1.0, kind)
        with eagerly():
            expected = eager.step(batch, SETTINGS, 1.0, kind)
        assert {figure: float(value) for figure, value in figures.items()} == pytest.approx(
            {figure: float(value) for figure, value in expected.items()}, rel=1e-3, abs=1e-4
        )


def test_a_half_step_equals_a_plain_step_on_pairs_of_half_the_size(pairs32: Path, batch: Batch) -> None:
    config = tiny("tags-cpu", "half_until=0.5")
    gan, other = (training.build_gan(config, pairs32) for _ in range(2))
    figures = gan.half_step(batch, SETTINGS)
    lines, colors, mask = (pixels.numpy().reshape(4, 16, 2, 16, 2, -1).mean(axis=(2, 4)) for pixels in batch[:3])
    half = Batch(tf.constant(lines), tf.constant(colors), tf.constant(mask), batch.tags)
    whole = other.generator
    other.generator = other.half_size_generator
    assert float(figures["l1"]) == pytest.approx(float(other.plain_step(half, SETTINGS)["l1"]), rel=1e-5)
    for weight, expected in zip(gan.generator.weights, whole.weights, strict=True):
        difference = np.abs(weight.numpy() - expected.numpy())
        assert (difference > 1e-5).mean() < 1e-3  # Adam takes a full step by the sign of a tiny gradient
        assert difference.max() <= 1e-4


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("kind", ["half", "plain", "critic", "both"])
def test_a_step_in_parts_updates_everything_as_a_step_on_the_whole_batch_does(
    kind: StepKind, parts: int, pairs32: Path, batch: Batch, eagerly: Any
) -> None:
    settings = ("auxiliary_weight=1", "move=0.1")
    gans = [training.build_gan(tiny("tags-cpu", f"parts={count}", *settings), pairs32) for count in (1, parts)]
    assert [gan.parts for gan in gans] == [1, parts]
    with eagerly():
        figures = [gan.step(batch, SETTINGS, 1.0, kind) for gan in gans]
    whole_figures, part_figures = ({name: float(value) for name, value in each.items()} for each in figures)
    assert whole_figures == pytest.approx(part_figures, rel=1e-4, abs=1e-5)
    whole, in_parts = (gan.state() for gan in gans)
    for name in whole:
        difference = np.abs(np.asarray(whole[name]) - np.asarray(in_parts[name]))
        assert (difference > 1e-5).mean() < 1e-2, name  # Adam takes a full step by the sign of a tiny gradient
        assert difference.max() <= 5e-3, name


@pytest.mark.parametrize("setting", ["norm=batch", "discriminator_norm=batch", "jit=true"])
def test_a_batch_stays_whole_if_its_pictures_depend_on_one_another_or_the_step_is_compiled(
    setting: str, pairs32: Path
) -> None:
    assert training.build_gan(tiny("tags-cpu", setting), pairs32).parts == 1


def test_a_clipped_critics_weights_stay_within_the_bound(pairs32: Path, batch: Batch) -> None:
    gan = training.build_gan(tiny("wgan", "discriminator_rate=0.1"), pairs32)
    gan.critic_step(batch, SETTINGS)
    assert max(float(np.abs(one).max()) for one in gan.discriminator.trainable_weights) == pytest.approx(0.01)


def test_the_weight_of_the_pixel_loss_reaches_the_generators_optimizer(pairs32: Path, batch: Batch) -> None:
    """With a separate optimizer for the pixel loss, the size of its weight would have no effect."""
    states = []
    for weight in (0.0, 0.0, 1e4):
        gan = training.build_gan(tiny("dcgan-l1"), pairs32)
        gan.adversarial_step(batch, SETTINGS._replace(loss_weight=tf.constant(weight)))
        states.append(copies(gan.g_optimizer.variables))
    assert not changed(states[0], states[1])
    assert changed(states[0], states[2])


def test_the_weight_of_the_pixel_loss_changes_linearly_once_the_adversary_joins() -> None:
    config = replace(preset_config("tags"), adversary_from=0.5, loss_weight=100.0, loss_weight_end=20.0)
    weights = [float(schedule.step_settings(config, 0, progress).loss_weight) for progress in (0, 0.5, 0.75, 1)]
    assert weights == pytest.approx([100, 100, 60, 20])


def test_step_kinds_follow_critic_steps_half_until_and_adversary_from() -> None:
    config = preset_config("wgan")
    kinds = [schedule.step_kind(config, step, 0.0) for step in range(10)]
    assert kinds == (["critic"] * 4 + ["both"]) * 2
    assert schedule.step_kind(preset_config("unet-l1"), 0, 1.0) == "plain"
    with_half = replace(preset_config("tags"), half_until=0.3, adversary_from=0.5)
    assert [schedule.step_kind(with_half, 0, at) for at in (0.2, 0.3, 0.5)] == ["half", "plain", "both"]
    without_half = replace(with_half, half_until=0.0)
    assert [schedule.step_kind(without_half, 0, at) for at in (0.4, 0.5)] == ["plain", "both"]


@pytest.mark.parametrize("penalty", ["unit", "real"])
def test_training_on_the_gradient_penalty_lowers_it(penalty: str, pairs32: Path, batch: Batch) -> None:
    """With a large weight, updates bring the gradient norm towards 1 (unit) or 0 (real)."""
    config = tiny("wgan-gp", f"penalty={penalty}", "penalty_weight=1000", "discriminator_rate=0.01")
    gan = training.build_gan(config, pairs32)
    fakes = -batch.colors
    penalties = [float(gan.discriminator_step(batch, fakes, SETTINGS)["penalty"]) for _ in range(12)]
    assert penalties[-1] < penalties[0]


def test_translation_and_cutout_keep_colours_and_add_only_white() -> None:
    pixels = tf.random.stateless_uniform((16, 32, 32, 4), [1, 2], -1, 0.5)
    seed = tf.constant([0, 7], tf.int64)
    moved = np.asarray(translate_and_cutout(pixels, seed, 0.25))
    np.testing.assert_array_equal(moved, translate_and_cutout(pixels, seed, 0.25))
    for before, after in zip(np.asarray(pixels), moved, strict=True):
        allowed = np.array([*before.reshape(-1, 4).tolist(), (1.0,) * 4])
        distances = [np.abs(allowed - pixel).max(axis=1).min() for pixel in after.reshape(-1, 4)[::31]]
        assert max(distances) < 1e-6
    white = (moved == 1).all(axis=-1).mean(axis=(1, 2))
    assert (white >= 0.25**2 - 1e-6).all()
    assert len(np.unique(white)) > 1
    np.testing.assert_allclose(np.asarray(translate_and_cutout(pixels, seed, 0.0)), pixels, atol=1e-6)


def test_colour_tags_of_the_same_noun_exclude_one_another(pairs32: Path) -> None:
    colors = training.color_tags(
        {"red_hair": ("red", "hair"), "blue_hair": ("blue", "hair"), "red_eyes": ("red", "eyes")},
        ["smile", "red_hair", "red_eyes", "blue_hair"],
    )
    assert colors.indices.tolist() == [1, 2, 3]
    assert colors.same_noun.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
