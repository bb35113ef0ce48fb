"""One run of a command that is to die, and what is seen of its death."""

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
from tests.faults.killing.launch import BEGUN, Plan, changes

LAUNCH = (sys.executable, "-m", "tests.faults.killing.launch")
HANG = 300.0  # s that a run may take at most, on a machine however busy
STOPPING = 15.0  # s that a command may take to stop: some, on a machine that others use
ORPHANS = 10.0  # s in which workers have to follow their parent; they are told at once, on a busy machine late


@dataclass
class Run:
    """A command at work in `home`, in a process group of its own; it writes its journal and its talk beside `home`."""

    home: Path
    arguments: Sequence[str]
    plan: Plan | None = None
    name: str = "run"
    fork: bool = False
    """Begin as a copy of this process, not with a fresh interpreter."""
    told: str = field(default="", init=False)
    """Standard error, once it has ended."""

    def __post_init__(self) -> None:
        self.journal = self.home.with_name(f"{self.name}.journal")
        self.journal.unlink(missing_ok=True)
        plan = self.plan or Plan(str(self.journal), str(self.home))
        (self.home.parent / "tmp").mkdir(exist_ok=True)
        self.log = self.home.with_name(f"{self.name}.log").open("w+b")
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.home.parent / "tmp")}
        environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # which the tests set: a user's command is to be quiet by itself
        self.process: subprocess.Popen[bytes] | Forked
        if self.fork:
            self.process = Forked(plan, self.arguments, self.home, environment, self.log)
            return
        self.process = subprocess.Popen(
            [*LAUNCH, json.dumps(asdict(plan)), *self.arguments],
            cwd=self.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            start_new_session=True,
        )

    def end(self) -> int:
        """Wait for its end; the status. Ends it, whole, if it hangs."""
        try:
            self.process.wait(HANG)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"{' '.join(self.arguments)} hung for {HANG:.0f} s") from None
        finally:
            self.log.seek(0)
            self.told = self.log.read().decode(errors="replace")
            self.log.close()
        return self.process.wait()

    def wait_until_begun(self) -> None:
        """Wait until the command is ready for signals, or ended."""
        while self.process.poll() is None and not (self.journal.exists() and BEGUN in self.journal.read_text()):
            time.sleep(0.01)

    def wait(self, seconds: float) -> bool:
        """Whether it still runs after some time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def members(self) -> list[int]:
        """Processes of its group that still run."""
        return [pid for pid, group, _ in _processes() if group == self.process.pid]

    def workers(self) -> list[int]:
        """Processes of its pool."""
        return [pid for pid in self.members() if b"spawn_main" in _read(pid, "cmdline")]

    def orphans(self) -> str:
        """What is wrong if its workers do not follow it; empty if nothing is."""
        deadline = time.monotonic() + ORPHANS
        while (left := self.members()) and time.monotonic() < deadline:
            time.sleep(0.05)
        told = "; ".join(_read(pid, "cmdline").replace(b"\0", b" ").decode()[-90:] or "one that ends" for pid in left)
        return f"{len(left)} processes of a run still run after {ORPHANS:.0f} s: {told}" if left else ""


def _processes() -> Iterator[tuple[int, int, str]]:
    """(process, group, state) of all that are not mere zombies."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (told := _read(int(entry.name), "stat")):
            state, _, group = told.rpartition(b")")[2].split()[:3]
            if state != b"Z":
                yield int(entry.name), int(group), state.decode()


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@dataclass
class Death:
    """How a run is to die, and afterwards how it did."""

    way: str
    """`change`: as it changes the disk; `time`: whenever it is."""
    whom: str = "group"
    """Of a change `group` or `self`; at a time `group`, `parent`, `worker` or `scheduler`."""
    signal: str = "SIGKILL"
    number: int = 0
    """Of the change."""
    kind: str = ""
    """Of the change, if it is numbered among those of its kind alone."""
    what: str = ""
    """The change."""
    moment: str = "before"
    seconds: float = 0.0
    """Since the command began."""
    died: bool = False
    status: int | None = None
    """Of the command."""
    stopping: float | None = None
    """Seconds from the signal to the end."""

    @property
    def stops(self) -> bool:
        """Whether the command may put things in order."""
        return self.signal != "SIGKILL"

    def plan(self, journal: Path, home: Path) -> Plan:
        """For the launcher."""
        if self.way != "change":
            return Plan(str(journal), str(home))
        number = getattr(signal, self.signal).value
        return Plan(str(journal), str(home), self.number, self.kind, self.moment, number, self.whom)

    def place(self, made: Sequence[str]) -> int | None:
        """Of its change among those that a run made, the first line of whose journal is none; None: it made no such."""
        places = [place for place, what in enumerate(made) if place and (not self.kind or what == self.kind)]
        return places[self.number - 1] if self.number <= len(places) else None

    def strike(self, run: Run, elsewhere: Mapping[str, Sequence[subprocess.Popen[bytes]]]) -> None:
        """Send the signal at its time, if this is a death by time; `elsewhere` are a cluster's processes by kind."""
        if self.way != "time":
            return
        run.wait_until_begun()
        if not run.wait(self.seconds):
            return
        number = getattr(signal, self.signal)
        sent = time.monotonic()
        for victim in [one.pid for one in elsewhere.get(self.whom, ())] or self._victims(run):
            os.kill(victim, number)
            self.died = True
        if self.stops and not run.wait(STOPPING):
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
    """What is wrong with the way in which a run ended; empty if nothing is. Tells the death what came of it."""
    death.status = status = run.end()
    if death.way == "change" and (place := death.place(made := changes(run.journal))) is not None:
        death.what, death.died = made[place], True
    if "Traceback" in run.told:
        return f"a traceback: {run.told[-2000:]}"
    whole = death.whom in {"group", "parent"}
    if death.died and death.stops and status != 0:
        return _stopped(death, run)
    if status == 0:
        death.died = death.died and not whole  # others stood in for what was lost, or the signal came too late
        return ""
    if status == -signal.SIGKILL and death.died and not death.stops:
        return ""
    return "" if status == 1 and not whole and _says_again(run) else f"it ended with {status}: {run.told!r}"


def _stopped(death: Death, run: Run) -> str:
    if death.status != -getattr(signal, death.signal):
        return f"it ended with {death.status} when stopped: {run.told!r}"
    if not _says_again(run):
        return f"it says {run.told!r} when stopped"
    if death.way == "time" and death.stopping is None:
        return f"it took more than {STOPPING:.0f} s to stop"
    return run.orphans()


def _says_again(run: Run) -> bool:
    """Whether its last line, and no other, says what to do next, and the others how far it came."""
    *talk, last = run.told.splitlines() or [""]
    known = all(re.match("[a-z]+: ", line) and "again" not in line for line in talk)
    remedy = "again" in last or "start one" in last  # a scheduler lost before it was reached
    return known and bool(re.match("Error: |[a-z]+: stopped", last)) and remedy
