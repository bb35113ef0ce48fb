"""Snapshots: which are kept, what is refused, and what is read back."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from curate.system.errors import NurieError
from curate.system.files import read_json
from curate.system.hashing import sha256_files
from train.errors import NotFiniteError, RunError
from train.model import snapshots
from train.model.snapshots import LATEST_SNAPSHOTS_KEPT, MAX_HISTORY_SNAPSHOTS, TrainingClock, history_steps
from train.model.trained_model import load_trained
from train.training import stats

STATE = {"weight": np.zeros(2, np.float32)}


@pytest.mark.parametrize(("keep", "every"), [(10, 5), (10, 4), (3, 5), (1, 1)])
def test_a_training_of_any_length_keeps_a_bounded_number_of_snapshots_spread_over_it(keep: int, every: int) -> None:
    before: set[int] = set()
    for step in range(every, 1000 * every, every):
        kept = history_steps(step, keep, every)
        assert len(kept) <= MAX_HISTORY_SNAPSHOTS
        assert kept <= before | {step}  # a deleted snapshot is never needed again
        assert all(kept_step % every == 0 for kept_step in kept)
        before = kept
    assert len(before) >= MAX_HISTORY_SNAPSHOTS / 2
    assert max(np.diff([0, *sorted(before)])) <= 2.2 * min(np.diff([0, *sorted(before)]))


def test_keep_every_zero_keeps_no_history() -> None:
    assert history_steps(10_000, 0, 100) == set()


def test_the_latest_three_snapshots_and_those_asked_for_are_kept(tmp_path: Path) -> None:
    for step in range(2, 30, 2):
        snapshots.save(tmp_path, TrainingClock(step), STATE, {4, *history_steps(step, 10, 2)})
    assert [int(path.stem) for path in snapshots.list_snapshots(tmp_path)] == [4, 10, 20, 24, 26, 28]
    snapshots.delete_old_snapshots(tmp_path)
    assert len(snapshots.list_snapshots(tmp_path)) == LATEST_SNAPSHOTS_KEPT


def test_a_state_with_nan_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match=r"weight is not a finite number at step 7"):
        snapshots.save(tmp_path, TrainingClock(7), {"weight": np.array([0, np.nan])})
    assert snapshots.list_snapshots(tmp_path) == []


def test_a_clock_read_back_equals_the_one_saved(tmp_path: Path) -> None:
    for clock in (TrainingClock(), TrainingClock(3, 24, 1.5, (2, 3))):
        assert snapshots.read_snapshot(snapshots.save(tmp_path, clock, STATE))[0] == clock


def test_the_last_snapshot_loads_as_the_model_that_the_training_ended_with(trained: Path, tmp_path: Path) -> None:
    model, last = load_trained(trained), load_trained(snapshots.list_snapshots(trained)[-1])
    assert (last.vocabulary, last.size, last.config) == (model.vocabulary, model.size, model.config)
    for left, right in zip(last.model.weights, model.model.weights, strict=True):
        np.testing.assert_array_equal(left, right)
    for name in ("config.json", "vocabulary.txt"):
        shutil.copy(trained / name, tmp_path)
    with pytest.raises(RunError, match="is not a snapshot of this run"):
        load_trained(snapshots.save(tmp_path, TrainingClock(7), {"average/000": np.zeros(2, np.float32)}))


def hash_file(path: Path) -> None:
    [(_, digest)] = sha256_files([path])
    if isinstance(digest, OSError):
        raise digest


@pytest.mark.parametrize("read", [snapshots.read_snapshot, stats.read_stats, read_json, hash_file])
def test_a_pipe_instead_of_a_file_is_an_error_and_is_not_waited_for(
    tmp_path: Path, read: Callable[[Path], Any]
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = Thread(target=lambda: os.close(os.open(path, os.O_WRONLY)))  # a reader meets the end at once
    writer.start()
    with pytest.raises((NurieError, OSError), match=r"is no file|not a regular file"):
        list(read(path))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer.join()
    os.close(reader)
