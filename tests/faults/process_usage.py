"""Measure what a process and its children use: memory, open files, threads, temporary files. Reads /proc (Linux)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TICK = 0.02  # s between two samples


@dataclass(frozen=True)
class PeakMemory:
    """Peak memory of a command, in bytes."""

    own: int
    """Largest sampled sum of anonymous memory over all its processes."""
    resident: int
    """Peak resident memory of its first process (VmHWM at the last sample), with the pages of mapped files, which the
    system can take back. Not `ru_maxrss`: that includes what the parent had before it called exec."""


def process_tree(pid: int) -> list[int]:
    """The ids of a process and of its living descendants."""
    pids, queue = [pid], [pid]
    while queue:
        parent = queue.pop()
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                children = [int(child) for child in (task / "children").read_text().split()]
                pids += children
                queue += children
    return pids


def anonymous_memory(pid: int) -> int:
    """Bytes of memory of a process that no file backs; 0 if it has ended."""
    return _status(pid, "RssAnon")


def _status(pid: int, name: str) -> int:
    with suppress(OSError, IndexError):
        return 1024 * int(Path(f"/proc/{pid}/status").read_text().partition(f"{name}:")[2].split()[0])
    return 0  # the process has ended


def measure_command(command: Sequence[str], visit: Callable[[str], None] | None = None, **options: Any) -> PeakMemory:
    """Run a command and return its peak memory. A server is stopped once `visit` has been called with its address.

    `options` go to subprocess.Popen. Raises AssertionError with the end of the output if the command fails.
    """
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, **options)
        ended, own, resident = threading.Event(), [0], [0]

        def sample() -> None:
            while not ended.wait(TICK):
                own[0] = max(own[0], sum(map(anonymous_memory, process_tree(process.pid))))
                resident[0] = max(resident[0], _status(process.pid, "VmHWM"))

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            if visit is not None and (address := _wait_for_address(process, output.fileno())):
                visit(address)
                process.send_signal(signal.SIGINT)
            process.wait()
        finally:
            process.kill()  # if the visit failed
            process.wait()
            ended.set()
            sampler.join()
        output.seek(0)
        assert process.returncode == 0, f"{' '.join(command)}: {output.read()[-2000:]}"
    return PeakMemory(own[0], resident[0])


def _wait_for_address(process: subprocess.Popen[Any], output: int) -> str | None:
    """The address that a command prints to the file descriptor `output`; None if the command ends first."""
    while process.poll() is None:
        if match := re.search(rb"open (http://\S+) in a browser", os.pread(output, 1 << 16, 0)):
            return match[1].decode()
        time.sleep(TICK)
    return None


@dataclass(frozen=True)
class ProcessUsage:
    """What this process uses at one moment."""

    anonymous_mb: float
    handles: int
    threads: int
    children: int
    temporary: int
    """Number of files and folders in its folder for temporary files."""

    @staticmethod
    def now(temporary: Path) -> ProcessUsage:
        pid = os.getpid()
        return ProcessUsage(
            anonymous_mb=anonymous_memory(pid) / 1e6,
            handles=_entries("fd") - 1,  # less the one that lists the folder
            threads=_entries("task"),
            children=len(process_tree(pid)) - 1,
            temporary=sum(1 for _ in temporary.rglob("*")),
        )

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def _entries(name: str) -> int:
    return sum(1 for _ in Path("/proc/self", name).iterdir())
