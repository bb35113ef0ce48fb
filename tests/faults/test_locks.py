"""Two runs at one folder: one wins, the other says so; whatever ends a run frees what it held."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from curate.audit.verify import verify
from curate.cli import main as curate
from curate.system import lock
from curate.system.errors import NurieError
from curate.system.lock import LOCK_FILE
from tests.faults.damage import Made, digest, made_once

# argv: a folder; holds it until killed
HOLDER = """
import subprocess, sys, time
from pathlib import Path
from curate.system import lock

with lock.exclusive(Path(sys.argv[1])):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print(child.pid, flush=True)
    time.sleep(60)
"""

# argv: a folder, and how often to take it; leaves it a fault if two ever have it
CONTENDER = """
import sys
from pathlib import Path
from curate.system import lock
from curate.system.errors import NurieError

folder, times = Path(sys.argv[1]), int(sys.argv[2])
while times:
    try:
        with lock.exclusive(folder):
            times -= 1
            (folder / "inside").touch(exist_ok=False)
            (folder / "inside").unlink()
    except NurieError as error:
        assert "another run is writing" in str(error), error
    except FileExistsError:
        (folder / "two at once").touch()
        raise
"""


@pytest.fixture(scope="module")
def made() -> Made:
    return made_once()


@contextmanager
def holding(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Another process that holds a folder, and the id of a child of it."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            yield process, child
        finally:
            process.kill()
            os.kill(child, signal.SIGKILL)


def test_who_comes_second_is_told_who_holds_the_folder_where_and_since_when(tmp_path: Path) -> None:
    with holding(tmp_path) as (process, _):
        with pytest.raises(NurieError) as told, lock.exclusive(tmp_path):
            pass
        with pytest.raises(NurieError) as looked:
            lock.check_free(tmp_path)
    assert str(told.value) == str(looked.value)
    assert f"another run is writing {tmp_path} (process {process.pid} on {socket.gethostname()}, since 20" in str(
        told.value
    )
    assert "\n" not in str(told.value)


def test_a_killed_run_blocks_nobody_though_its_child_lives_on(tmp_path: Path) -> None:
    with holding(tmp_path) as (process, child):
        process.kill()
        process.wait()
        os.kill(child, 0)  # it lives
        assert (tmp_path / LOCK_FILE).exists()
        lock.check_free(tmp_path)
        with lock.exclusive(tmp_path):
            assert json.loads((tmp_path / LOCK_FILE).read_bytes())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "left",
    [
        b"",
        b"\x00" * 100,
        b"[" * 100_000,
        b'{"pid": 1}',
        json.dumps({"host": "elsewhere", "pid": 1, "since": "1999-12-31 23:59 UTC"}).encode(),
        json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": "now"}).encode(),
    ],
    ids=["empty", "zeros", "too deep", "no host", "another host", "this process"],
)
def test_a_lock_file_that_nobody_holds_is_taken_over_whatever_it_says(tmp_path: Path, left: bytes) -> None:
    """As a reboot leaves it, another host, or a copy of the folder."""
    (tmp_path / LOCK_FILE).write_bytes(left)
    lock.check_free(tmp_path)
    with lock.exclusive(tmp_path), pytest.raises(NurieError, match="another run is writing"), lock.exclusive(tmp_path):
        pass
    assert not (tmp_path / LOCK_FILE).exists()


def test_what_a_killed_run_left_is_tidied_away_and_what_is_held_stays(tmp_path: Path) -> None:
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / LOCK_FILE).write_text("{}")
    (tmp_path / "held").mkdir()
    with holding(tmp_path / "held"):
        for name in ("left", "held", "nowhere"):
            lock.remove_stale(tmp_path / name)
        assert not list((tmp_path / "left").iterdir())
        assert (tmp_path / "held" / LOCK_FILE).exists()


def test_a_held_folder_that_is_copied_is_free_in_its_copy(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with lock.exclusive(tmp_path / "a"):
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        with lock.exclusive(tmp_path / "b"):
            pass


def test_what_a_lock_file_says_is_no_way_to_write_on_the_terminal(tmp_path: Path) -> None:
    with lock.exclusive(tmp_path):
        (tmp_path / LOCK_FILE).write_text(json.dumps({"host": "\x1b[2J\nError: none", "pid": 1, "since": ""}))
        with pytest.raises(NurieError) as told, lock.exclusive(tmp_path):
            pass
    assert str(told.value) == f"another run is writing {tmp_path}: wait until it ends"


def test_a_link_or_a_pipe_in_place_of_the_lock_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / LOCK_FILE).symlink_to("precious")
    with pytest.raises(OSError, match="symbolic"), lock.exclusive(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "mine"
    (tmp_path / LOCK_FILE).unlink()
    os.mkfifo(tmp_path / LOCK_FILE)
    lock.check_free(tmp_path)  # and does not wait for who would write into it


def test_many_that_contend_for_a_folder_are_never_in_it_two_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CONTENDER, str(tmp_path), "100"]
    contenders = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [one.communicate(timeout=120)[1] for one in contenders]
    assert [one.returncode for one in contenders] == [0] * 4, told
    assert list(tmp_path.iterdir()) == []


def test_the_lock_is_on_a_file_open_for_writing_as_nfs_asks(tmp_path: Path) -> None:
    """A folder's own lock NFS keeps to the one host."""
    with lock.exclusive(tmp_path):
        held = (tmp_path / LOCK_FILE).stat()
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()] if LINUX else []
    mine = [line for line in lines if line[-3].endswith(f":{held.st_ino}") and line[4] == str(os.getpid())]
    assert not LINUX or [line[1:4] for line in mine] == [["FLOCK", "ADVISORY", "WRITE"]]


LINUX = Path("/proc/locks").is_file()


def test_without_locks_the_filesystem_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some of Lustre's and FUSE's are: none is at hand here, so the system's answer is put in its place."""

    def unknown(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unknown)
    with pytest.raises(NurieError, match="lies on a filesystem without locks"), lock.exclusive(tmp_path):
        pass


COMMANDS: dict[str, tuple[str, list[str]]] = {
    "extract": ("data", ["extract", "art={art}", "{data}", "--size", "32", "--workers", "1"]),
    "dedupe": ("data", ["dedupe", "{data}"]),
    "decide": ("data", ["decide", "{data}", "drop", "{picture}"]),
    "remove": ("data", ["remove", "{data}", "{picture}"]),
    "shard": ("shards", ["shard", "{data}", "{shards}", "--workers", "1"]),
    "verify": ("data", ["verify", "{data}"]),
    "verify shards": ("shards", ["verify", "{shards}"]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_keeps_off_what_another_run_is_writing_and_changes_nothing(
    made: Made, tmp_path: Path, command: str
) -> None:
    which, words = COMMANDS[command]
    places = {"data": tmp_path / "data", "shards": tmp_path / "shards"}
    shutil.copytree(made.dataset, places["data"])
    shutil.copytree(made.shards["tfrecord"], places["shards"])
    before = digest(*places.values())
    picture = sorted(path.name for path in made.art.glob("*.png"))[3]
    with holding(places[which]) as (process, _):
        result = CliRunner().invoke(curate, [word.format(art=made.art, picture=picture, **places) for word in words])
        (places[which] / LOCK_FILE).rename(tmp_path / "lock")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: another run is writing {places[which]} (process {process.pid} on {socket.gethostname()}, "
        f"since {json.loads((tmp_path / 'lock').read_bytes())['since']}): wait until it ends\n"
    )
    assert digest(*places.values()) == before


@pytest.mark.parametrize("command", ["extract", "dedupe", "remove", "decide", "shard"])
def test_two_runs_begun_at_once_leave_what_one_leaves(made: Made, tmp_path: Path, command: str) -> None:
    """Threads share a process, but no lock: `flock` is of the open file."""
    which, words = COMMANDS[command]
    picture = sorted(path.name for path in made.art.glob("*.png"))[3]
    ends: dict[str, list[tuple[int, str]]] = {"one": [], "two": []}
    for name, runs in (("one", 1), ("two", 3)):
        places = {"data": tmp_path / name / "data", "shards": tmp_path / name / "shards"}
        shutil.copytree(made.dataset, places["data"])
        (tmp_path / name / "shards").mkdir()
        spoken = [word.format(art=made.art, picture=picture, **places) for word in words]
        _at_once(runs, lambda spoken=spoken, name=name: ends[name].append(_invoked(spoken)))  # type: ignore[misc]
    assert ends["one"] == [(0, "")]
    assert {code for code, _ in ends["two"]} <= {0, 1}
    assert 0 in {code for code, _ in ends["two"]}
    assert all("another run is writing" in told for code, told in ends["two"] if code)
    assert verify(tmp_path / "two" / "data") == []
    if command != "decide":  # who decides twice has decided twice
        assert digest(tmp_path / "one" / which, tmp_path / "one" / "shards") == digest(
            tmp_path / "two" / which, tmp_path / "two" / "shards"
        )


def _at_once(runs: int, call: Callable[[], None]) -> None:
    threads = [threading.Thread(target=call) for _ in range(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _invoked(words: list[str]) -> tuple[int, str]:
    """As the program itself: CliRunner swaps standard error for the whole process."""
    try:
        curate([*words, "--quiet"], standalone_mode=False)
    except Exception as error:  # noqa: BLE001
        return 1, str(error)
    return 0, ""
