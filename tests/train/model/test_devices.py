"""However many devices and machines share its batches, a training is the same, and one of them writes it down."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import ROOT
from train.config import Config
from train.data.batches import BatchOptions, training_batches
from train.data.pairs import Pairs
from train.errors import RunError
from train.model import devices, snapshots
from train.training.fit import fit
from train.training.schedule import TrainingLength

STEPS = 2
FIT = """
import json, sys
from pathlib import Path
from train.tensorflow_import import load_tensorflow

load_tensorflow()
from train import config
from train.training import fit

settings = config.config_from_json(json.loads(sys.argv[3]))
length = fit.TrainingLength(steps=int(sys.argv[4]))
fit.fit(Path(sys.argv[1]), Path(sys.argv[2]), settings, length, tell=lambda *_: None, devices=int(sys.argv[5]))
"""


@pytest.fixture(scope="module")
def config(small: Config) -> Config:
    """Everything that is drawn for a picture, and a loss of each kind; every step is adversarial."""
    tiny = replace(small, width=4, levels=2, log_every=1, snapshot_every=1, half_until=0.0, adversary_from=0.0)
    return replace(tiny, move=0.25, auxiliary_weight=0.1, warm_up_steps=1)


@pytest.fixture(scope="module")
def alone(pairs32: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one device."""
    run: Path = tmp_path_factory.mktemp("alone") / "run"
    fit(pairs32, run, config, TrainingLength(steps=STEPS), on_progress=lambda *_: None)
    return run


def begun(pairs: Path, run: Path, config: Config, count: int = 1, **env: str) -> "subprocess.Popen[str]":
    """A training in a process of its own: TensorFlow's devices are settled when it starts."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    words = [sys.executable, "-c", FIT, str(pairs), str(run), json.dumps(asdict(config)), str(STEPS), str(count)]
    return subprocess.Popen(words, cwd=ROOT, env={**inherited, **env}, stderr=subprocess.PIPE, text=True)


def ended(process: "subprocess.Popen[str]") -> None:
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told


def rows(run: Path) -> Iterator[dict[str, Any]]:
    for line in (run / "stats.jsonl").read_text("utf-8").splitlines():
        yield {key: value for key, value in json.loads(line).items() if key != "elapsed"}


def assert_same(run: Path, alone: Path) -> None:
    """Figures to rounding. Weights to a share of Adam's steps, which the signs of near-zero gradients decide."""
    for one, other in zip(rows(run), rows(alone), strict=True):
        assert one.pop("alarms") == other.pop("alarms")
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)
    with np.load(snapshots.list_snapshots(run)[-1]) as one, np.load(snapshots.list_snapshots(alone)[-1]) as other:
        assert set(one.files) == set(other.files)
        for name in other.files:
            assert name.startswith("clock/") or np.abs(one[name] - other[name]).mean() < 1e-5, name


def test_two_devices_train_as_one_does_with_the_joined_batch(
    pairs32: Path, config: Config, alone: Path, tmp_path: Path
) -> None:
    ended(begun(pairs32, tmp_path / "run", config, 2))
    assert_same(tmp_path / "run", alone)
    result = fit(pairs32, tmp_path / "run", config, TrainingLength(steps=STEPS), on_progress=lambda *_: None)
    assert result["step"] == STEPS  # and one device takes the run over


def test_two_machines_train_as_one_does_and_the_first_alone_writes(
    pairs32: Path, config: Config, alone: Path, tmp_path: Path
) -> None:
    (tmp_path / "scratch").mkdir()
    cluster = {"worker": [f"localhost:{port}" for port in ports(2)]}
    told = [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}) for index in range(2)]
    scratch = str(tmp_path / "scratch")
    crew = [begun(pairs32, tmp_path / "run", config, TF_CONFIG=one, TMPDIR=scratch) for one in told]
    for process in crew:
        ended(process)
    assert_same(tmp_path / "run", alone)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {path.name for path in alone.iterdir()}
    assert not list((tmp_path / "scratch").iterdir())


def ports(count: int) -> list[int]:
    """Free ones."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def test_the_parts_that_workers_read_make_up_the_joined_batch(pairs32: Path) -> None:
    """With what is drawn for its pairs: line style and variation, jitter, flips, dropped tags."""
    choices = BatchOptions(3, flip=True, tag_dropout=0.3, single_tag_dropout=0.3, jitter=0.5, line_variation=0.8)
    pairs = Pairs(pairs32, "train")
    whole = next(iter(training_batches(pairs, 8, choices, 5)))
    parts = [next(iter(training_batches(pairs, 8, replace(choices, worker=n, workers=2), 5))) for n in range(2)]
    for place, one in enumerate(whole):
        joined = np.concatenate([part[place] for part in parts])
        np.testing.assert_allclose(one, joined, atol=0.008)  # a level: sines of jitter
    assert not np.array_equal(parts[0].lines, parts[1].lines)


@pytest.mark.parametrize(
    ("told", "count", "fault"),
    [
        ("{", 1, "TF_CONFIG cannot be read .*: write it as"),
        ('{"cluster": {"ps": ["localhost:1"]}, "task": {"type": "ps", "index": 0}}', 1, "no ps 0"),
        ('{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 1}}', 1, "no worker 1"),
        ('{"cluster": {}, "task": {}}', 2, "leave out --devices"),
        ("", 99, "fewer than 99 devices"),
    ],
)
def test_devices_that_cannot_be_had_are_told(
    told: str, count: int, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    tf.config.list_logical_devices()  # TensorFlow has begun
    monkeypatch.setenv("TF_CONFIG", told)
    with pytest.raises(RunError, match=fault):
        devices.open_devices(count)


def test_a_batch_and_a_length_that_cannot_be_shared_are_told(config: Config, pairs32: Path) -> None:
    from train.data.pairs import open_index
    from train.training import fit as fitting

    index = open_index(pairs32)

    class Three:
        num_replicas_in_sync = 3

    with pytest.raises(RunError, match="a batch of 8 is not shared by 3 devices"):
        fitting._check_devices(devices.TrainingDevices(Three()), config, TrainingLength(steps=1), index)
    Three.num_replicas_in_sync = 2
    with pytest.raises(RunError, match="--steps N"):
        fitting._check_devices(devices.TrainingDevices(Three(), 0, 2), config, TrainingLength(minutes=1), index)
