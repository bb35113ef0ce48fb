"""A training is the same on any number of devices and machines, and only the chief writes the run folder."""

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
from train.lazy_tensorflow import load_tensorflow

load_tensorflow()
from train import config
from train.training import fit

settings = config.config_from_json(json.loads(sys.argv[3]))
length = fit.TrainingLength(steps=int(sys.argv[4]))
fit.fit(Path(sys.argv[1]), Path(sys.argv[2]), settings, length, on_progress=lambda *_: None, devices=int(sys.argv[5]))
"""


@pytest.fixture(scope="module")
def config(small: Config) -> Config:
    """Every random choice and every kind of loss; all steps are adversarial."""
    tiny = replace(small, width=4, levels=2, log_every=1, snapshot_every=1, half_until=0.0, adversary_from=0.0)
    return replace(tiny, move=0.25, auxiliary_weight=0.1, warm_up_steps=1)


@pytest.fixture(scope="module")
def alone(pairs32: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one device."""
    run: Path = tmp_path_factory.mktemp("alone") / "run"
    fit(pairs32, run, config, TrainingLength(steps=STEPS), on_progress=lambda *_: None)
    return run


def start_fit(pairs: Path, run: Path, config: Config, count: int = 1, **env: str) -> "subprocess.Popen[str]":
    """A training in a process of its own, since TensorFlow fixes its devices when it starts."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    words = [sys.executable, "-c", FIT, str(pairs), str(run), json.dumps(asdict(config)), str(STEPS), str(count)]
    return subprocess.Popen(words, cwd=ROOT, env={**inherited, **env}, stderr=subprocess.PIPE, text=True)


def wait_for(process: "subprocess.Popen[str]") -> None:
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr


def rows(run: Path) -> Iterator[dict[str, Any]]:
    for line in (run / "stats.jsonl").read_text("utf-8").splitlines():
        yield {key: value for key, value in json.loads(line).items() if key != "elapsed"}


def assert_same(run: Path, alone: Path) -> None:
    """Figures equal to rounding, weights to a share of Adam's steps: the signs of tiny gradients decide those."""
    for row, expected in zip(rows(run), rows(alone), strict=True):
        assert row.pop("alarms") == expected.pop("alarms")
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-5)
    path, expected_path = (snapshots.list_snapshots(folder)[-1] for folder in (run, alone))
    with np.load(path) as tensors, np.load(expected_path) as expected_tensors:
        assert set(tensors.files) == set(expected_tensors.files)
        for name in tensors.files:
            if not name.startswith("clock/"):
                assert np.abs(tensors[name] - expected_tensors[name]).mean() < 1e-5, name


def test_two_devices_train_as_one_device_does_with_the_whole_batch(
    pairs32: Path, config: Config, alone: Path, tmp_path: Path
) -> None:
    wait_for(start_fit(pairs32, tmp_path / "run", config, 2))
    assert_same(tmp_path / "run", alone)
    result = fit(pairs32, tmp_path / "run", config, TrainingLength(steps=STEPS), on_progress=lambda *_: None)
    assert result["step"] == STEPS  # a single device can take the run over


def test_two_machines_train_as_one_does_and_only_the_chief_writes(
    pairs32: Path, config: Config, alone: Path, tmp_path: Path
) -> None:
    (tmp_path / "scratch").mkdir()
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    tf_configs = [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}) for index in range(2)]
    scratch = str(tmp_path / "scratch")
    workers = [start_fit(pairs32, tmp_path / "run", config, TF_CONFIG=value, TMPDIR=scratch) for value in tf_configs]
    for process in workers:
        wait_for(process)
    assert_same(tmp_path / "run", alone)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {path.name for path in alone.iterdir()}
    assert not list((tmp_path / "scratch").iterdir())


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def test_the_shares_that_workers_read_make_up_the_whole_batch(pairs32: Path) -> None:
    """With the same random choices for each pair: line style and variation, jitter, flips, dropped tags."""
    options = BatchOptions(3, flip=True, tag_dropout=0.3, single_tag_dropout=0.3, jitter=0.5, line_variation=0.8)
    pairs = Pairs(pairs32, "train")
    whole = next(iter(training_batches(pairs, 8, options, 5)))
    shares = [next(iter(training_batches(pairs, 8, replace(options, worker=n, workers=2), 5))) for n in range(2)]
    for number, tensor in enumerate(whole):
        joined = np.concatenate([share[number] for share in shares])
        np.testing.assert_allclose(tensor, joined, atol=0.008)  # one level: sines of jitter differ in the last bit
    assert not np.array_equal(shares[0].lines, shares[1].lines)


@pytest.mark.parametrize(
    ("tf_config", "count", "message"),
    [
        ("{", 1, "TF_CONFIG cannot be read .*: write it as"),
        ('{"cluster": {"ps": ["localhost:1"]}, "task": {"type": "ps", "index": 0}}', 1, "no ps 0"),
        ('{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 1}}', 1, "no worker 1"),
        ('{"cluster": {}, "task": {}}', 2, "leave out --devices"),
        ("", 99, "fewer than 99 devices"),
    ],
)
def test_unavailable_devices_are_an_error_that_says_what_to_do(
    tf_config: str, count: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    tf.config.list_logical_devices()  # now TensorFlow has started
    monkeypatch.setenv("TF_CONFIG", tf_config)
    with pytest.raises(RunError, match=message):
        devices.open_devices(count)


def test_a_batch_or_a_length_that_devices_cannot_share_is_refused(config: Config, pairs32: Path) -> None:
    from train.data.pairs import open_index
    from train.training import fit as fitting

    index = open_index(pairs32)

    class Three:
        num_replicas_in_sync = 3

    with pytest.raises(RunError, match="a batch of 8 cannot be shared equally by 3 devices"):
        fitting._check_devices(devices.TrainingDevices(Three()), config, TrainingLength(steps=1), index)
    Three.num_replicas_in_sync = 2
    with pytest.raises(RunError, match="--steps N"):
        fitting._check_devices(devices.TrainingDevices(Three(), 0, 2), config, TrainingLength(minutes=1), index)
