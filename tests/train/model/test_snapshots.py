"""Which snapshots are kept: the last three, the best, and one an interval, within a bound."""

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
from curate.system.hashing import digests
from train.errors import NotFiniteError, RunError
from train.model import snapshots
from train.model.snapshots import INTERVALS, KEPT, Clock, spread
from train.model.trained import load
from train.training import stats

STATE = {"weight": np.zeros(2, np.float32)}


@pytest.mark.parametrize(("keep", "every"), [(10, 5), (10, 4), (3, 5), (1, 1)])
def test_a_training_of_any_length_keeps_a_bounded_number_over_all_of_it(keep: int, every: int) -> None:
    before: set[int] = set()
    for step in range(every, 1000 * every, every):
        kept = spread(step, keep, every)
        assert len(kept) <= INTERVALS
        assert kept <= before | {step}  # what is wanted is there still
        assert all(one % every == 0 for one in kept)
        before = kept
    assert len(before) >= INTERVALS / 2
    assert max(np.diff([0, *sorted(before)])) <= 2.2 * min(np.diff([0, *sorted(before)]))


def test_no_interval_keeps_none() -> None:
    assert spread(10_000, 0, 100) == set()


def test_the_last_three_and_those_that_are_wanted_stay(tmp_path: Path) -> None:
    for step in range(2, 30, 2):
        snapshots.save(tmp_path, Clock(step), STATE, {4, *spread(step, 10, 2)})
    assert [int(path.stem) for path in snapshots.found(tmp_path)] == [4, 10, 20, 24, 26, 28]
    snapshots.thin(tmp_path)
    assert len(snapshots.found(tmp_path)) == KEPT


def test_a_snapshot_never_holds_nan(tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match=r"weight is not a finite number at step 7"):
        snapshots.save(tmp_path, Clock(7), {"weight": np.array([0, np.nan])})
    assert snapshots.found(tmp_path) == []


def test_a_clock_comes_back_as_it_was(tmp_path: Path) -> None:
    for clock in (Clock(), Clock(3, 24, 1.5, (2, 3))):
        assert snapshots.read(snapshots.save(tmp_path, clock, STATE))[0] == clock


def test_a_snapshot_opens_as_the_model_that_a_training_ends_with(trained: Path, tmp_path: Path) -> None:
    model, last = load(trained), load(snapshots.found(trained)[-1])
    assert (last.vocabulary, last.size, last.config) == (model.vocabulary, model.size, model.config)
    for one, other in zip(last.model.weights, model.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("config.json", "vocabulary.txt"):
        shutil.copy(trained / name, tmp_path)
    with pytest.raises(RunError, match="is no snapshot of this run"):
        load(snapshots.save(tmp_path, Clock(7), {"average/000": np.zeros(2, np.float32)}))


def hashed(path: Path) -> None:
    [(_, found)] = digests([path])
    if isinstance(found, OSError):
        raise found


@pytest.mark.parametrize("read", [snapshots.read, stats.read, read_json, hashed])
def test_a_pipe_in_a_files_place_is_told_and_not_waited_for(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = Thread(target=lambda: os.close(os.open(path, os.O_WRONLY)))  # whoever opens it reads an end at once
    writer.start()
    with pytest.raises((NurieError, OSError), match="is no file"):
        list(read(path))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer.join()
    os.close(reader)
