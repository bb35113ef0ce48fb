"""Accumulated gradients and bfloat16: what must stay equal to training without them."""

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
from train.model.trained_model import load_trained
from train.presets import preset_config
from train.training import fit as training
from train.training import schedule
from train.training.fit import fit
from train.training.schedule import TrainingLength

TINY = ("width=8", "levels=2", "tag_width=8", "discriminator_width=8", "batch_size=4", "jit=false")
SETTINGS = StepSettings(*map(tf.constant, (0.5, 10.0, np.array([0, 3], np.int64))))


def tiny(name: str, *settings: str) -> Config:
    return override(preset_config(name), [*TINY, *settings])


@pytest.fixture(scope="module")
def batches(pairs32: Path) -> list[Batch]:
    """A batch of eight, and its two halves."""
    whole = next(iter(training_batches(Pairs(pairs32, "train"), 8, BatchOptions(0))))
    return [whole, Batch(*(tensor[:4] for tensor in whole)), Batch(*(tensor[4:] for tensor in whole))]


def copies(weights: list[Any]) -> list[Any]:
    return [np.asarray(weight) for weight in weights]


def equal(first: list[Any], second: list[Any]) -> bool:
    return all(np.array_equal(left, right) for left, right in zip(first, second, strict=True))


def test_two_accumulated_batches_update_weights_as_the_joined_batch_does(pairs32: Path, batches: list[Batch]) -> None:
    whole, first, second = batches
    joined = training.build_gan(tiny("unet-l1", "optimizer=rmsprop"), pairs32)
    accumulated = training.build_gan(tiny("unet-l1", "optimizer=rmsprop", "accumulate=2"), pairs32)
    before = copies(accumulated.generator.weights)
    joined.plain_step(whole, SETTINGS)
    accumulated.plain_step(first, SETTINGS, updates_weights=False)
    assert equal(before, copies(accumulated.generator.weights))
    assert equal(before, copies(accumulated.averaged_generator.weights))
    accumulated.plain_step(second, SETTINGS, updates_weights=True)
    assert not equal(before, copies(accumulated.averaged_generator.weights))
    for left, right in zip(_state(joined), _state(accumulated), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    accumulated.plain_step(first, SETTINGS, updates_weights=False)  # again: the sums must have been reset
    accumulated.plain_step(second, SETTINGS, updates_weights=True)
    joined.plain_step(whole, SETTINGS)
    for left, right in zip(_state(joined), _state(accumulated), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-5)


def _state(gan: Gan) -> list[Any]:
    """Weights, their average and the optimizer's mean squares, which show the true size of the mean gradient."""
    return copies([*gan.generator.weights, *gan.averaged_generator.weights, *gan.g_optimizer.variables[2:]])


def test_a_discriminator_is_updated_only_with_the_last_accumulated_batch(pairs32: Path, batches: list[Batch]) -> None:
    gan = training.build_gan(tiny("wgan", "accumulate=2", "discriminator_norm=none"), pairs32)
    before = copies(gan.discriminator.weights)
    gan.adversarial_step(batches[1], SETTINGS, updates_weights=False)
    assert equal(before, copies(gan.discriminator.weights))
    gan.adversarial_step(batches[2], SETTINGS, updates_weights=True)
    assert not equal(before, copies(gan.discriminator.weights))
    assert max(float(np.abs(weight).max()) for weight in gan.discriminator.trainable_weights) <= 0.01 + 1e-7


def test_an_accumulating_run_resumed_from_an_earlier_snapshot_ends_in_equal_tensors(
    pairs32: Path, tmp_path: Path
) -> None:
    """It ends with an update of the weights, so seven steps become eight."""
    settings = ("accumulate=2", "log_every=2", "snapshot_every=4", "half_until=0", "adversary_from=0", "levels=2")
    config = tiny("tags", *settings, "discriminator_norm=none")
    whole = tmp_path / "whole"
    assert fit(pairs32, whole, config, TrainingLength(steps=7), on_progress=lambda *_: None)["step"] == 8
    resumed = Path(copytree(whole, tmp_path / "resumed"))
    snapshots.list_snapshots(resumed)[-1].unlink()
    fit(pairs32, resumed, config, TrainingLength(steps=7), on_progress=lambda *_: None)
    last, resumed_last = (snapshots.list_snapshots(run)[-1] for run in (whole, resumed))
    with np.load(last) as expected, np.load(resumed_last) as tensors:
        assert all(np.array_equal(expected[name], tensors[name]) for name in set(expected.files) - {"clock/elapsed"})
    assert list(_rows(whole)) == list(_rows(resumed))


def _rows(run: Path) -> Iterator[dict[str, Any]]:
    for line in (run / "stats.jsonl").read_text("utf-8").splitlines():
        yield {key: value for key, value in json.loads(line).items() if key != "elapsed"}


def test_critic_steps_count_updates_and_not_batches() -> None:
    config = replace(preset_config("wgan"), critic_steps=2, accumulate=2)
    assert [schedule.step_kind(config, step, 0.0) for step in range(8)] == (["critic"] * 2 + ["both"] * 2) * 2


@pytest.mark.parametrize("name", ["autoencoder", "dcgan-l1", "tags-cpu"])
def test_a_steps_figures_in_bfloat16_are_close_to_those_in_float32(
    name: str, pairs32: Path, batches: list[Batch]
) -> None:
    figures = []
    for precision in ("float32", "bfloat16"):
        gan = training.build_gan(tiny(name, f"precision={precision}"), pairs32)
        step = gan.plain_step if gan.discriminator is None else gan.adversarial_step
        figures.append({key: float(value) for key, value in step(batches[1], SETTINGS).items()})
    loss = tiny(name).loss
    assert figures[0][loss] != figures[1][loss], "it was computed in float32"
    assert figures[1] == pytest.approx(figures[0], rel=0.05, abs=0.05)


def test_with_bfloat16_only_the_generators_inner_layers_compute_in_it(pairs32: Path) -> None:
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
