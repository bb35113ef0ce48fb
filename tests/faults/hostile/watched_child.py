"""Run jobs in a child process that reads hostile inputs; note an input that ends the child, and continue after it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests import ROOT
from tests.faults.hostile.child import Row, Shared, keep_input

POLL_SECONDS = 0.2  # between two checks of the child
MAX_CPU_SECONDS = 10.0  # per input
MAX_WALL_SECONDS = 300.0  # per input, by the clock; on a busy machine a process may get a tenth of a core
MAX_MEMORY = 2 << 30  # bytes of resident memory of the child


@dataclass
class WatchedChild:
    """A child process, started by the first job and again after each end."""

    corpus: Path
    scratch: Path
    keep: Path
    """Folder for inputs that made faults."""
    cpu: float = MAX_CPU_SECONDS
    memory: int = MAX_MEMORY
    command: list[str] = field(default_factory=list)
    """Arguments of Python for the child, if not the usual module; used by tests."""
    _child: subprocess.Popen[str] | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def run(self, job: Row) -> Row:
        """Do a job; returns its `fates`, `faults` and `peak` memory, even if inputs end the child."""
        if job.get("kind") == "guided":
            return self._guided(job)
        total: Row = {"fates": {}, "faults": [], "peak": 0}
        done = 0
        while True:
            shared = self._shared()
            shared.begin(done, b"")
            reply, end = self._ask({**job, "done": done}, shared)
            _add(total, reply)
            if end is None:
                return total
            done = shared.number()
            fates = {"fault": 1} | self._before(done, total)
            fault = {"reader": job["reader"], "what": end, "input": keep_input(self.keep, job["reader"], shared.data())}
            _add(total, {"fates": fates, "faults": [fault], "peak": 0})

    @staticmethod
    def _before(done: int, total: Row) -> dict[str, int]:
        """Fates of the inputs read before the one that ended the child: the child did not reply with them."""
        lost = done - 1 - sum(total["fates"].values())
        return {"before an end": lost} if lost else {}

    def _shared(self) -> Shared:
        self.scratch.mkdir(parents=True, exist_ok=True)
        return Shared(self.scratch / "shared")

    def _ask(self, job: Row, shared: Shared) -> tuple[Row, str | None]:
        child = self._child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(job) + "\n")
        child.stdin.flush()
        output = child.stdout
        fault = self._wait(child, shared, lambda: bool(select.select([output], [], [], POLL_SECONDS)[0]))
        line = output.readline()
        if line and not fault:
            return json.loads(line), None
        end = fault or _name_of_end(child.wait())
        self.close()
        if not shared.number():
            raise RuntimeError(f"the child ends before it reads anything ({end})")
        return {}, end

    def _wait(self, child: subprocess.Popen[str], shared: Shared, is_over: Callable[[], bool]) -> str | None:
        """Check the child until `is_over`; kills it above a limit and returns the fault."""
        number, since, used = shared.number(), time.monotonic(), _cpu(child.pid)
        while not is_over():
            if shared.number() != number:
                number, since, used = shared.number(), time.monotonic(), _cpu(child.pid)
            fault = None
            if number and _cpu(child.pid) - used > self.cpu:
                fault = f"hang: over {self.cpu:g} s"
            elif number and time.monotonic() - since > MAX_WALL_SECONDS:
                fault = f"hang: over {MAX_WALL_SECONDS:g} s by the clock"
            elif _resident(child.pid) > self.memory:
                fault = f"memory: over {self.memory >> 20:,} MiB"
            if fault:
                child.kill()
                return fault
        return None

    def _guided(self, job: Row) -> Row:
        """Do a batch of libFuzzer in a process of its own. An input that ends the process ends the batch."""
        shared, work = self._shared(), self.scratch / "guided"
        shared.begin(0, b"")
        shutil.rmtree(work, ignore_errors=True)
        (work / "seeds").mkdir(parents=True)
        places = [self.corpus, work, self.scratch / "shared", self.keep, work / "reply.json"]
        arguments = [job["reader"], str(job["batch"]), str(job["count"]), *map(str, places)]
        child = self._started("guided", arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        fault_of_child = self._wait(child, shared, lambda: _has_ended(child))
        code, total = child.wait(), {"fates": {}, "faults": [], "peak": 0}
        if (work / "reply.json").exists():
            _add(total, json.loads((work / "reply.json").read_bytes()))
            return total
        if not shared.number():
            raise RuntimeError(f"{job} ends before it reads anything (exit code {code})")
        fault = {
            "what": fault_of_child or _name_of_end(code),
            "input": keep_input(self.keep, job["reader"], shared.data()),
        }
        fates = {"fault": 1, "before an end": shared.number() - 1}
        _add(total, {"fates": fates, "faults": [{"reader": job["reader"], **fault}]})
        return total

    def _start(self) -> subprocess.Popen[str]:
        work = self.scratch / "work"
        work.mkdir(parents=True, exist_ok=True)
        places = [self.corpus, work, self.scratch / "shared", self.keep]
        return self._started("child", [*map(str, places)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _started(self, module: str, arguments: list[str], *, stdin: int, stdout: int) -> subprocess.Popen[str]:
        self.keep.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *(self.command or ["-m", f"tests.faults.hostile.{module}"]), *arguments]
        environment = {
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TMPDIR": str(self.scratch),
        }
        with (self.scratch / f"{module}.log").open("w") as log:
            return subprocess.Popen(
                command, stdin=stdin, stdout=stdout, stderr=log, text=True, cwd=ROOT, env=environment
            )


def _has_ended(child: subprocess.Popen[str]) -> bool:
    try:
        child.wait(POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _name_of_end(code: int) -> str:
    return f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit: {code}"


def _add(total: Row, more: Row) -> None:
    for name, count in more.get("fates", {}).items():
        total["fates"][name] = total["fates"].get(name, 0) + count
    total["faults"] += more.get("faults", [])
    total["peak"] = max(total["peak"], more.get("peak", 0))


def _cpu(pid: int) -> float:
    """CPU time of a process in seconds; 0 if it has ended."""
    stat = _stat(pid)
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") if stat else 0.0


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _resident(pid: int) -> int:
    stat: Any = _stat(pid)
    return int(stat[21]) * os.sysconf("SC_PAGE_SIZE") if stat else 0
