"""A full disk is told in a line by every command that writes; what was there goes on, once there is room."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.system.errors import NurieError, explain_system_errors
from tests.faults.disk import Disk, mounted, told_by
from train.cli import main
from train.config import Config
from train.errors import translate_tensorflow_errors
from train.model import snapshots
from train.training.fit import fit
from train.training.schedule import TrainingLength

ROOM = 40 << 20  # bytes


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk", ROOM) as one:
        yield one


def fails(*arguments: object) -> str:
    told = told_by(main, *arguments)
    assert "No space left on device: make room there" in told
    return told


def silent(*_: object) -> None:
    """Tell nobody."""


def test_a_training_whose_disk_is_full_goes_on_to_the_same_tensors_once_there_is_room(
    disk: Disk, pairs32: Path, small: Config, eagerly: Callable[[], Any], tmp_path: Path
) -> None:
    run, whole = disk.folder / "run", tmp_path / "whole"
    told: list[str] = []
    with eagerly():
        fit(pairs32, whole, small, TrainingLength(steps=4), on_progress=silent)
        size = snapshots.snapshot_path(whole, 4).stat().st_size
        for free in (0, size // 2, 3 * size // 2):  # nothing, no snapshot, one
            disk.leave(free)
            with pytest.raises(NurieError) as error, explain_system_errors("fit"), translate_tensorflow_errors():
                fit(pairs32, run, small, TrainingLength(steps=4), on_progress=silent)
            told.append(str(error.value))
            assert list(run.rglob(".*.tmp")) == []
        disk.relieve()
        fit(pairs32, run, small, TrainingLength(steps=4), on_progress=silent)
    assert all("No space left on device: make room there" in line for line in told)
    (_, wanted), (_, found) = (snapshots.read_snapshot(snapshots.snapshot_path(folder, 4)) for folder in (whole, run))
    assert wanted.keys() == found.keys()
    assert all((wanted[name] == found[name]).all() for name in wanted)


@pytest.mark.parametrize("form", ["keras", "savedmodel"])
def test_an_export_that_finds_no_room_leaves_nothing(disk: Disk, trained: Path, form: str) -> None:
    for free in (0, 100_000):
        disk.leave(free)
        assert str(disk.folder / "out") in fails("export", trained, disk.folder / "out", "--format", form)
        assert [path.name for path in disk.folder.iterdir()] == ["ballast"]


def test_colouring_that_finds_no_room_leaves_whole_pictures_alone(disk: Disk, trained: Path, pairs32: Path) -> None:
    disk.leave(2 * 4096)
    fails("colorize", trained, pairs32, disk.folder / "out", "--count", 4)
    made = list((disk.folder / "out").iterdir())
    assert all(path.read_bytes().endswith(b"IEND\xaeB`\x82") for path in made)
    shutil.rmtree(disk.folder / "out")
