"""A full disk is an error of one line in every command that writes, and the work resumes once there is room."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from curate.system.errors import NurieError, explain_system_errors
from tests.faults.disk import PAGE, Disk, error_line, mounted
from train.cli import main
from train.config import Config
from train.errors import translate_tensorflow_errors
from train.model import snapshots
from train.training.fit import fit
from train.training.schedule import TrainingLength

DISK_BYTES = 40 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk", DISK_BYTES) as small_disk:
        yield small_disk


def message_of_failure(*arguments: object) -> str:
    message = error_line(main, *arguments)
    assert "No space left on device: make room there" in message
    return message


def silent(*_: object) -> None:
    """Report no progress."""


def test_a_training_on_a_full_disk_resumes_to_equal_tensors_once_there_is_room(
    disk: Disk, pairs32: Path, small: Config, eagerly: Callable[[], Any], tmp_path: Path
) -> None:
    run, whole = disk.folder / "run", tmp_path / "whole"
    messages: list[str] = []
    with eagerly():
        fit(pairs32, whole, small, TrainingLength(steps=4), on_progress=silent)
        size = snapshots.snapshot_path(whole, 4).stat().st_size
        for free in (0, size // 2, 3 * size // 2):  # room for nothing, for half a snapshot, for one
            disk.leave(free)
            with pytest.raises(NurieError) as error, explain_system_errors("fit"), translate_tensorflow_errors():
                fit(pairs32, run, small, TrainingLength(steps=4), on_progress=silent)
            messages.append(str(error.value))
            assert list(run.rglob(".*.tmp")) == []
        disk.relieve()
        fit(pairs32, run, small, TrainingLength(steps=4), on_progress=silent)
    assert all("No space left on device: make room there" in line for line in messages)
    (_, expected), (_, resumed) = (
        snapshots.read_snapshot(snapshots.snapshot_path(folder, 4)) for folder in (whole, run)
    )
    assert expected.keys() == resumed.keys()
    assert all((expected[name] == resumed[name]).all() for name in expected)


@pytest.mark.parametrize("format_name", ["keras", "savedmodel"])
def test_an_export_to_a_full_disk_leaves_no_files(disk: Disk, trained: Path, format_name: str) -> None:
    for free in (0, 100_000):
        disk.leave(free)
        assert str(disk.folder / "out") in message_of_failure(
            "export", trained, disk.folder / "out", "--format", format_name
        )
        assert [path.name for path in disk.folder.iterdir()] == ["ballast"]


def test_colouring_onto_a_full_disk_leaves_only_whole_pictures(disk: Disk, trained: Path, pairs32: Path) -> None:
    """The disk has room for two pictures, in whole pages, of eight (four pairs, each in two colourings)."""
    command = ("colorize", trained, pairs32, disk.folder / "out", "--count", 4)
    result = CliRunner().invoke(main, [*map(str, command), "--quiet", "--json"])
    whole = {Path(path).name: Path(path).read_bytes() for path in json.loads(result.stdout)["pictures"]}
    shutil.rmtree(disk.folder / "out")
    disk.leave(sum(-(-len(data) // PAGE) * PAGE for data in [*whole.values()][:2]))
    message_of_failure(*command)
    assert {path.name: path.read_bytes() for path in (disk.folder / "out").iterdir()} == dict([*whole.items()][:2])
