"""A disk that is full, without inodes, read-only or short of file size: a line with the remedy, then the same bytes."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from curate.cli import main
from curate.deduplication import dedupe
from curate.deduplication.family_split import SplitShares
from curate.extraction import extract
from curate.sources.scan import Source
from tests.faults.disk import Disk, mounted, told_by
from tests.faults.drawn import drawn

MEGABYTE = 1 << 20
OPTIONS = ("--lines", "dilate", "--workers", "1")
FORMATS = ("tfrecord", "webdataset", "imagefolder")


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("drawn") / "art")


@pytest.fixture(scope="module")
def extracted(art: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("made") / "dataset"
    extract.extract([Source("art", art)], folder, extract.ExtractOptions(("dilate",)))
    return folder


@pytest.fixture(scope="module")
def deduped(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("decided") / "dataset"
    shutil.copytree(extracted, folder)
    dedupe.dedupe(folder, dedupe.DedupeOptions(shares=SplitShares(0.6, 0.2, 0.2)))
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk", 8 * MEGABYTE) as one:
        yield one


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fails(*arguments: object) -> str:
    return told_by(main, *arguments)


def works(*arguments: object) -> Any:
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def stray(folder: Path) -> list[Path]:
    """Files that only a run that is under way may have."""
    return [path for path in folder.rglob(".*") if path.is_file()] if folder.exists() else []


Command = tuple[object, ...]


def on_a_copy(source: Path, command: Callable[[Path], Command]) -> Callable[[Path], Command]:
    """A command on a dataset of its own in a folder."""

    def prepared(home: Path) -> Command:
        if not (home / "dataset").exists():
            shutil.copytree(source, home / "dataset")
        return command(home)

    return prepared


@pytest.fixture
def commands(art: Path, extracted: Path, deduped: Path) -> dict[str, Callable[[Path], Command]]:
    """By name: folder to work in -> command line, with what it starts from laid there."""

    def shard(form: str) -> Callable[[Path], Command]:
        options = ("--min-count", 1, "--shard-size", 5, "--workers", 1, "--format", form)
        return lambda home: ("shard", deduped, home / "shards", *options)

    return {
        "extract": lambda home: ("extract", f"art={art}", home / "dataset", *OPTIONS),
        "dedupe": on_a_copy(extracted, lambda home: ("dedupe", home / "dataset", "--workers", 1)),
        "select": lambda home: ("select", deduped, home / "smaller.parquet"),
        "remove": on_a_copy(deduped, lambda home: ("remove", home / "dataset", "03.png")),
        "decide": on_a_copy(deduped, lambda home: ("decide", home / "dataset", "drop", "03.png")),
        **{f"shard {form}": shard(form) for form in FORMATS},
    }


NAMES = ("extract", "dedupe", "select", "remove", "decide", *(f"shard {form}" for form in FORMATS))


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_told_in_a_line_leaves_nothing_torn_and_costs_no_byte(
    disk: Disk, tmp_path: Path, commands: dict[str, Callable[[Path], Command]], name: str
) -> None:
    works(*commands[name](tmp_path))
    whole = tree(tmp_path / "dataset") | tree(tmp_path / "shards")
    taken = sum(map(len, whole.values()))
    failed = 0
    shares = {"extract": (0, 0.9), "decide": (0,)}  # which decides once more where it has room
    for share in shares.get(name, (0, 0.3, 0.7)):
        disk.relieve()
        command = commands[name](disk.folder)
        before = tree(disk.folder)
        disk.leave(int(share * taken))
        result = CliRunner().invoke(main, [*map(str, command), "--json"])
        if result.exit_code == 0:
            continue
        failed += 1
        told = result.stderr.strip()
        assert (result.exit_code, told.count("\n")) == (1, 0), result.output
        assert "No space left on device: make room there" in told or "the disk has" in told
        assert stray(disk.folder) == []
        if name in {"select", "decide"} or name.startswith("shard"):
            disk.relieve()
            assert tree(disk.folder) == before
    disk.relieve()
    assert failed
    works(*commands[name](disk.folder))
    assert tree(disk.folder / "dataset") | tree(disk.folder / "shards") == whole
    if name == "select":
        assert (disk.folder / "smaller.parquet").read_bytes() == (tmp_path / "smaller.parquet").read_bytes()


def test_a_disk_without_inodes_is_told_apart_from_a_full_one(
    disk: Disk, tmp_path: Path, commands: dict[str, Callable[[Path], Command]]
) -> None:
    for name, left in (("select", 0), ("shard imagefolder", 20), ("extract", 4)):
        disk.leave_inodes(left)
        told = fails(*commands[name](disk.folder))
        assert "the disk has room but no inodes, of which each file takes one: delete files there" in told
        assert stray(disk.folder) == []
    disk.relieve()
    works(*commands["shard imagefolder"](disk.folder))
    works(*commands["shard imagefolder"](tmp_path))
    assert tree(disk.folder / "shards") == tree(tmp_path / "shards")


def test_a_read_only_disk_is_told_in_a_line_and_left_as_it_is(
    disk: Disk, commands: dict[str, Callable[[Path], Command]]
) -> None:
    for name in ("dedupe", "select", "shard tfrecord", "extract"):
        command = commands[name](disk.folder)
        before = tree(disk.folder)
        disk.read_only(on=True)
        told = fails(*command)
        assert "Read-only file system: give a folder that may be written to, then run this command again" in told
        assert tree(disk.folder) == before
        disk.read_only(on=False)


@contextmanager
def largest(size: int) -> Iterator[None]:
    """The largest file that may be written, in bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["select", "dedupe", *(f"shard {form}" for form in FORMATS[:2])])
def test_a_file_larger_than_may_be_is_told_in_a_line_and_costs_no_byte(
    tmp_path: Path, commands: dict[str, Callable[[Path], Command]], name: str
) -> None:
    for folder in ("whole", "limited"):
        (tmp_path / folder).mkdir()
    works(*commands[name](tmp_path / "whole"))
    command = commands[name](tmp_path / "limited")
    with largest(6000):
        told = fails(*command)
    assert "File too large: raise the limit of file sizes (ulimit -f)" in told
    assert stray(tmp_path / "limited") == []
    works(*command)
    assert tree(tmp_path / "limited") == tree(tmp_path / "whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("form", [["--json"], []])
def test_a_result_that_cannot_be_printed_is_told_in_a_line(deduped: Path, form: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "curate", "tags", str(deduped), *form]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    remedy = "make room there or give a folder on another disk, then run this command again"
    assert (done.returncode, done.stderr) == (1, f"Error: standard output: No space left on device: {remedy}\n")
