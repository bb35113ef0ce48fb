"""Every rung's step: what it updates and leaves alone, and that it goes on after a kill as if there had been none."""

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
from train.model.gan import StepSettings
from train.presets import PRESETS, preset_config
from train.training import fit as training
from train.training import schedule
from train.training.fit import fit
from train.training.schedule import TrainingLength

TINY = ("width=8", "levels=3", "tag_width=8", "discriminator_width=8", "batch_size=4", "jit=false")
RUNGS = [name for name in PRESETS if name != "tags-gpu"]
PACE = StepSettings(*map(tf.constant, (0.5, 10.0, np.array([0, 3], np.int64))))


@pytest.fixture(scope="module")
def batch(pairs32: Path) -> Batch:
    first: Batch = next(iter(training_batches(Pairs(pairs32, "train"), 4, BatchOptions(0))))
    return first


def tiny(name: str, *settings: str) -> Config:
    return override(preset_config(name), [*TINY, *settings])


def changed(before: list[Any], weights: list[Any]) -> bool:
    return any(not np.array_equal(one, was) for one, was in zip(weights, before, strict=True))


def held(weights: list[Any]) -> list[Any]:
    return [np.asarray(one) for one in weights]


@pytest.mark.parametrize("name", RUNGS)
def test_a_killed_rung_goes_on_as_if_it_had_not_been(name: str, pairs32: Path, tmp_path: Path, eagerly: Any) -> None:
    """Four steps in one, against the last two done again from the snapshot after two."""
    config = tiny(name, "log_every=2", "snapshot_every=2", "half_until=0", "adversary_from=0", "critic_steps=2")
    whole = tmp_path / "whole"
    with eagerly():
        fit(pairs32, whole, config, TrainingLength(steps=4), on_progress=lambda *_: None)
        broken = Path(copytree(whole, tmp_path / "broken"))
        snapshots.list_snapshots(broken)[-1].unlink()
        fit(pairs32, broken, config, TrainingLength(steps=4), on_progress=lambda *_: None)
    with np.load(snapshots.list_snapshots(whole)[-1]) as one, np.load(snapshots.list_snapshots(broken)[-1]) as other:
        names = set(one.files) - {"clock/elapsed"}
        assert all(np.array_equal(one[name], other[name]) for name in names)
        with np.load(snapshots.list_snapshots(whole)[0]) as early:
            assert not all(np.array_equal(one[name], early[name]) for name in names)


@pytest.mark.parametrize("name", [name for name in RUNGS if preset_config(name).adversary != "none"])
def test_each_update_changes_its_own_network_alone(name: str, pairs32: Path, batch: Batch) -> None:
    gan = training.build_gan(tiny(name, "critic_steps=2"), pairs32)
    drawn, judged = held(gan.generator.trainable_weights), held(gan.discriminator.trainable_weights)
    gan.critic_step(batch, PACE)
    assert not changed(drawn, gan.generator.trainable_weights)
    assert changed(judged, gan.discriminator.trainable_weights)
    figures = gan.adversarial_step(batch, PACE)
    assert changed(drawn, gan.generator.trainable_weights)
    assert all(np.isfinite(float(value)) for value in figures.values())
    judged = held(gan.discriminator.trainable_weights)
    gan.plain_step(batch, PACE)
    assert not changed(judged, gan.discriminator.trainable_weights)


@pytest.mark.parametrize(
    "name", ["autoencoder", *(pytest.param(one, marks=pytest.mark.slow) for one in RUNGS if one != "autoencoder")]
)
def test_a_rung_trains_compiled_by_xla(name: str, pairs32: Path, tmp_path: Path) -> None:
    config = tiny(name, "jit=true", "width=4", "discriminator_width=4", "half_until=0.3", "adversary_from=0.6")
    config = replace(config, critic_steps=1, log_every=3, snapshot_every=3)
    assert (
        fit(pairs32, tmp_path / "run", config, TrainingLength(steps=3), on_progress=lambda *_: None)["images_seen"]
        == 12
    )


def test_a_half_step_is_a_plain_step_on_pairs_of_half_the_size(pairs32: Path, batch: Batch) -> None:
    config = tiny("tags-cpu", "half_until=0.5")
    gan, other = (training.build_gan(config, pairs32) for _ in range(2))
    figures = gan.half_step(batch, PACE)
    lines, colors, mask = (one.numpy().reshape(4, 16, 2, 16, 2, -1).mean(axis=(2, 4)) for one in batch[:3])
    half = Batch(tf.constant(lines), tf.constant(colors), tf.constant(mask), batch.tags)
    whole = other.generator
    other.generator = other.half_size_generator
    assert float(figures["l1"]) == pytest.approx(float(other.plain_step(half, PACE)["l1"]), rel=1e-5)
    for one, same in zip(gan.generator.weights, whole.weights, strict=True):
        apart = np.abs(one.numpy() - same.numpy())
        assert (apart > 1e-5).mean() < 1e-3  # Adam takes a gradient of next to nothing by its sign
        assert apart.max() <= 1e-4


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("kind", ["half", "plain", "critic", "both"])
def test_a_batch_in_parts_moves_all_as_the_whole_batch_does(
    kind: str, parts: int, pairs32: Path, batch: Batch, eagerly: Any
) -> None:
    settings = ("auxiliary_weight=1", "move=0.1")
    gans = [training.build_gan(tiny("tags-cpu", f"parts={count}", *settings), pairs32) for count in (1, parts)]
    assert [gan.parts for gan in gans] == [1, parts]
    with eagerly():
        figures = [gan.step(batch, PACE, 1.0, kind) for gan in gans]
    assert {name: float(one) for name, one in figures[0].items()} == pytest.approx(
        {name: float(one) for name, one in figures[1].items()}, rel=1e-4, abs=1e-5
    )
    whole, parted = (gan.state() for gan in gans)
    for name in whole:
        apart = np.abs(np.asarray(whole[name]) - np.asarray(parted[name]))
        assert (apart > 1e-5).mean() < 1e-2, name  # Adam takes a gradient of next to nothing by its sign
        assert apart.max() <= 5e-3, name


@pytest.mark.parametrize("setting", ["norm=batch", "discriminator_norm=batch", "jit=true"])
def test_a_batch_stays_whole_where_its_pictures_hang_on_one_another_or_the_step_is_compiled(
    setting: str, pairs32: Path
) -> None:
    assert training.build_gan(tiny("tags-cpu", setting), pairs32).parts == 1


def test_a_clipped_critic_stays_within_its_bound(pairs32: Path, batch: Batch) -> None:
    gan = training.build_gan(tiny("wgan", "discriminator_rate=0.1"), pairs32)
    gan.critic_step(batch, PACE)
    assert max(float(np.abs(one).max()) for one in gan.discriminator.trainable_weights) == pytest.approx(0.01)


def test_the_loss_of_pixels_weighs_in_the_generator_s_one_optimizer(pairs32: Path, batch: Batch) -> None:
    """With a weight of 0 only the adversary moves the generator; two optimizers would hide the weight's size."""
    moved = []
    for weight in (0.0, 0.0, 1e4):
        gan = training.build_gan(tiny("dcgan-l1"), pairs32)
        gan.adversarial_step(batch, PACE._replace(loss_weight=tf.constant(weight)))
        moved.append(held(gan.g_optimizer.variables))
    assert not changed(moved[0], moved[1])
    assert changed(moved[0], moved[2])


def test_the_weight_of_pixels_is_annealed_from_where_the_adversary_joins() -> None:
    config = replace(preset_config("tags"), adversary_from=0.5, loss_weight=100.0, loss_weight_end=20.0)
    weights = [float(schedule.step_settings(config, 0, progress).loss_weight) for progress in (0, 0.5, 0.75, 1)]
    assert weights == pytest.approx([100, 100, 60, 20])


def test_a_critic_takes_its_steps_for_one_of_the_generator() -> None:
    config = preset_config("wgan")
    kinds = [schedule.step_kind(config, step, 0.0) for step in range(10)]
    assert kinds == (["critic"] * 4 + ["both"]) * 2
    assert schedule.step_kind(preset_config("unet-l1"), 0, 1.0) == "plain"
    halves = replace(preset_config("tags"), half_until=0.3, adversary_from=0.5)
    assert [schedule.step_kind(halves, 0, at) for at in (0.2, 0.3, 0.5)] == ["half", "plain", "both"]
    whole = replace(halves, half_until=0.0)
    assert [schedule.step_kind(whole, 0, at) for at in (0.4, 0.5)] == ["plain", "both"]


@pytest.mark.parametrize("penalty", ["unit", "real"])
def test_a_penalty_holds_the_discriminator_s_slope(penalty: str, pairs32: Path, batch: Batch) -> None:
    """Under a penalty alone the slope goes where it should: to 1, or to 0."""
    config = tiny("wgan-gp", f"penalty={penalty}", "penalty_weight=1000", "discriminator_rate=0.01")
    gan = training.build_gan(config, pairs32)
    fakes = -batch.colors
    found = [float(gan.discriminator_step(batch, fakes, PACE)["penalty"]) for _ in range(12)]
    assert found[-1] < found[0]


def test_a_move_keeps_colours_and_brings_white_in() -> None:
    pixels = tf.random.stateless_uniform((16, 32, 32, 4), [1, 2], -1, 0.5)
    seed = tf.constant([0, 7], tf.int64)
    moved = np.asarray(translate_and_cutout(pixels, seed, 0.25))
    np.testing.assert_array_equal(moved, translate_and_cutout(pixels, seed, 0.25))
    for before, after in zip(np.asarray(pixels), moved, strict=True):
        known = {tuple(one) for one in before.reshape(-1, 4).tolist()} | {(1.0,) * 4}
        found = after.reshape(-1, 4)
        near = [min(np.abs(np.array(list(known)) - one).max(axis=1)) for one in found[::31]]
        assert max(near) < 1e-6
    cut = (moved == 1).all(axis=-1).mean(axis=(1, 2))
    assert (cut >= 0.25**2 - 1e-6).all()
    assert len({float(one) for one in cut}) > 1
    np.testing.assert_allclose(np.asarray(translate_and_cutout(pixels, seed, 0.0)), pixels, atol=1e-6)


def test_colour_tags_of_one_noun_say_no_to_each_other(pairs32: Path) -> None:
    colors = training.color_tags(
        {"red_hair": ("red", "hair"), "blue_hair": ("blue", "hair"), "red_eyes": ("red", "eyes")},
        ["smile", "red_hair", "red_eyes", "blue_hair"],
    )
    assert colors.indices.tolist() == [1, 2, 3]
    assert colors.same_noun.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
