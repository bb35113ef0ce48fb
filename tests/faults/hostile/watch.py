"""The parent of the process that reads hostile inputs: gives it jobs, names what ended it, and goes on after that."""

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
from tests.faults.hostile.child import Row, Shared, kept

TICK = 0.2  # s between looks
CPU = 10.0  # s of CPU time that one input may take
WALL = 300.0  # s that one may take, by the clock, whoever works on it: of a busy machine a process has a tenth
MEMORY = 2 << 30  # bytes that the process may hold


@dataclass
class Watched:
    """A child at work; it is started for the first job, and again after each end."""

    corpus: Path
    scratch: Path
    keep: Path
    """Where inputs that made faults are kept."""
    cpu: float = CPU
    memory: int = MEMORY
    command: list[str] = field(default_factory=list)
    """What Python runs as the child, if not the usual."""
    _child: subprocess.Popen[str] | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def run(self, job: Row) -> Row:
        """Fates, faults and peak memory of a job, whatever becomes of the child on the way."""
        if job.get("kind") == "guided":
            return self._guided(job)
        total: Row = {"fates": {}, "faults": [], "peak": 0}
        done = 0
        while True:
            shared = self._shared()
            shared.begin(done, b"")
            reply, ended = self._ask({**job, "done": done}, shared)
            _add(total, reply)
            if ended is None:
                return total
            done = shared.number()
            fates = {"fault": 1} | self._before(done, total)
            fault = {"reader": job["reader"], "what": ended, "input": kept(self.keep, job["reader"], shared.data())}
            _add(total, {"fates": fates, "faults": [fault], "peak": 0})

    @staticmethod
    def _before(done: int, total: Row) -> dict[str, int]:
        """Inputs read before the one that ended the child, whose fates went with it."""
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
        replies = child.stdout
        wrong = self._wait(child, shared, lambda: bool(select.select([replies], [], [], TICK)[0]))
        line = replies.readline()
        if line and not wrong:
            return json.loads(line), None
        ended = wrong or _ending(child.wait())
        self.close()
        if not shared.number():
            raise RuntimeError(f"the child ends before it reads anything ({ended})")
        return {}, ended

    def _wait(self, child: subprocess.Popen[str], shared: Shared, over: Callable[[], bool]) -> str | None:
        """Look at a child until it is over; one that takes too much is killed, and what of is told."""
        at, since, used = shared.number(), time.monotonic(), _cpu(child.pid)
        while not over():
            if shared.number() != at:
                at, since, used = shared.number(), time.monotonic(), _cpu(child.pid)
            wrong = None
            if at and _cpu(child.pid) - used > self.cpu:
                wrong = f"hang: over {self.cpu:g} s"
            elif at and time.monotonic() - since > WALL:
                wrong = f"hang: over {WALL:g} s by the clock"
            elif _resident(child.pid) > self.memory:
                wrong = f"memory: over {self.memory >> 20:,} MiB"
            if wrong:
                child.kill()
                return wrong
        return None

    def _guided(self, job: Row) -> Row:
        """A batch by libFuzzer, in a process of its own; what ends it midway ends the batch."""
        shared, work = self._shared(), self.scratch / "guided"
        shared.begin(0, b"")
        shutil.rmtree(work, ignore_errors=True)
        (work / "seeds").mkdir(parents=True)
        places = [self.corpus, work, self.scratch / "shared", self.keep, work / "reply.json"]
        told = [job["reader"], str(job["batch"]), str(job["count"]), *map(str, places)]
        child = self._started("guided", told, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wrong = self._wait(child, shared, lambda: _over(child))
        code, total = child.wait(), {"fates": {}, "faults": [], "peak": 0}
        if (work / "reply.json").exists():
            _add(total, json.loads((work / "reply.json").read_bytes()))
            return total
        if not shared.number():
            raise RuntimeError(f"{job} ends before it reads anything (exit code {code})")
        fault = {"what": wrong or _ending(code), "input": kept(self.keep, job["reader"], shared.data())}
        fates = {"fault": 1, "before an end": shared.number() - 1}
        _add(total, {"fates": fates, "faults": [{"reader": job["reader"], **fault}]})
        return total

    def _start(self) -> subprocess.Popen[str]:
        work = self.scratch / "work"
        work.mkdir(parents=True, exist_ok=True)
        places = [self.corpus, work, self.scratch / "shared", self.keep]
        return self._started("child", [*map(str, places)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _started(self, module: str, told: list[str], *, stdin: int, stdout: int) -> subprocess.Popen[str]:
        self.keep.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *(self.command or ["-m", f"tests.faults.hostile.{module}"]), *told]
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


def _over(child: subprocess.Popen[str]) -> bool:
    try:
        child.wait(TICK)
    except subprocess.TimeoutExpired:
        return False
    return True


def _ending(code: int) -> str:
    return f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit: {code}"


def _add(total: Row, more: Row) -> None:
    for name, count in more.get("fates", {}).items():
        total["fates"][name] = total["fates"].get(name, 0) + count
    total["faults"] += more.get("faults", [])
    total["peak"] = max(total["peak"], more.get("peak", 0))


def _cpu(pid: int) -> float:
    """Seconds of CPU time of a process."""
    told = _stat(pid)
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK") if told else 0.0


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _resident(pid: int) -> int:
    told: Any = _stat(pid)
    return int(told[21]) * os.sysconf("SC_PAGE_SIZE") if told else 0
