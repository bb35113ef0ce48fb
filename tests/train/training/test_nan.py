"""A training that meets NaN goes back and on more slowly; killed on the way, it is what it would have been."""

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
from train.model import snapshots, trained
from train.model.gan import Gan, StepSettings
from train.training import schedule
from train.training.fit import fit
from train.training.schedule import TrainingLength

STEPS = 8  # snapshots lie at 2, 4, 6, 8; the fifth step spoils a weight where its rate is high
Step = Callable[..., Any]


class KilledError(BaseException):
    """Ends a training where it is, as a kill does: nothing catches it."""


@pytest.fixture(scope="module")
def config(small: Config) -> Config:
    return replace(small, adversary="none", warm_up_steps=1, log_every=1, keep_every=2)


def spoilt(bound: float, taken: list[int], *, kill: int = 0) -> Step:
    """Gan.step that makes a weight NaN in the fifth step at a rate above `bound`; killed once it has `taken` so many.

    It is eager: a few steps are done sooner than they are compiled.
    """

    def step(gan: Gan, batch: Any, pace: Any, rate: float, kind: str, moves: bool) -> Any:  # as is called
        if kill and len(taken) == kill:
            raise KilledError
        taken.append(int(pace.seed[1]))
        gan.g_optimizer.learning_rate.assign(rate * gan.config.learning_rate)
        figures = gan.plain_step(batch, StepSettings(*map(tf.constant, pace)))
        if pace.seed[1] == 4 and rate > bound:
            gan.generator.weights[0].assign(gan.generator.weights[0] * np.nan)
        return figures

    return step


def train(pairs: Path, run: Path, config: Config) -> dict[str, Any]:
    return fit(pairs, run, config, TrainingLength(steps=STEPS), on_progress=lambda *_: None)


def rows(run: Path) -> list[dict[str, Any]]:
    lines = (run / "stats.jsonl").read_text("utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "elapsed"} for line in lines]


def held(run: Path) -> dict[str, Any]:
    """Every file of a run folder that does not tell the time, and every tensor of its snapshots."""
    files = {path.name: path.read_bytes() for path in sorted((run / "samples").iterdir())}
    for path in snapshots.list_snapshots(run):
        with np.load(path) as file:
            files |= {f"{path.name}/{name}": file[name].tobytes() for name in file.files if name != "clock/elapsed"}
    return files | {"stats": rows(run), "names": sorted(path.name for path in run.iterdir())}


@pytest.fixture(scope="module")
def once(pairs32: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run that met NaN once, and its result."""
    run: Path = tmp_path_factory.mktemp("nan") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gan, "step", spoilt(0.4, []))
        return run, train(pairs32, run, config)


def test_it_goes_back_and_on_at_half_the_rates(once: tuple[Path, dict[str, Any]], config: Config) -> None:
    run, result = once
    stats = rows(run)
    assert [row["step"] for row in stats] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [row["step"] for row in stats if "nan" in row["alarms"]] == [5, 6]
    usual = [schedule.learning_rate_factor(config, step, step / STEPS) for step in range(STEPS)]
    assert [row["rate"] for row in stats] == pytest.approx(usual[:4] + [rate / 2 for rate in usual[4:]])
    assert "NaN at step 6: gone on at a rate of 1/2" in result["verdict"]
    for path in snapshots.list_snapshots(run):
        snapshots.check_finite(0, snapshots.read_snapshot(path)[1])


def test_killed_after_the_nan_it_goes_on_from_there_as_if_it_had_not_been(
    pairs32: Path, config: Config, once: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, before, after = tmp_path / "run", list[int](), list[int]()
    monkeypatch.setattr(Gan, "step", spoilt(0.4, before, kill=6))
    with pytest.raises(KilledError):
        train(pairs32, run, config)
    monkeypatch.setattr(Gan, "step", spoilt(0.4, after))
    result = train(pairs32, run, config)
    assert (before, after) == ([0, 1, 2, 3, 4, 5], [4, 5, 6, 7])  # the NaN is not met again
    assert held(run) == held(once[0])
    assert result | {"elapsed": 0} == once[1] | {"elapsed": 0}


def test_what_three_halvings_do_not_mend_is_an_error_of_one_line(
    pairs32: Path, config: Config, once: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(copytree(once[0], tmp_path / "run"))
    for path in snapshots.list_snapshots(run)[-2:]:  # back to the fourth step
        path.unlink()
    monkeypatch.setattr(Gan, "step", spoilt(0.0, []))
    with pytest.raises(
        RunError, match=r"at step \d, though the rates were halved 3 times before .*learning_rate"
    ) as told:
        train(pairs32, run, config)
    assert "\n" not in str(told.value)
    assert snapshots.read_snapshot(snapshots.list_snapshots(run)[-1])[0].nan == (6, 6, 6)


def test_the_best_model_is_that_of_the_best_snapshot(pairs32: Path, once: tuple[Path, dict[str, Any]]) -> None:
    run, result = once
    figures = {row["step"]: row["validation_ciede2000"] for row in rows(run) if "validation_ciede2000" in row}
    assert sorted(figures) == [2, 4, 6, 8]
    assert result["best_step"] == min(figures, key=lambda step: figures[step])
    for name, step in {"best.keras": result["best_step"], "model.keras": STEPS}.items():
        arrays = snapshots.read_snapshot(snapshots.snapshot_path(run, step))[1]
        for place, weight in enumerate(trained.load_trained(run / name).model.get_weights()):
            np.testing.assert_array_equal(weight, arrays[f"average/{place:03d}"])
