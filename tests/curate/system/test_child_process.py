import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.system.child_process import ChildEndedError, ChildProcess, describe_exit
from curate.system.errors import NurieError

ANSWERS = """
import os, signal, time

def prepare(setup):
    def answer(message):
        if message == b"pid":
            return str(os.getpid()).encode()
        if message == b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if message == b"print":
            os.write(1, b"a native library prints")
        if message == b"sleep":
            time.sleep(60)
        return setup + message
    return answer

def fail(setup):
    raise SystemExit(9)
"""
FORKED = """
import os
from answers import prepare
from curate.system.child_process import ChildProcess

child = ChildProcess(prepare)
ours = child.ask(b"pid")
if not (forked := os.fork()):
    theirs = [child.ask(b"pid"), child.ask(b"pid")]
    child.close()
    os._exit(ours in theirs or theirs[0] != theirs[1])
assert os.waitpid(forked, 0)[1] == 0
assert child.ask(b"pid") == ours
child.close()
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChildProcess]:
    (tmp_path / "answers.py").write_text(ANSWERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "answers", raising=False)
    answers = importlib.import_module("answers")
    child = ChildProcess(answers.prepare, b"> ")
    yield child
    child.close()


def pid(child: ChildProcess) -> int:
    return int(child.ask(b"pid"))


def test_a_child_answers_each_message_and_knows_its_set_up(child: ChildProcess) -> None:
    large = b"x" * 3_000_000
    assert [child.ask(message) for message in (b"", b"a", large)] == [b"> ", b"> a", b"> " + large]


def test_one_child_answers_all_messages(child: ChildProcess) -> None:
    assert pid(child) == pid(child) != os.getpid()


def test_the_message_that_crashes_the_child_is_blamed_and_the_next_one_is_answered(child: ChildProcess) -> None:
    with pytest.raises(ChildEndedError) as caught:
        child.ask(b"crash")
    assert caught.value.exit_code == -signal.SIGSEGV
    assert child.ask(b"a") == b"> a"


def test_a_child_that_was_killed_while_idle_costs_no_message(child: ChildProcess) -> None:
    killed = pid(child)
    os.kill(killed, signal.SIGKILL)
    os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)  # it has ended
    assert child.ask(b"a") == b"> a"


def test_what_is_printed_in_the_child_is_no_answer(child: ChildProcess) -> None:
    assert child.ask(b"print") == b"> print"


def test_a_child_that_cannot_be_started_is_an_error_in_one_line(child: ChildProcess) -> None:
    answers = importlib.import_module("answers")
    with pytest.raises(
        NurieError, match=r"^a child process cannot be started \(exit code 9\): close other programs.*$"
    ):
        ChildProcess(answers.fail).ask(b"a")


def test_a_closed_child_is_gone_and_starts_again_when_asked(child: ChildProcess) -> None:
    closed = pid(child)
    child.close()
    with pytest.raises(ProcessLookupError):
        os.kill(closed, 0)
    assert pid(child) != closed


def test_an_interrupted_message_leaves_no_answer_to_the_next_one(child: ChildProcess) -> None:
    slow = pid(child)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        child.ask(b"sleep")
    timer.join()
    with pytest.raises(ProcessLookupError):
        os.kill(slow, 0)
    assert child.ask(b"a") == b"> a"


def test_threads_take_turns(child: ChildProcess) -> None:
    answers: dict[int, bytes] = {}
    threads = [threading.Thread(target=lambda n=n: answers.update({n: child.ask(b"%d" % n)})) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: b"> %d" % n for n in range(8)}


def test_a_forked_process_starts_a_child_of_its_own(child: ChildProcess, tmp_path: Path) -> None:
    search_path = os.pathsep.join([str(tmp_path), *sys.path])
    subprocess.run([sys.executable, "-c", FORKED], env=os.environ | {"PYTHONPATH": search_path}, check=True, timeout=60)


def test_a_killed_parent_leaves_no_child(child: ChildProcess, tmp_path: Path) -> None:
    script = "from answers import prepare; from curate.system.child_process import ChildProcess as C; import time; "
    script += "child = C(prepare); print(child.ask(b'pid').decode(), flush=True); time.sleep(60)"
    search_path = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": search_path}, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        left = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while alive(left) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(left)


def alive(process: int) -> bool:
    """A zombie that nobody has waited for counts as dead."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("code", "text"), [(-11, "SIGSEGV"), (0, "exit code 0"), (3, "exit code 3")])
def test_an_exit_is_described_by_its_signal_or_its_code(code: int, text: str) -> None:
    assert describe_exit(code) == text
