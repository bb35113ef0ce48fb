"""A full, read-only or limited disk is a one-line error with the remedy; with room, the command makes equal files."""

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
from tests.faults.disk import Disk, error_line, mounted
from tests.faults.simple_art import draw_simple_art

MEGABYTE = 1 << 20
OPTIONS = ("--lines", "dilate", "--workers", "1")
FORMATS = ("tfrecord", "webdataset", "imagefolder")


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_simple_art(tmp_path_factory.mktemp("drawn") / "art")


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
    with mounted(tmp_path / "disk", 8 * MEGABYTE) as small_disk:
        yield small_disk


def file_contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def failure_line(*arguments: object) -> str:
    return error_line(main, *arguments)


def succeed(*arguments: object) -> Any:
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def temporary_files(folder: Path) -> list[Path]:
    """Hidden files, which only a running command may have."""
    return [path for path in folder.rglob(".*") if path.is_file()] if folder.exists() else []


Command = tuple[object, ...]


def on_a_copy(source: Path, command: Callable[[Path], Command]) -> Callable[[Path], Command]:
    """`command`, preceded by a copy of the dataset `source` to its folder."""

    def prepared(home: Path) -> Command:
        if not (home / "dataset").exists():
            shutil.copytree(source, home / "dataset")
        return command(home)

    return prepared


@pytest.fixture
def commands(art: Path, extracted: Path, deduped: Path) -> dict[str, Callable[[Path], Command]]:
    """By name: a function that puts a command's input into a folder and returns the command line."""

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
def test_a_full_disk_is_an_error_of_one_line_that_leaves_no_partial_file_and_a_rerun_makes_equal_files(
    disk: Disk, tmp_path: Path, commands: dict[str, Callable[[Path], Command]], name: str
) -> None:
    succeed(*commands[name](tmp_path))
    whole = file_contents(tmp_path / "dataset") | file_contents(tmp_path / "shards")
    needed = sum(map(len, whole.values()))
    failures = 0
    shares = {"extract": (0, 0.9), "decide": (0,)}  # with room, each run of decide adds a decision
    for share in shares.get(name, (0, 0.3, 0.7)):
        disk.relieve()
        command = commands[name](disk.folder)
        before = file_contents(disk.folder)
        disk.leave(int(share * needed))
        result = CliRunner().invoke(main, [*map(str, command), "--json"])
        if result.exit_code == 0:
            continue
        failures += 1
        message = result.stderr.strip()
        assert (result.exit_code, message.count("\n")) == (1, 0), result.output
        assert "No space left on device: make room there" in message or "the disk has" in message
        assert temporary_files(disk.folder) == []
        if name in {"select", "decide"} or name.startswith("shard"):
            disk.relieve()
            assert file_contents(disk.folder) == before
    disk.relieve()
    assert failures
    succeed(*commands[name](disk.folder))
    assert file_contents(disk.folder / "dataset") | file_contents(disk.folder / "shards") == whole
    if name == "select":
        assert (disk.folder / "smaller.parquet").read_bytes() == (tmp_path / "smaller.parquet").read_bytes()


def test_a_disk_without_inodes_has_an_error_of_its_own(
    disk: Disk, tmp_path: Path, commands: dict[str, Callable[[Path], Command]]
) -> None:
    for name, inodes in (("select", 0), ("shard imagefolder", 20), ("extract", 4)):
        disk.leave_inodes(inodes)
        message = failure_line(*commands[name](disk.folder))
        assert "the disk has room but no inodes, of which each file takes one: delete files there" in message
        assert temporary_files(disk.folder) == []
    disk.relieve()
    succeed(*commands["shard imagefolder"](disk.folder))
    succeed(*commands["shard imagefolder"](tmp_path))
    assert file_contents(disk.folder / "shards") == file_contents(tmp_path / "shards")


def test_a_read_only_disk_is_an_error_of_one_line_that_changes_nothing(
    disk: Disk, commands: dict[str, Callable[[Path], Command]]
) -> None:
    for name in ("dedupe", "select", "shard tfrecord", "extract"):
        command = commands[name](disk.folder)
        before = file_contents(disk.folder)
        disk.read_only(on=True)
        message = failure_line(*command)
        assert "Read-only file system: give a folder that may be written to, then run this command again" in message
        assert file_contents(disk.folder) == before
        disk.read_only(on=False)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Limit the size of written files to `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["select", "dedupe", *(f"shard {form}" for form in FORMATS[:2])])
def test_a_file_above_the_size_limit_is_an_error_of_one_line_and_a_rerun_makes_equal_files(
    tmp_path: Path, commands: dict[str, Callable[[Path], Command]], name: str
) -> None:
    for folder in ("whole", "limited"):
        (tmp_path / folder).mkdir()
    succeed(*commands[name](tmp_path / "whole"))
    command = commands[name](tmp_path / "limited")
    with file_size_limit(6000):
        message = failure_line(*command)
    assert "File too large: raise the limit of file sizes (ulimit -f)" in message
    assert temporary_files(tmp_path / "limited") == []
    succeed(*command)
    assert file_contents(tmp_path / "limited") == file_contents(tmp_path / "whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("form", [["--json"], []])
def test_a_result_that_cannot_be_printed_is_an_error_of_one_line(deduped: Path, form: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "curate", "tags", str(deduped), *form]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    remedy = "make room there or give a folder on another disk, then run this command again"
    assert (done.returncode, done.stderr) == (1, f"Error: standard output: No space left on device: {remedy}\n")
