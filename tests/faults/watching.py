"""What a process and those it started hold: memory, open files, threads, temporary files."""

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
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

TICK = 0.02  # s between two looks at memory


@dataclass(frozen=True)
class Peak:
    """The most that a command had, in bytes."""

    own: int
    """Anonymous memory of all its processes together, at any look."""
    resident: int
    """Of its first process, as the system keeps it at the last look; with pages of mapped files, which it takes back at
    need. Not `ru_maxrss`: that counts what the process that began it had before it called the program."""


def family(process: int) -> list[int]:
    """A process and all that it started, as far as they live."""
    found, open_ones = [process], [process]
    while open_ones:
        one = open_ones.pop()
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                children = [int(child) for child in (task / "children").read_text().split()]
                found += children
                open_ones += children
    return found


def anonymous(process: int) -> int:
    """Bytes that a process has in memory and in no file."""
    return _status(process, "RssAnon")


def _status(process: int, name: str) -> int:
    with suppress(OSError, IndexError):
        return 1024 * int(Path(f"/proc/{process}/status").read_text().partition(f"{name}:")[2].split()[0])
    return 0  # it has ended


def peak(command: Sequence[str], visit: Callable[[str], None] | None = None, **options: Any) -> Peak:
    """Run a command to its end, or one that serves until `visit` has seen the address that it tells.

    Raises AssertionError with what it told if that is not a good end.
    """
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, **options)
        ended, most, kept = threading.Event(), [0], [0]

        def watch() -> None:
            while not ended.wait(TICK):
                most[0] = max(most[0], sum(map(anonymous, family(process.pid))))
                kept[0] = max(kept[0], _status(process.pid, "VmHWM"))

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            if visit is not None and (address := _address(process, told.fileno())):
                visit(address)
                process.send_signal(signal.SIGINT)
            process.wait()
        finally:
            process.kill()  # if the visit failed
            process.wait()
            ended.set()
            watching.join()
        told.seek(0)
        assert process.returncode == 0, f"{' '.join(command)}: {told.read()[-2000:]}"
    return Peak(most[0], kept[0])


def _address(process: subprocess.Popen[Any], told: int) -> str | None:
    """The address that a command has told in a file, once it has; None if it ended first."""
    while process.poll() is None:
        if found := re.search(rb"open (http://\S+) in a browser", os.pread(told, 1 << 16, 0)):
            return found[1].decode()
        time.sleep(TICK)
    return None


@dataclass(frozen=True)
class Held:
    """What this process holds now."""

    anonymous_mb: float
    handles: int
    threads: int
    children: int
    temporary: int
    """Files and folders of ours for temporary files."""

    @staticmethod
    def now(temporary: Path) -> Held:
        me = os.getpid()
        return Held(
            anonymous_mb=anonymous(me) / 1e6,
            handles=_entries("fd") - 1,  # that of the listing itself
            threads=_entries("task"),
            children=len(family(me)) - 1,
            temporary=sum(1 for _ in temporary.rglob("*")),
        )

    def told(self) -> dict[str, float]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _entries(name: str) -> int:
    return sum(1 for _ in Path("/proc/self", name).iterdir())
