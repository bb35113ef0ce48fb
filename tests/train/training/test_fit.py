"""A training learns, goes on after a kill as if there had been none, and refuses what does not fit."""

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
from train.model import snapshots, trained
from train.model.gan import StepSettings
from train.presets import preset_config
from train.training import fit as training
from train.training import schedule, training_loop
from train.training.fit import fit
from train.training.run_folder import delete_partial_files, prepare_run_folder
from train.training.schedule import TrainingLength
from train.training.stats import StatsLog

# of the runs that are compared: two at half size, two plain, four with the adversary; snapshots lie at 2, 4, 6, 8
STEPS = 8
PACE = StepSettings(*map(tf.constant, (0.5, 100.0, np.array([0, 3], np.int64))))

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
fit.fit(Path(sys.argv[1]), Path(sys.argv[2]), config, fit.TrainingLength(steps={steps}), tell=lambda *_: None)
"""


def silent(*_: object) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def config(small: Config) -> Config:
    return replace(small, half_until=0.25, adversary_from=0.5)


@pytest.fixture(scope="module")
def unbroken(pairs32: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run: Path = tmp_path_factory.mktemp("unbroken") / "run"
    fit(pairs32, run, config, TrainingLength(steps=STEPS), on_progress=silent)
    return run


def tensors(run: Path) -> dict[str, Any]:
    """Every tensor of the last snapshot, its clock but for the time."""
    with np.load(snapshots.list_snapshots(run)[-1], allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "clock/elapsed"}


def rows(run: Path) -> list[dict[str, Any]]:
    """stats.jsonl but for its time."""
    lines = (run / "stats.jsonl").read_text("utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "elapsed"} for line in lines]


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def weights(run: Path) -> list[Any]:
    return list(trained.load_trained(run).model.get_weights())


def killed_at(step: int, pairs: Path, run: Path, config: Config) -> None:
    code = KILLED.format(at=step, steps=STEPS)
    arguments = [sys.executable, "-c", code, str(pairs), str(run), json.dumps(asdict(config))]
    assert subprocess.run(arguments, capture_output=True, check=False).returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def killed(pairs32: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A run folder as SIGKILL in the last step left it; each call gives a copy of its own."""
    from shutil import copytree

    folder: Path = tmp_path_factory.mktemp("killed")
    killed_at(8, pairs32, folder / "run", config)
    copies = iter(range(9))
    return lambda: Path(copytree(folder / "run", folder / f"copy-{next(copies)}"))


def test_a_killed_run_gone_on_with_equals_an_unbroken_one_tensor_for_tensor(
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
        names, same = ({path.name for path in (one / folder).iterdir()} for one in (run, unbroken))
        assert names == same
    for one, same in zip(weights(run), weights(unbroken), strict=True):
        np.testing.assert_array_equal(one, same)


def test_the_comparison_would_see_a_resume_that_began_the_data_anew(
    pairs32: Path, config: Config, killed: Callable[[], Path], unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = killed()
    anew = lambda pairs, size, choices, _: training_batches(pairs, size, choices, 0)  # noqa: E731  # used once
    monkeypatch.setattr(training_loop, "training_batches", anew)
    fit(pairs32, run, config, TrainingLength(steps=STEPS), on_progress=silent)
    assert not equal(tensors(run), tensors(unbroken))


@pytest.mark.parametrize("part", ["average", "g_optimizer", "d_optimizer", "discriminator"])
def test_the_comparison_would_see_a_snapshot_with_other_numbers_in(
    part: str, pairs32: Path, config: Config, killed: Callable[[], Path], unbroken: Path
) -> None:
    run = killed()
    last = snapshots.list_snapshots(run)[-1]
    with np.load(last) as file:
        arrays = {name: file[name] * (0.5 if name.startswith(part) else 1) for name in file.files}
    np.savez(last, **arrays)
    fit(pairs32, run, config, TrainingLength(steps=STEPS), on_progress=silent)
    assert not equal(tensors(run), tensors(unbroken))


def test_a_finished_run_trains_no_further(pairs32: Path, config: Config, unbroken: Path) -> None:
    before = tensors(unbroken)
    result = fit(pairs32, unbroken, config, TrainingLength(steps=STEPS), on_progress=silent)
    assert result["step"] == STEPS
    assert equal(tensors(unbroken), before)


def test_training_lowers_the_error(pairs32: Path, small: Config, tmp_path: Path) -> None:
    config = replace(small, adversary="none", warm_up_steps=5, log_every=5, snapshot_every=60)
    fit(pairs32, tmp_path / "run", config, TrainingLength(steps=60), on_progress=silent)
    errors = [row["l1"] for row in rows(tmp_path / "run")]
    assert np.mean(errors[-3:]) < 0.7 * errors[0]


def test_a_run_folder_holds_what_the_design_says(unbroken: Path) -> None:
    assert {path.name for path in unbroken.iterdir()} == {
        "config.json", "vocabulary.txt", "snapshots", "logs", "stats.jsonl", "samples", "model.keras",
        "best.keras",
    }  # fmt: skip
    kept = {int(path.stem) for path in snapshots.list_snapshots(unbroken)}
    assert {4, 6, 8} <= kept <= {2, 4, 6, 8}  # the best may be an early one
    stats = rows(unbroken)
    assert [row["step"] for row in stats] == [2, 4, 6, 8]
    assert stats[-1]["images_seen"] == 8 * 8
    assert "discriminator" not in stats[0]
    assert {"l1", "generator", "discriminator", "real_logits", "fake_logits", "rate"} <= stats[-1].keys()


def test_an_interval_s_mean_is_over_the_steps_that_had_the_figure(tmp_path: Path) -> None:
    stats = StatsLog(tmp_path, 0)
    for figures in ({"l1": 1.0}, {"l1": 3.0, "generator": 5.0}):
        stats.add(figures)
    assert stats.take_means() == {"l1": 2.0, "generator": 5.0}
    assert stats.take_means() == {}


def test_tensorboard_can_read_the_scalars_and_pictures(unbroken: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(unbroken / "logs"), size_guidance={"tensors": 0})
    board.Reload()
    names = set(board.Tags()["tensors"])
    assert {"l1", "discriminator", "samples", "validation_chroma", "alarms/sepia", "config", "verdict"} <= names
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= names
    assert {name.split("/")[0] for name in names if "kernel" in name} == {"generator", "discriminator"}
    assert [event.step for event in board.Tensors("l1")] == [16, 32, 48, 64]


def test_other_settings_are_refused_by_name(pairs32: Path, config: Config, unbroken: Path) -> None:
    with pytest.raises(RunError, match=r"begun with loss_weight=100.0"):
        fit(pairs32, unbroken, replace(config, loss_weight=1.0), TrainingLength(steps=STEPS), on_progress=silent)


def test_settings_that_there_were_not_yet_are_refused_by_what_they_stood_for(
    pairs32: Path, config: Config, unbroken: Path, tmp_path: Path
) -> None:
    described = json.loads((unbroken / "config.json").read_text("utf-8"))
    del described["config"]["parts"]
    write_sealed(tmp_path / "config.json", described)
    with pytest.raises(RunError, match=r"begun with parts=1: use the same settings"):
        fit(pairs32, tmp_path, config, TrainingLength(steps=STEPS), on_progress=silent)


def test_other_shards_are_refused(pairs32: Path, config: Config, unbroken: Path, tmp_path: Path) -> None:
    described = json.loads((unbroken / "config.json").read_text("utf-8"))
    write_sealed(tmp_path / "config.json", described | {"shards": "others"})
    with pytest.raises(RunError, match="other shards"):
        fit(pairs32, tmp_path, config, TrainingLength(steps=STEPS), on_progress=silent)


def test_a_folder_of_other_files_is_left_alone(pairs32: Path, config: Config, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", "utf-8")
    for fresh in (False, True):
        with pytest.raises(RunError, match="other files"):
            fit(pairs32, tmp_path, config, TrainingLength(steps=1), fresh=fresh, on_progress=silent)
    assert (tmp_path / "thesis.txt").read_text("utf-8") == "mine"


@pytest.mark.parametrize("there", [(".config.json.tmp",), ("config.json",), ("config.json", ".vocabulary.txt.tmp")])
def test_a_run_killed_at_its_beginning_is_one_to_go_on_with(
    pairs32: Path, config: Config, tmp_path: Path, there: tuple[str, ...]
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    prepare_run_folder(pairs32, whole, config, fresh=False)
    run.mkdir()
    for name in there:
        (run / name).write_bytes((whole / name).read_bytes() if (whole / name).exists() else b"to")
    prepare_run_folder(pairs32, run, config, fresh=False)
    delete_partial_files(run)
    made, wanted = ({path.name: path.read_bytes() for path in one.iterdir()} for one in (run, whole))
    assert made == wanted


def test_a_run_killed_as_it_was_deleted_to_start_over_has_not_begun(
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


def test_a_torn_snapshot_is_named(pairs32: Path, config: Config, killed: Callable[[], Path]) -> None:
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


def test_pairs_that_cannot_be_halved_that_often_are_refused(pairs32: Path, small: Config) -> None:
    with pytest.raises(RunError, match="levels"):
        training.build_gan(replace(small, levels=6), pairs32)


def test_rates_warm_up_and_end_at_zero_whatever_the_length() -> None:
    config = override(preset_config("tags"), ["warm_up_steps=4"])
    assert [schedule.learning_rate_factor(config, step, 0.0) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert schedule.learning_rate_factor(config, 99, 0.5) == pytest.approx(0.5)
    assert schedule.learning_rate_factor(config, 99, 1.0) == pytest.approx(0)
    assert TrainingLength(steps=10).progress(snapshots.TrainingClock(step=5)) == 0.5
    assert TrainingLength(minutes=2).progress(snapshots.TrainingClock(elapsed=30)) == 0.25


def test_the_average_follows_the_generator(small: Config, pairs32: Path) -> None:
    gan = training.build_gan(small, pairs32)
    for variable in gan.generator.weights:
        variable.assign(variable * 0 + 1)
    for variable in gan.averaged_generator.weights:
        variable.assign(variable * 0)
    gan._update_average(0.75)
    assert {float(np.max(one)) for one in gan.averaged_generator.weights} == {0.25}


def test_a_step_is_the_same_eager_and_compiled(small: Config, pairs32: Path) -> None:
    from train.data.batches import BatchOptions, training_batches
    from train.data.pairs import Pairs

    batch = next(iter(training_batches(Pairs(pairs32, "train"), 8, BatchOptions(0))))
    one, other = training.build_gan(small, pairs32), training.build_gan(small, pairs32)
    eager = one.adversarial_step(batch, PACE)
    graph = other.step_functions["both"](batch, PACE)
    for name in eager:
        assert float(eager[name]) == pytest.approx(float(graph[name]), rel=1e-4, abs=1e-5)
    for name, mine in one.state().items():
        np.testing.assert_allclose(mine, other.state()[name], atol=2e-3, err_msg=name)


def test_discriminator_steps_leave_the_generator_alone(small: Config, pairs32: Path) -> None:
    from train.data.batches import BatchOptions, training_batches
    from train.data.pairs import Pairs

    gan = training.build_gan(small, pairs32)
    batch = next(iter(training_batches(Pairs(pairs32, "train"), 8, BatchOptions(0))))
    before = [np.asarray(one) for one in gan.generator.weights]
    judged = [np.asarray(one) for one in gan.discriminator.trainable_weights]
    gan.discriminator_step(batch, -batch.colors, PACE)
    assert all(np.array_equal(one, same) for one, same in zip(gan.generator.weights, before, strict=True))
    assert any(
        not np.array_equal(one, was) for one, was in zip(gan.discriminator.trainable_weights, judged, strict=True)
    )


def test_what_lies_outside_the_content_box_changes_no_update(small: Config, pairs32: Path) -> None:
    """Neither L1 nor the discriminator sees a generator's work on padding."""
    from train.data.batches import Batch, BatchOptions, content_mask, training_batches, white_outside
    from train.data.pairs import Pairs

    plain = next(iter(training_batches(Pairs(pairs32, "train"), 8, BatchOptions(0))))
    mask = tf.constant([content_mask([8, 0, 16, 32], 32)] * 8, tf.float32)
    batch = Batch(plain.lines, white_outside(plain.colors, mask), mask, plain.tags)
    one, other = training.build_gan(small, pairs32), training.build_gan(small, pairs32)

    class Scribbler:
        """The other's generator, with black on its padding."""

        trainable_variables = other.generator.trainable_variables
        weights = other.generator.weights

        def __call__(self, inputs: Any, training: bool) -> Any:
            some = mask[: len(inputs[0])]  # all are alike
            return real(inputs, training=training) * some - (1 - some)

    real = other.generator
    other.generator = Scribbler()
    for gan in (one, other):
        gan.adversarial_step(batch, PACE)
    other.generator = real
    for name, mine in one.state().items():
        np.testing.assert_allclose(mine, other.state()[name], atol=1e-6, err_msg=name)
