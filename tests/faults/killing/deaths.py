"""A run of a command, a planned death, and the check of how the run ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests import ROOT
from tests.faults.killing.fork import Forked
from tests.faults.killing.launch import BEGUN, Plan, read_changes

LAUNCHER = (sys.executable, "-m", "tests.faults.killing.launch")
MAX_RUN_SECONDS = 300.0  # long enough for a busy machine
MAX_STOP_SECONDS = 15.0  # from the signal to the end, on a busy machine
MAX_ORPHAN_SECONDS = 10.0  # from the end of the parent to that of its workers, on a busy machine


@dataclass
class Run:
    """A running command in `home`, with its own process group. Its journal and its log lie beside `home`."""

    home: Path
    arguments: Sequence[str]
    plan: Plan | None = None
    name: str = "run"
    fork: bool = False
    """Start as a fork of this process instead of a new interpreter."""
    output: str = field(default="", init=False)
    """Standard error, set by `end`."""

    def __post_init__(self) -> None:
        self.journal = self.home.with_name(f"{self.name}.journal")
        self.journal.unlink(missing_ok=True)
        plan = self.plan or Plan(str(self.journal), str(self.home))
        (self.home.parent / "tmp").mkdir(exist_ok=True)
        self.log = self.home.with_name(f"{self.name}.log").open("w+b")
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.home.parent / "tmp")}
        environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # set by the tests; a user's command must be quiet without it
        self.process: subprocess.Popen[bytes] | Forked
        if self.fork:
            self.process = Forked(plan, self.arguments, self.home, environment, self.log)
            return
        self.process = subprocess.Popen(
            [*LAUNCHER, json.dumps(asdict(plan)), *self.arguments],
            cwd=self.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            start_new_session=True,
        )

    def end(self) -> int:
        """Wait for the end; returns the exit status. Kills the process group and raises AssertionError if it hangs."""
        try:
            self.process.wait(MAX_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"{' '.join(self.arguments)} hung for {MAX_RUN_SECONDS:.0f} s") from None
        finally:
            self.log.seek(0)
            self.output = self.log.read().decode(errors="replace")
            self.log.close()
        return self.process.wait()

    def wait_until_begun(self) -> None:
        """Wait until the command is ready for signals or has ended."""
        while self.process.poll() is None and not (self.journal.exists() and BEGUN in self.journal.read_text()):
            time.sleep(0.01)

    def wait(self, seconds: float) -> bool:
        """Whether it still runs after `seconds`."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def members(self) -> list[int]:
        """Ids of the processes of its group that still run."""
        return [pid for pid, group, _ in _processes() if group == self.process.pid]

    def workers(self) -> list[int]:
        """Ids of its pool's processes."""
        return [pid for pid in self.members() if b"spawn_main" in _read_proc(pid, "cmdline")]

    def orphans(self) -> str:
        """Fault of processes that outlive the command; empty if there are none."""
        deadline = time.monotonic() + MAX_ORPHAN_SECONDS
        while (orphans := self.members()) and time.monotonic() < deadline:
            time.sleep(0.05)
        lines = [_read_proc(pid, "cmdline").replace(b"\0", b" ").decode()[-90:] or "(just ended)" for pid in orphans]
        return (
            f"{len(orphans)} processes still run after {MAX_ORPHAN_SECONDS:.0f} s: {'; '.join(lines)}"
            if orphans
            else ""
        )


def _processes() -> Iterator[tuple[int, int, str]]:
    """(process, group, state) of all processes but zombies."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (stat := _read_proc(int(entry.name), "stat")):
            state, _, group = stat.rpartition(b")")[2].split()[:3]
            if state != b"Z":
                yield int(entry.name), int(group), state.decode()


def _read_proc(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@dataclass
class Death:
    """How a run is to die; the fields from `died` on, and `what`, are set when it has ended."""

    way: str
    """`change`: at a change of the disk; `time`: after some seconds."""
    whom: str = "group"
    """Who gets the signal. At a change `group` or `self`; at a time `group`, `parent`, `worker` or `scheduler`."""
    signal: str = "SIGKILL"
    number: int = 0
    """Number of the change, from 1."""
    kind: str = ""
    """If given, `number` counts only changes of this kind."""
    what: str = ""
    """The change at which it died."""
    moment: str = "before"
    """`before`, `within` or `after` the change."""
    seconds: float = 0.0
    """Time of the signal, from the begin of the command."""
    died: bool = False
    status: int | None = None
    """Exit status of the command."""
    stopping: float | None = None
    """Seconds from the signal to the end, of a stop at a time."""

    @property
    def stops(self) -> bool:
        """Whether the command can react to the signal."""
        return self.signal != "SIGKILL"

    def plan(self, journal: Path, home: Path) -> Plan:
        """The plan for the launcher."""
        if self.way != "change":
            return Plan(str(journal), str(home))
        number = getattr(signal, self.signal).value
        return Plan(str(journal), str(home), self.number, self.kind, self.moment, number, self.whom)

    def index_in(self, changes: Sequence[str]) -> int | None:
        """Index of the fatal change in a journal, whose first line is no change; None if the run did not reach it."""
        indices = [index for index, kind in enumerate(changes) if index and (not self.kind or kind == self.kind)]
        return indices[self.number - 1] if self.number <= len(indices) else None

    def strike(self, run: Run, elsewhere: Mapping[str, Sequence[subprocess.Popen[bytes]]]) -> None:
        """Send the signal of a death at a time. `elsewhere` are a cluster's processes by kind."""
        if self.way != "time":
            return
        run.wait_until_begun()
        if not run.wait(self.seconds):
            return
        number = getattr(signal, self.signal)
        sent = time.monotonic()
        for victim in [process.pid for process in elsewhere.get(self.whom, ())] or self._victims(run):
            os.kill(victim, number)
            self.died = True
        if self.stops and not run.wait(MAX_STOP_SECONDS):
            self.stopping = round(time.monotonic() - sent, 2)

    def _victims(self, run: Run) -> list[int]:
        if self.whom == "parent":
            return [run.process.pid]
        if self.whom == "group":
            return [-run.process.pid]
        while run.process.poll() is None:
            if workers := run.workers():
                return workers[:1]
            time.sleep(0.01)
        return []


def fault_of(death: Death, run: Run) -> str:
    """Wait for the end of a run, note it in `death`, and return what is wrong with it; empty if nothing is."""
    death.status = status = run.end()
    if death.way == "change" and (index := death.index_in(changes := read_changes(run.journal))) is not None:
        death.what, death.died = changes[index], True
    if "Traceback" in run.output:
        return f"a traceback: {run.output[-2000:]}"
    of_parent = death.whom in {"group", "parent"}
    if death.died and death.stops and status != 0:
        return _fault_of_stop(death, run)
    if status == 0:
        death.died = death.died and not of_parent  # a lost worker was replaced; else the signal came too late
        return ""
    if status == -signal.SIGKILL and death.died and not death.stops:
        return ""
    if status == 1 and not of_parent and _says_how_to_continue(run):
        return ""
    return f"it ended with {status}: {run.output!r}"


def _fault_of_stop(death: Death, run: Run) -> str:
    if death.status != -getattr(signal, death.signal):
        return f"it ended with {death.status} when stopped: {run.output!r}"
    if not _says_how_to_continue(run):
        return f"it prints {run.output!r} when stopped"
    if death.way == "time" and death.stopping is None:
        return f"it took more than {MAX_STOP_SECONDS:.0f} s to stop"
    return run.orphans()


def _says_how_to_continue(run: Run) -> bool:
    """Whether the last line alone says what to do next, and all others are progress (`command: ...`)."""
    *progress, last = run.output.splitlines() or [""]
    only_progress = all(re.match("[a-z]+: ", line) and "again" not in line for line in progress)
    remedy = "again" in last or "start one" in last  # "start one": the scheduler was lost before it was reached
    return only_progress and bool(re.match("Error: |[a-z]+: stopped", last)) and remedy
