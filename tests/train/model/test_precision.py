"""Large batches in little memory, and halves of numbers: what must stay as it is without them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from train.config import Config, override
from train.data.batches import Batch, BatchOptions, training_batches
from train.data.pairs import Pairs
from train.model import snapshots
from train.model.gan import Gan, StepSettings
from train.model.trained import load_trained
from train.presets import preset_config
from train.training import fit as training
from train.training import schedule
from train.training.fit import fit
from train.training.schedule import TrainingLength

TINY = ("width=8", "levels=3", "tag_width=8", "discriminator_width=8", "batch_size=4", "jit=false")
PACE = StepSettings(*map(tf.constant, (0.5, 10.0, np.array([0, 3], np.int64))))


def tiny(name: str, *settings: str) -> Config:
    return override(preset_config(name), [*TINY, *settings])


@pytest.fixture(scope="module")
def batches(pairs32: Path) -> list[Batch]:
    """A batch of eight, and its two halves."""
    whole = next(iter(training_batches(Pairs(pairs32, "train"), 8, BatchOptions(0))))
    return [whole, Batch(*(one[:4] for one in whole)), Batch(*(one[4:] for one in whole))]


def held(weights: list[Any]) -> list[Any]:
    return [np.asarray(one) for one in weights]


def same(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(mine, yours) for mine, yours in zip(one, other, strict=True))


def test_two_batches_accumulated_move_weights_as_the_joined_batch_does(pairs32: Path, batches: list[Batch]) -> None:
    whole, first, second = batches
    one = training.build_gan(tiny("unet-l1", "optimizer=rmsprop"), pairs32)
    two = training.build_gan(tiny("unet-l1", "optimizer=rmsprop", "accumulate=2"), pairs32)
    before = held(two.generator.weights)
    one.plain_step(whole, PACE)
    two.plain_step(first, PACE, updates_weights=False)
    assert same(before, held(two.generator.weights))
    assert same(before, held(two.averaged_generator.weights))
    two.plain_step(second, PACE, updates_weights=True)
    assert not same(before, held(two.averaged_generator.weights))
    for mine, yours in zip(_state(one), _state(two), strict=True):
        np.testing.assert_allclose(mine, yours, rtol=1e-4, atol=1e-6)
    two.plain_step(first, PACE, updates_weights=False)  # a second time: nothing is left of the first
    two.plain_step(second, PACE, updates_weights=True)
    one.plain_step(whole, PACE)
    for mine, yours in zip(_state(one), _state(two), strict=True):
        np.testing.assert_allclose(mine, yours, rtol=1e-3, atol=1e-5)


def _state(gan: Gan) -> list[Any]:
    """Weights, their average and the optimizer's squares: the mean gradient shows in these at its true size."""
    return held([*gan.generator.weights, *gan.averaged_generator.weights, *gan.g_optimizer.variables[2:]])


def test_a_discriminator_moves_only_with_the_last_of_the_batches(pairs32: Path, batches: list[Batch]) -> None:
    gan = training.build_gan(tiny("wgan", "accumulate=2", "discriminator_norm=none"), pairs32)
    before = held(gan.discriminator.weights)
    gan.adversarial_step(batches[1], PACE, updates_weights=False)
    assert same(before, held(gan.discriminator.weights))
    gan.adversarial_step(batches[2], PACE, updates_weights=True)
    assert not same(before, held(gan.discriminator.weights))
    assert max(float(np.abs(one).max()) for one in gan.discriminator.trainable_weights) <= 0.01 + 1e-7


def test_an_accumulating_run_goes_on_after_a_kill_as_if_there_had_been_none(pairs32: Path, tmp_path: Path) -> None:
    """And ends where weights have moved: seven steps become eight."""
    settings = ("accumulate=2", "log_every=2", "snapshot_every=4", "half_until=0", "adversary_from=0", "levels=2")
    config = tiny("tags", *settings, "discriminator_norm=none")
    whole = tmp_path / "whole"
    assert fit(pairs32, whole, config, TrainingLength(steps=7), on_progress=lambda *_: None)["step"] == 8
    broken = Path(copytree(whole, tmp_path / "broken"))
    snapshots.list_snapshots(broken)[-1].unlink()
    fit(pairs32, broken, config, TrainingLength(steps=7), on_progress=lambda *_: None)
    with np.load(snapshots.list_snapshots(whole)[-1]) as one, np.load(snapshots.list_snapshots(broken)[-1]) as other:
        assert all(np.array_equal(one[name], other[name]) for name in set(one.files) - {"clock/elapsed"})
    assert list(_rows(whole)) == list(_rows(broken))


def _rows(run: Path) -> Iterator[dict[str, Any]]:
    for line in (run / "stats.jsonl").read_text("utf-8").splitlines():
        yield {key: value for key, value in json.loads(line).items() if key != "elapsed"}


def test_a_critic_takes_its_turns_by_updates_not_by_batches() -> None:
    config = replace(preset_config("wgan"), critic_steps=2, accumulate=2)
    assert [schedule.step_kind(config, step, 0.0) for step in range(8)] == (["critic"] * 2 + ["both"] * 2) * 2


@pytest.mark.parametrize("name", ["autoencoder", "dcgan-l1", "tags-cpu"])
def test_in_bfloat16_a_step_is_near_that_in_float32(name: str, pairs32: Path, batches: list[Batch]) -> None:
    figures = []
    for precision in ("float32", "bfloat16"):
        gan = training.build_gan(tiny(name, f"precision={precision}"), pairs32)
        step = gan.plain_step if gan.discriminator is None else gan.adversarial_step
        figures.append({key: float(value) for key, value in step(batches[1], PACE).items()})
    loss = tiny(name).loss
    assert figures[0][loss] != figures[1][loss], "it was computed in float32"
    assert figures[1] == pytest.approx(figures[0], rel=0.05, abs=0.05)


def test_in_bfloat16_only_the_generator_s_inner_numbers_are_short(pairs32: Path) -> None:
    gan = training.build_gan(tiny("tags", "precision=bfloat16"), pairs32)
    inner = {layer.compute_dtype for layer in gan.generator.layers if layer.weights}
    assert "bfloat16" in inner
    assert gan.generator.output.dtype == "float32"
    for model in (gan.averaged_generator, gan.discriminator):
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert {one.dtype for one in gan.state().values() if "int" not in one.dtype} == {"float32"}


def test_a_model_trained_in_bfloat16_is_saved_in_float32(pairs32: Path, tmp_path: Path) -> None:
    config = tiny("tags", "precision=bfloat16", "log_every=1", "snapshot_every=1", "adversary=none", "levels=2")
    fit(pairs32, tmp_path / "run", config, TrainingLength(steps=1), on_progress=lambda *_: None)
    trained = load_trained(tmp_path / "run")
    assert {layer.compute_dtype for layer in trained.model.layers} == {"float32"}
    assert trained.config.precision == "bfloat16"
