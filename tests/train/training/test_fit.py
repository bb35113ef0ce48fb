"""A training learns, resumes after a kill to equal tensors, and refuses configs, shards and folders that do not fit."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from curate.system.files import write_sealed
from train.config import Config, override
from train.data.batches import training_batches
from train.errors import RunError
from train.model import snapshots, trained_model
from train.model.gan import StepSettings
from train.presets import preset_config
from train.training import fit as training
from train.training import schedule, training_loop
from train.training.fit import fit
from train.training.run_folder import delete_partial_files, prepare_run_folder
from train.training.schedule import TrainingLength
from train.training.stats import StatsLog

# in the runs that are compared: two at half size, two plain, four with the adversary; snapshots at 2, 4, 6, 8
STEPS = 8
SETTINGS = StepSettings(*map(tf.constant, (0.5, 100.0, np.array([0, 3], np.int64))))

KILLED = """
import json, os, signal, sys
from pathlib import Path
from train.config import config_from_json
from train.model import gan
from train.training import fit

steps, plain = 0, gan.Gan.step
def step(self, *given):
    global steps
    steps += 1
    if steps == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, *given)
gan.Gan.step = step
config = config_from_json(json.loads(sys.argv[3]))
fit.fit(Path(sys.argv[1]), Path(sys.argv[2]), config, fit.TrainingLength(steps={steps}), on_progress=lambda *_: None)
"""


def silent(*_: object) -> None:
    """Report no progress."""


@pytest.fixture(scope="module")
def config(small: Config) -> Config:
    return replace(small, half_until=0.25, adversary_from=0.5)


@pytest.fixture(scope="module")
def unbroken(pairs32: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run: Path = tmp_path_factory.mktemp("unbroken") / "run"
    fit(pairs32, run, config, TrainingLength(steps=STEPS), on_progress=silent)
    return run


def tensors(run: Path) -> dict[str, Any]:
    """Every tensor of the last snapshot, and its clock without the time."""
    with np.load(snapshots.list_snapshots(run)[-1], allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "clock/elapsed"}


def rows(run: Path) -> list[dict[str, Any]]:
    """The rows of stats.jsonl without their time."""
    lines = (run / "stats.jsonl").read_text("utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "elapsed"} for line in lines]


def equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def weights(run: Path) -> list[Any]:
    return list(trained_model.load_trained(run).model.get_weights())


def kill_at(step: int, pairs: Path, run: Path, config: Config) -> None:
    code = KILLED.format(at=step, steps=STEPS)
    arguments = [sys.executable, "-c", code, str(pairs), str(run), json.dumps(asdict(config))]
    assert subprocess.run(arguments, capture_output=True, check=False).returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def killed(pairs32: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes copies of a run folder that SIGKILL left in the last step."""
    from shutil import copytree

    folder: Path = tmp_path_factory.mktemp("killed")
    kill_at(8, pairs32, folder / "run", config)
    copies = iter(range(9))
    return lambda: Path(copytree(folder / "run", folder / f"copy-{next(copies)}"))


def test_a_killed_run_resumes_to_the_tensors_rows_and_files_of_an_unbroken_one(
    pairs32: Path, config: Config, killed: Callable[[], Path], unbroken: Path
) -> None:
    run = killed()
    assert [path.stem for path in snapshots.list_snapshots(run)] == ["000000002", "000000004", "000000006"]
    with (run / "stats.jsonl").open("ab") as file:
        file.write(b'{"step": 8, "l1"')  # a line cut short
    fit(pairs32, run, config, TrainingLength(steps=STEPS), on_progress=silent)
    assert equal(tensors(run), tensors(unbroken))
    assert rows(run) == rows(unbroken)
    for folder in ("snapshots", "samples"):
        resumed, expected = ({path.name for path in (path / folder).iterdir()} for path in (run, unbroken))
        assert resumed == expected
    for resumed_weight, weight in zip(weights(run), weights(unbroken), strict=True):
        np.testing.assert_array_equal(resumed_weight, weight)


@pytest.fixture(scope="module")
def resumed_eagerly(pairs32: Path, config: Config, killed: Callable[[], Path], eagerly: Any) -> dict[str, Any]:
    """The tensors that the killed run ends in when its last steps are not compiled: what controls are compared with."""
    run = killed()
    with eagerly():
        fit(pairs32, run, config, TrainingLength(steps=STEPS), on_progress=silent)
    return tensors(run)


def test_an_untouched_snapshot_resumes_to_equal_tensors_without_compiling(
    pairs32: Path, config: Config, killed: Callable[[], Path], resumed_eagerly: dict[str, Any], eagerly: Any
) -> None:
    run = killed()
    with eagerly():
        fit(pairs32, run, config, TrainingLength(steps=STEPS), on_progress=silent)
    assert equal(tensors(run), resumed_eagerly)


def test_the_comparison_notices_a_resume_that_starts_the_data_over(
    pairs32: Path,
    config: Config,
    killed: Callable[[], Path],
    resumed_eagerly: dict[str, Any],
    eagerly: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = killed()
    from_start = lambda pairs, size, options, _: training_batches(pairs, size, options, 0)  # noqa: E731  # used once
    monkeypatch.setattr(training_loop, "training_batches", from_start)
    with eagerly():
        fit(pairs32, run, config, TrainingLength(steps=STEPS), on_progress=silent)
    assert not equal(tensors(run), resumed_eagerly)


@pytest.mark.parametrize("part", ["average", "g_optimizer", "d_optimizer", "discriminator"])
def test_the_comparison_notices_a_snapshot_with_other_numbers_in(
    part: str,
    pairs32: Path,
    config: Config,
    killed: Callable[[], Path],
    resumed_eagerly: dict[str, Any],
    eagerly: Any,
) -> None:
    run = killed()
    last = snapshots.list_snapshots(run)[-1]
    with np.load(last) as file:
        arrays = {name: file[name] * (0.5 if name.startswith(part) else 1) for name in file.files}
    np.savez(last, **arrays)
    with eagerly():
        fit(pairs32, run, config, TrainingLength(steps=STEPS), on_progress=silent)
    assert not equal(tensors(run), resumed_eagerly)


def test_a_finished_run_is_not_trained_further(pairs32: Path, config: Config, unbroken: Path) -> None:
    before = tensors(unbroken)
    result = fit(pairs32, unbroken, config, TrainingLength(steps=STEPS), on_progress=silent)
    assert result["step"] == STEPS
    assert equal(tensors(unbroken), before)


def test_training_lowers_the_pixel_loss(pairs32: Path, small: Config, tmp_path: Path) -> None:
    config = replace(small, adversary="none", warm_up_steps=5, log_every=5, snapshot_every=60)
    fit(pairs32, tmp_path / "run", config, TrainingLength(steps=60), on_progress=silent)
    errors = [row["l1"] for row in rows(tmp_path / "run")]
    assert np.mean(errors[-3:]) < 0.7 * errors[0]


def test_a_run_folder_holds_exactly_the_documented_files(unbroken: Path) -> None:
    assert {path.name for path in unbroken.iterdir()} == {
        "config.json", "vocabulary.txt", "snapshots", "logs", "stats.jsonl", "samples", "model.keras",
        "best.keras",
    }  # fmt: skip
    kept = {int(path.stem) for path in snapshots.list_snapshots(unbroken)}
    assert {4, 6, 8} <= kept <= {2, 4, 6, 8}  # the best snapshot may be the first
    stats = rows(unbroken)
    assert [row["step"] for row in stats] == [2, 4, 6, 8]
    assert stats[-1]["images_seen"] == 8 * 8
    assert "discriminator" not in stats[0]
    assert {"l1", "generator", "discriminator", "real_logits", "fake_logits", "rate"} <= stats[-1].keys()


def test_an_intervals_mean_is_over_the_steps_that_have_the_figure(tmp_path: Path) -> None:
    stats = StatsLog(tmp_path, 0)
    for figures in ({"l1": 1.0}, {"l1": 3.0, "generator": 5.0}):
        stats.add(figures)
    assert stats.take_means() == {"l1": 2.0, "generator": 5.0}
    assert stats.take_means() == {}


def test_tensorboard_reads_curves_pictures_text_and_hyperparameters(unbroken: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(unbroken / "logs"), size_guidance={"tensors": 0})
    events.Reload()
    names = set(events.Tags()["tensors"])
    assert {"l1", "discriminator", "samples", "validation_chroma", "alarms/sepia", "config", "verdict"} <= names
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= names
    assert {name.split("/")[0] for name in names if "kernel" in name} == {"generator", "discriminator"}
    assert [event.step for event in events.Tensors("l1")] == [16, 32, 48, 64]


def test_a_run_is_not_resumed_with_other_settings(pairs32: Path, config: Config, unbroken: Path) -> None:
    with pytest.raises(RunError, match=r"started with loss_weight=100.0"):
        fit(pairs32, unbroken, replace(config, loss_weight=1.0), TrainingLength(steps=STEPS), on_progress=silent)


def test_a_setting_newer_than_the_run_counts_as_its_value_in_effect(
    pairs32: Path, config: Config, unbroken: Path, tmp_path: Path
) -> None:
    run_config = json.loads((unbroken / "config.json").read_text("utf-8"))
    del run_config["config"]["parts"]
    write_sealed(tmp_path / "config.json", run_config)
    with pytest.raises(RunError, match=r"started with parts=1: use the same settings"):
        fit(pairs32, tmp_path, config, TrainingLength(steps=STEPS), on_progress=silent)


def test_a_run_is_not_resumed_on_other_shards(pairs32: Path, config: Config, unbroken: Path, tmp_path: Path) -> None:
    run_config = json.loads((unbroken / "config.json").read_text("utf-8"))
    write_sealed(tmp_path / "config.json", run_config | {"shards": "others"})
    with pytest.raises(RunError, match="other shards"):
        fit(pairs32, tmp_path, config, TrainingLength(steps=STEPS), on_progress=silent)


def test_a_folder_that_holds_other_files_is_refused_and_left_unchanged(
    pairs32: Path, config: Config, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine", "utf-8")
    for fresh in (False, True):
        with pytest.raises(RunError, match="other files"):
            fit(pairs32, tmp_path, config, TrainingLength(steps=1), fresh=fresh, on_progress=silent)
    assert (tmp_path / "thesis.txt").read_text("utf-8") == "mine"


@pytest.mark.parametrize("files", [(".config.json.tmp",), ("config.json",), ("config.json", ".vocabulary.txt.tmp")])
def test_a_run_killed_while_it_was_created_is_completed(
    pairs32: Path, config: Config, tmp_path: Path, files: tuple[str, ...]
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    prepare_run_folder(pairs32, whole, config, fresh=False)
    run.mkdir()
    for name in files:
        (run / name).write_bytes((whole / name).read_bytes() if (whole / name).exists() else b"to")
    prepare_run_folder(pairs32, run, config, fresh=False)
    delete_partial_files(run)
    completed, expected = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (run, whole))
    assert completed == expected


def test_a_run_killed_while_it_was_cleared_has_no_snapshots_and_no_leftovers(
    pairs32: Path, config: Config, tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shutil import copytree

    run = Path(copytree(unbroken, tmp_path / "run"))

    def dying(path: Path, **_: object) -> None:
        if path.name == "samples":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", dying)
        with pytest.raises(KeyboardInterrupt):
            prepare_run_folder(pairs32, run, config, fresh=True)
    prepare_run_folder(pairs32, run, config, fresh=False)
    delete_partial_files(run)
    assert snapshots.list_snapshots(run) == []
    assert {"config.json", "vocabulary.txt"} <= {path.name for path in run.iterdir()}
    assert not list(run.glob(".*"))


def test_a_truncated_snapshot_is_an_error_that_names_it(
    pairs32: Path, config: Config, killed: Callable[[], Path]
) -> None:
    run = killed()
    last = snapshots.list_snapshots(run)[-1]
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(RunError, match=last.name):
        fit(pairs32, run, config, TrainingLength(steps=STEPS), on_progress=silent)


def test_a_snapshot_of_another_model_is_refused(small: Config, pairs32: Path, tmp_path: Path) -> None:
    wide = training.build_gan(replace(small, width=16), pairs32)
    path = snapshots.save(tmp_path, snapshots.TrainingClock(), wide.state())
    with pytest.raises(RunError, match="does not fit"):
        snapshots.restore(path, training.build_gan(small, pairs32).state())


def test_damaged_shards_are_found_before_training(pairs32: Path, tmp_path: Path) -> None:
    from shutil import copytree

    shards = Path(copytree(pairs32, tmp_path / "shards"))
    training.check_shards(shards)
    victim = next(shards.glob("*.tfrecord"))
    data = bytearray(victim.read_bytes())
    data[100] ^= 1
    victim.write_bytes(data)
    with pytest.raises(RunError, match=victim.name):
        training.check_shards(shards)


def test_a_pair_size_that_cannot_be_halved_often_enough_is_refused(pairs32: Path, small: Config) -> None:
    with pytest.raises(RunError, match="levels"):
        training.build_gan(replace(small, levels=6), pairs32)


def test_learning_rates_warm_up_and_fall_to_zero_by_steps_or_by_minutes() -> None:
    config = override(preset_config("tags"), ["warm_up_steps=4"])
    assert [schedule.learning_rate_factor(config, step, 0.0) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert schedule.learning_rate_factor(config, 99, 0.5) == pytest.approx(0.5)
    assert schedule.learning_rate_factor(config, 99, 1.0) == pytest.approx(0)
    assert TrainingLength(steps=10).progress(snapshots.TrainingClock(step=5)) == 0.5
    assert TrainingLength(minutes=2).progress(snapshots.TrainingClock(elapsed=30)) == 0.25


def test_the_averaged_weights_move_towards_the_generators(small: Config, pairs32: Path) -> None:
    gan = training.build_gan(small, pairs32)
    for variable in gan.generator.weights:
        variable.assign(variable * 0 + 1)
    for variable in gan.averaged_generator.weights:
        variable.assign(variable * 0)
    gan._update_average(0.75)
    assert {float(np.max(weight)) for weight in gan.averaged_generator.weights} == {0.25}


def test_a_step_gives_the_same_figures_and_weights_eager_and_compiled(small: Config, pairs32: Path) -> None:
    from train.data.batches import BatchOptions, training_batches
    from train.data.pairs import Pairs

    batch = next(iter(training_batches(Pairs(pairs32, "train"), 8, BatchOptions(0))))
    eager_gan, compiled_gan = training.build_gan(small, pairs32), training.build_gan(small, pairs32)
    eager = eager_gan.adversarial_step(batch, SETTINGS)
    compiled = compiled_gan.step_functions["both"](batch, SETTINGS)
    for name in eager:
        assert float(eager[name]) == pytest.approx(float(compiled[name]), rel=1e-4, abs=1e-5)
    for name, variable in eager_gan.state().items():
        np.testing.assert_allclose(variable, compiled_gan.state()[name], atol=2e-3, err_msg=name)


def test_a_discriminator_step_changes_the_discriminator_only(small: Config, pairs32: Path) -> None:
    from train.data.batches import BatchOptions, training_batches
    from train.data.pairs import Pairs

    gan = training.build_gan(small, pairs32)
    batch = next(iter(training_batches(Pairs(pairs32, "train"), 8, BatchOptions(0))))
    generator = [np.asarray(weight) for weight in gan.generator.weights]
    discriminator = [np.asarray(weight) for weight in gan.discriminator.trainable_weights]
    gan.discriminator_step(batch, -batch.colors, SETTINGS)
    assert all(map(np.array_equal, gan.generator.weights, generator))
    assert not all(map(np.array_equal, gan.discriminator.trainable_weights, discriminator))


def test_what_a_generator_draws_on_padding_changes_no_update(small: Config, pairs32: Path) -> None:
    """Neither the pixel loss nor the discriminator sees it."""
    from train.data.batches import Batch, BatchOptions, content_mask, training_batches, white_outside
    from train.data.pairs import Pairs

    plain = next(iter(training_batches(Pairs(pairs32, "train"), 8, BatchOptions(0))))
    mask = tf.constant([content_mask([8, 0, 16, 32], 32)] * 8, tf.float32)
    batch = Batch(plain.lines, white_outside(plain.colors, mask), mask, plain.tags)
    clean, scribbling = training.build_gan(small, pairs32), training.build_gan(small, pairs32)
    generator = scribbling.generator

    class Scribbler:
        """The generator, with black on the padding."""

        trainable_variables = generator.trainable_variables
        weights = generator.weights

        def __call__(self, inputs: Any, training: bool) -> Any:
            masks = mask[: len(inputs[0])]  # they are all equal
            return generator(inputs, training=training) * masks - (1 - masks)

    scribbling.generator = Scribbler()
    for gan in (clean, scribbling):
        gan.adversarial_step(batch, SETTINGS)
    scribbling.generator = generator
    for name, variable in clean.state().items():
        np.testing.assert_allclose(variable, scribbling.state()[name], atol=1e-6, err_msg=name)
