"""Two runs on one folder: the second is refused and names the first; the end of a run frees its folder."""

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
from tests.faults.damage import UndamagedFolders, digest_files, undamaged_folders

# Argument: a folder, which is held until the process is killed
HOLDER = """
import subprocess, sys, time
from pathlib import Path
from curate.system import lock

with lock.exclusive(Path(sys.argv[1])):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print(child.pid, flush=True)
    time.sleep(60)
"""

# Arguments: a folder and how often to lock it; fails, and makes a file, if two processes are ever in it
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
def undamaged() -> UndamagedFolders:
    return undamaged_folders()


@contextmanager
def holding(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Another process that holds a folder, and the id of its child process."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child_pid = int(process.stdout.readline())
        try:
            yield process, child_pid
        finally:
            process.kill()
            os.kill(child_pid, signal.SIGKILL)


def test_the_error_of_a_held_folder_names_the_process_host_and_time_in_one_line(tmp_path: Path) -> None:
    with holding(tmp_path) as (process, _):
        with pytest.raises(NurieError) as locking, lock.exclusive(tmp_path):
            pass
        with pytest.raises(NurieError) as checking:
            lock.check_free(tmp_path)
    message = str(locking.value)
    assert message == str(checking.value)
    assert f"another run is writing {tmp_path} (process {process.pid} on {socket.gethostname()}, since 20" in message
    assert "\n" not in message


def test_a_killed_run_blocks_nobody_although_its_child_process_lives_on(tmp_path: Path) -> None:
    with holding(tmp_path) as (process, child_pid):
        process.kill()
        process.wait()
        os.kill(child_pid, 0)  # raises if the child is dead
        assert (tmp_path / LOCK_FILE).exists()
        lock.check_free(tmp_path)
        with lock.exclusive(tmp_path):
            assert json.loads((tmp_path / LOCK_FILE).read_bytes())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
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
def test_a_lock_file_that_nobody_holds_is_taken_over_whatever_it_contains(tmp_path: Path, content: bytes) -> None:
    """A reboot, another host or a copy of the folder may leave it."""
    (tmp_path / LOCK_FILE).write_bytes(content)
    lock.check_free(tmp_path)
    with lock.exclusive(tmp_path), pytest.raises(NurieError, match="another run is writing"), lock.exclusive(tmp_path):
        pass
    assert not (tmp_path / LOCK_FILE).exists()


def test_remove_stale_deletes_an_abandoned_lock_file_and_keeps_a_held_one(tmp_path: Path) -> None:
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / LOCK_FILE).write_text("{}")
    (tmp_path / "held").mkdir()
    with holding(tmp_path / "held"):
        for name in ("left", "held", "nowhere"):
            lock.remove_stale(tmp_path / name)
        assert not list((tmp_path / "left").iterdir())
        assert (tmp_path / "held" / LOCK_FILE).exists()


def test_a_copy_of_a_held_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with lock.exclusive(tmp_path / "a"):
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        with lock.exclusive(tmp_path / "b"):
            pass


def test_the_error_omits_a_holder_with_control_characters(tmp_path: Path) -> None:
    with lock.exclusive(tmp_path):
        (tmp_path / LOCK_FILE).write_text(json.dumps({"host": "\x1b[2J\nError: none", "pid": 1, "since": ""}))
        with pytest.raises(NurieError) as error, lock.exclusive(tmp_path):
            pass
    assert str(error.value) == f"another run is writing {tmp_path}: wait until it ends"


def test_a_link_in_place_of_the_lock_file_is_not_followed_and_a_pipe_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / LOCK_FILE).symlink_to("precious")
    with pytest.raises(OSError, match="symbolic"), lock.exclusive(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "mine"
    (tmp_path / LOCK_FILE).unlink()
    os.mkfifo(tmp_path / LOCK_FILE)
    lock.check_free(tmp_path)  # would hang if it waited for a writer


def test_of_four_processes_that_lock_a_folder_repeatedly_no_two_hold_it_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CONTENDER, str(tmp_path), "100"]
    contenders = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [contender.communicate(timeout=120)[1] for contender in contenders]
    assert [contender.returncode for contender in contenders] == [0] * 4, errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/locks").is_file(), reason="it reads /proc/locks")
def test_the_lock_is_a_write_lock_on_a_file_as_nfs_needs(tmp_path: Path) -> None:
    """NFS would not show a lock on the folder itself to other hosts."""
    with lock.exclusive(tmp_path):
        lock_file = (tmp_path / LOCK_FILE).stat()
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    own_locks = [line for line in lines if line[-3].endswith(f":{lock_file.st_ino}") and line[4] == str(os.getpid())]
    assert [line[1:4] for line in own_locks] == [["FLOCK", "ADVISORY", "WRITE"]]


def test_a_filesystem_without_locks_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some Lustre and FUSE filesystems have no locks; `flock` is replaced, because none is available to the tests."""

    def unsupported(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unsupported)
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
def test_a_command_refuses_a_folder_that_another_run_is_writing_and_changes_nothing(
    undamaged: UndamagedFolders, tmp_path: Path, command: str
) -> None:
    target, words = COMMANDS[command]
    places = {"data": tmp_path / "data", "shards": tmp_path / "shards"}
    shutil.copytree(undamaged.dataset, places["data"])
    shutil.copytree(undamaged.shards["tfrecord"], places["shards"])
    before = digest_files(*places.values())
    picture = sorted(path.name for path in undamaged.art.glob("*.png"))[3]
    with holding(places[target]) as (process, _):
        result = CliRunner().invoke(
            curate, [word.format(art=undamaged.art, picture=picture, **places) for word in words]
        )
        (places[target] / LOCK_FILE).rename(tmp_path / "lock")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: another run is writing {places[target]} (process {process.pid} on {socket.gethostname()}, "
        f"since {json.loads((tmp_path / 'lock').read_bytes())['since']}): wait until it ends\n"
    )
    assert digest_files(*places.values()) == before


@pytest.mark.parametrize("command", ["extract", "dedupe", "remove", "decide", "shard"])
def test_three_simultaneous_runs_leave_the_files_of_one(
    undamaged: UndamagedFolders, tmp_path: Path, command: str
) -> None:
    """The runs are threads. They do not share a lock, because `flock` belongs to the open file."""
    target, words = COMMANDS[command]
    picture = sorted(path.name for path in undamaged.art.glob("*.png"))[3]
    ends: dict[str, list[tuple[int, str]]] = {"single": [], "simultaneous": []}
    for name, runs in (("single", 1), ("simultaneous", 3)):
        places = {"data": tmp_path / name / "data", "shards": tmp_path / name / "shards"}
        shutil.copytree(undamaged.dataset, places["data"])
        (tmp_path / name / "shards").mkdir()
        arguments = [word.format(art=undamaged.art, picture=picture, **places) for word in words]
        run_at_once(runs, lambda words=arguments, name=name: ends[name].append(run_in_thread(words)))  # type: ignore[misc]
    assert ends["single"] == [(0, "")]
    assert {code for code, _ in ends["simultaneous"]} <= {0, 1}
    assert 0 in {code for code, _ in ends["simultaneous"]}
    assert all("another run is writing" in message for code, message in ends["simultaneous"] if code)
    assert verify(tmp_path / "simultaneous" / "data") == []
    if command != "decide":  # each run that is not refused notes a decision
        assert digest_files(tmp_path / "single" / target, tmp_path / "single" / "shards") == digest_files(
            tmp_path / "simultaneous" / target, tmp_path / "simultaneous" / "shards"
        )


def run_at_once(runs: int, call: Callable[[], None]) -> None:
    threads = [threading.Thread(target=call) for _ in range(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run_in_thread(words: list[str]) -> tuple[int, str]:
    """Exit code and error message of a command. Not by CliRunner, which replaces standard error in all threads."""
    try:
        curate([*words, "--quiet"], standalone_mode=False)
    except Exception as error:  # noqa: BLE001
        return 1, str(error)
    return 0, ""
