"""After a NaN a training returns to a snapshot and halves its rates; a kill on the way does not change its result."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from train.config import Config
from train.errors import RunError
from train.model import snapshots, trained_model
from train.model.gan import Gan, StepSettings
from train.training import schedule
from train.training.fit import fit
from train.training.schedule import TrainingLength

STEPS = 8  # snapshots at 2, 4, 6, 8; the fifth step makes a weight NaN if its rate is high
Step = Callable[..., Any]


class KilledError(BaseException):
    """Ends a training on the spot, as a kill does: nothing catches it."""


@pytest.fixture(scope="module")
def config(small: Config) -> Config:
    return replace(small, adversary="none", warm_up_steps=1, log_every=1, keep_every=2)


def faulty_step(bound: float, steps_taken: list[int], *, kill: int = 0) -> Step:
    """A Gan.step that makes a weight NaN in the fifth step at a rate above `bound`, and dies after `kill` steps.

    It is eager: a few steps take less time than compiling one.
    """

    def step(gan: Gan, batch: Any, settings: Any, rate: float, kind: str, updates_weights: bool) -> Any:
        if kill and len(steps_taken) == kill:
            raise KilledError
        steps_taken.append(int(settings.seed[1]))
        gan.g_optimizer.learning_rate.assign(rate * gan.config.learning_rate)
        figures = gan.plain_step(batch, StepSettings(*map(tf.constant, settings)))
        if settings.seed[1] == 4 and rate > bound:
            gan.generator.weights[0].assign(gan.generator.weights[0] * np.nan)
        return figures

    return step


def train(pairs: Path, run: Path, config: Config) -> dict[str, Any]:
    return fit(pairs, run, config, TrainingLength(steps=STEPS), on_progress=lambda *_: None)


def rows(run: Path) -> list[dict[str, Any]]:
    lines = (run / "stats.jsonl").read_text("utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "elapsed"} for line in lines]


def content(run: Path) -> dict[str, Any]:
    """Everything in a run folder that does not depend on time: samples, tensors of snapshots, stats, file names."""
    files = {path.name: path.read_bytes() for path in sorted((run / "samples").iterdir())}
    for path in snapshots.list_snapshots(run):
        with np.load(path) as file:
            files |= {f"{path.name}/{name}": file[name].tobytes() for name in file.files if name != "clock/elapsed"}
    return files | {"stats": rows(run), "names": sorted(path.name for path in run.iterdir())}


@pytest.fixture(scope="module")
def once(pairs32: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run that became NaN once, and its result."""
    run: Path = tmp_path_factory.mktemp("nan") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gan, "step", faulty_step(0.4, []))
        return run, train(pairs32, run, config)


def test_after_a_nan_training_continues_from_the_last_snapshot_at_half_the_rates(
    once: tuple[Path, dict[str, Any]], config: Config
) -> None:
    run, result = once
    stats = rows(run)
    assert [row["step"] for row in stats] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [row["step"] for row in stats if "nan" in row["alarms"]] == [5, 6]
    rates = [schedule.learning_rate_factor(config, step, step / STEPS) for step in range(STEPS)]
    assert [row["rate"] for row in stats] == pytest.approx(rates[:4] + [rate / 2 for rate in rates[4:]])
    assert "NaN at step 6: continued at a rate of 1/2" in result["verdict"]
    for path in snapshots.list_snapshots(run):
        snapshots.check_finite(0, snapshots.read_snapshot(path)[1])


def test_a_run_killed_after_a_nan_resumes_to_the_same_result(
    pairs32: Path, config: Config, once: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, before, after = tmp_path / "run", list[int](), list[int]()
    monkeypatch.setattr(Gan, "step", faulty_step(0.4, before, kill=6))
    with pytest.raises(KilledError):
        train(pairs32, run, config)
    monkeypatch.setattr(Gan, "step", faulty_step(0.4, after))
    result = train(pairs32, run, config)
    assert (before, after) == ([0, 1, 2, 3, 4, 5], [4, 5, 6, 7])  # the NaN does not recur
    assert content(run) == content(once[0])
    assert result | {"elapsed": 0} == once[1] | {"elapsed": 0}


def test_a_nan_that_three_halvings_do_not_cure_is_an_error_of_one_line(
    pairs32: Path, config: Config, once: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(copytree(once[0], tmp_path / "run"))
    for path in snapshots.list_snapshots(run)[-2:]:  # back to the fourth step
        path.unlink()
    monkeypatch.setattr(Gan, "step", faulty_step(0.0, []))
    with pytest.raises(
        RunError, match=r"at step \d, though the rates were halved 3 times before .*learning_rate"
    ) as error:
        train(pairs32, run, config)
    assert "\n" not in str(error.value)
    assert snapshots.read_snapshot(snapshots.list_snapshots(run)[-1])[0].nan == (6, 6, 6)


def test_best_keras_holds_the_averaged_weights_of_the_best_snapshot(
    pairs32: Path, once: tuple[Path, dict[str, Any]]
) -> None:
    run, result = once
    figures = {row["step"]: row["validation_ciede2000"] for row in rows(run) if "validation_ciede2000" in row}
    assert sorted(figures) == [2, 4, 6, 8]
    assert result["best_step"] == min(figures, key=lambda step: figures[step])
    for name, step in {"best.keras": result["best_step"], "model.keras": STEPS}.items():
        arrays = snapshots.read_snapshot(snapshots.snapshot_path(run, step))[1]
        for number, weight in enumerate(trained_model.load_trained(run / name).model.get_weights()):
            np.testing.assert_array_equal(weight, arrays[f"average/{number:03d}"])
