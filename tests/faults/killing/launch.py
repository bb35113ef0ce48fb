"""Run a command that dies at its n-th change of the disk, in whichever process makes that change.

Prefix of an ordinary command: `python -m tests.faults.killing.launch PLAN python -m curate extract ...`, where PLAN is
a Plan as JSON. The workers of a pool import this module too, and those of a Dask cluster are started through it. All
processes append their changes to one journal; its length tells a process whether its change is the fatal one. Needs
Linux.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import re
import runpy
import shutil  # noqa: F401  # checks at its import whether os.unlink is the original
import signal
import sys
import tempfile  # noqa: F401  # checks os.open in the same way
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORD = 160  # bytes of a journal line
RANDOM_NAME = re.compile("[0-9a-f]{32}")  # of attempts, and ids
ATTEMPT = re.compile("\\.[0-9a-f]{32}\\.tmp$")
NUMBERS = re.compile("[0-9A-F]+(-[0-9A-F]+)*")  # of parts and steps, and OpenMoji's names
BEGUN = "begun"  # first line of a journal: the command is ready for signals


@dataclass(frozen=True)
class Plan:
    """When and how to die."""

    journal: str
    home: str
    """Only changes below this folder count."""
    fatal: int = 0
    """Number of the fatal change, from 1; 0 for none."""
    kind: str = ""
    """If given, only changes of this kind are counted."""
    moment: str = "before"
    """`before` the change, `after` it, or `within` it: a write is half done."""
    signal: int = signal.SIGKILL
    whom: str = "group"
    """Who gets the signal: the process `group`, or the process it`self`."""


JOURNAL: Journal


class Journal:
    """The file in which all processes of a run number their changes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.file = os.open(plan.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def record(self, kind: str, path: str) -> int:
        """Append a line; returns its number, from 0: an appending write leaves the offset at the end of its line."""
        line = f"{kind:8}{os.path.relpath(path, self.plan.home) if path else ''}"
        os.write(self.file, line.encode(errors="replace")[: RECORD - 1].ljust(RECORD - 1) + b"\n")
        return os.lseek(self.file, 0, os.SEEK_CUR) // RECORD - 1

    def make_change(self, kind: str, path: str, real: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        """Call `real`, which changes the disk; dies there if it is the fatal change. `half` does half of it."""
        if not self.is_fatal(self.record(kind, path)):
            return real()
        if self.plan.moment == "within" and half is not None:
            half()
        result = real() if self.plan.moment == "after" else None
        send = os.killpg if self.plan.whom == "group" else os.kill
        send(os.getpgrp() if self.plan.whom == "group" else os.getpid(), self.plan.signal)
        return result if self.plan.moment == "after" else real()  # the process may survive a SIGINT or SIGTERM

    def is_fatal(self, number: int) -> bool:
        """Whether the change of this number is the fatal one."""
        if not self.plan.fatal or not self.plan.kind:
            return bool(self.plan.fatal) and number == self.plan.fatal
        changes = read_changes(Path(self.plan.journal))[: number + 1]
        return changes[-1] == self.plan.kind and changes.count(self.plan.kind) == self.plan.fatal

    def counts(self, path: str) -> bool:
        """Whether a path is below the plan's home."""
        return path.startswith(f"{self.plan.home}/")


def read_changes(journal: Path) -> list[str]:
    """Kinds of the changes in a journal, in order. Numbers and random names are replaced by `#`.

    The random names of temporary files on a cluster are removed, because local workers use none.
    """
    data = journal.read_bytes()
    lines = [data[start : start + RECORD].decode().strip() for start in range(0, len(data), RECORD)]
    return [NUMBERS.sub("#", RANDOM_NAME.sub("#", ATTEMPT.sub(".tmp", " ".join(line.split())))) for line in lines]


def absolute_path(path: Any, folder: int | None = None) -> str:
    """Absolute path of a system call's argument: a path, a path below the descriptor `folder`, or a descriptor."""
    if isinstance(path, int):
        return str(Path(f"/proc/self/fd/{path}").readlink())
    start = Path.cwd() if folder is None else Path(f"/proc/self/fd/{folder}").readlink()
    return os.path.normpath(start / os.fsdecode(path))


def record_calls(journal: Journal) -> None:
    """Record every system call that changes names or asks for durability."""
    for name in ("fsync", "rename", "replace", "mkdir", "unlink", "remove", "rmdir", "sync"):
        setattr(os, name, recorded(name, getattr(os, name), journal))


def recorded(name: str, real: Callable[..., Any], journal: Journal) -> Callable[..., Any]:
    """A function that records the call and then calls `real`."""

    def call(*arguments: Any, **options: Any) -> Any:
        path = absolute_path(arguments[0], options.get("dir_fd")) if arguments else ""
        if arguments and not journal.counts(path):
            return real(*arguments, **options)
        return journal.make_change(name, path, lambda: real(*arguments, **options))

    return call


def record_writes(journal: Journal) -> None:
    """Record every file that Python opens for writing, and each write that reaches the system."""
    real_open = io.open

    class Raw(io.FileIO):
        """A file whose writes are recorded."""

        def write(self, data: Any, /) -> Any:
            whole, raw_mode = memoryview(data).cast("B"), super().write
            half = whole[: len(whole) // 2]
            return journal.make_change(
                "write", absolute_path(self.fileno()), lambda: raw_mode(whole), lambda: raw_mode(half)
            )

    def open_recorded(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if isinstance(file, int) or not set(mode) & set("wax+") or not journal.counts(absolute_path(file)):
            return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw_mode = mode.replace("b", "").replace("t", "")
        raw = journal.make_change("open", absolute_path(file), lambda: Raw(file, raw_mode, closefd, opener))
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffered = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    io.open = builtins.open = open_recorded


def shrink_tasks(module: str, arguments: list[str]) -> None:
    """Make tasks small, so that a few pictures give as many tasks as a hundred thousand usually do."""
    if module != "curate":
        return
    if arguments[0] in {"extract", "run"}:
        from curate.extraction import extract

        (extract.extract.__kwdefaults__ or {})["part_size"] = 24
    if arguments[0] in {"dedupe", "run"}:
        from curate.deduplication import lookalike_search

        lookalike_search.CANDIDATES_PER_TASK = 64
    if arguments[0] in {"shard", "run"}:
        from curate.shards import pack

        pack.SPILL_BATCH_BYTES = 1 << 17
    if "--scheduler" in arguments:
        from curate.workers.dask_cluster import connect_cluster

        connect_cluster.__wrapped__.__kwdefaults__["min_pictures_per_future"] = 24  # type: ignore[attr-defined]


def main() -> None:
    """Call the command on the rest of the command line."""
    module, *arguments = sys.argv[sys.argv.index("-m") + 1 :]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore SIGINT
    shrink_tasks(module, arguments)
    if module == "dask":
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__")
        return
    cli = __import__(f"{module}.cli", fromlist=["main"])
    JOURNAL.record(BEGUN, "")
    cli.main(arguments, prog_name=module)


def install() -> None:
    """Record the changes of this process by the plan on its command line."""
    global JOURNAL  # noqa: PLW0603  # one per process
    JOURNAL = Journal(Plan(**json.loads(sys.argv[1])))
    record_calls(JOURNAL)
    record_writes(JOURNAL)


if __name__ in {"__main__", "__mp_main__"}:
    install()
if __name__ == "__main__":
    main()
