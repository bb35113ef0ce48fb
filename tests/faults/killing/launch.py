"""Runs a command that dies at its n-th change of the disk, whichever of its processes makes that change.

The prefix of an ordinary command: `python -m tests.faults.killing.launch PLAN python -m curate extract ...`, with PLAN
a Plan as JSON. Workers of a pool are started from this module again, so they are in the same boat; those of a Dask
cluster are started through it, too. Every change is noted in a journal that all append to: what stands in it, counted,
tells a process that its change is the fatal one. Linux alone.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import re
import runpy
import shutil  # noqa: F401  # asks at its import whether os.unlink is the system's own
import signal
import sys
import tempfile  # noqa: F401  # the same of os.open
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORD = 160  # bytes of a line of the journal
DRAWN = re.compile("[0-9a-f]{32}")  # at random, as attempts are named, or ids
ATTEMPT = re.compile("\\.[0-9a-f]{32}\\.tmp$")
NUMBERS = re.compile("[0-9A-F]+(-[0-9A-F]+)*")  # of parts and steps, and OpenMoji's names
BEGUN = "begun"  # the first line: from here on the command is ready for signals


@dataclass(frozen=True)
class Plan:
    """When to die, and how."""

    journal: str
    home: str
    """Only changes below it count."""
    fatal: int = 0
    """Number of the change, from 1; 0: live."""
    kind: str = ""
    """If any, only changes of this kind are numbered."""
    moment: str = "before"
    """`before` the change, `after` it, or `within`: a write half done."""
    signal: int = signal.SIGKILL
    whom: str = "group"
    """The whole `group`, or the process it`self`."""


JOURNAL: Journal


class Journal:
    """Numbers the changes of all processes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.file = os.open(plan.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, kind: str, path: str) -> int:
        """Append a line; its number, from 0, as an appending write moves the offset to its own end."""
        line = f"{kind:8}{os.path.relpath(path, self.plan.home) if path else ''}"
        os.write(self.file, line.encode(errors="replace")[: RECORD - 1].ljust(RECORD - 1) + b"\n")
        return os.lseek(self.file, 0, os.SEEK_CUR) // RECORD - 1

    def change(self, kind: str, path: str, real: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        """Do a change of the disk, unless it is the fatal one."""
        if not self.fatal(self.note(kind, path)):
            return real()
        if self.plan.moment == "within" and half is not None:
            half()
        done = real() if self.plan.moment == "after" else None
        send = os.killpg if self.plan.whom == "group" else os.kill
        send(os.getpgrp() if self.plan.whom == "group" else os.getpid(), self.plan.signal)
        return done if self.plan.moment == "after" else real()  # of a signal that may be lived through

    def fatal(self, number: int) -> bool:
        """Whether that change is the one to die of."""
        if not self.plan.fatal or not self.plan.kind:
            return bool(self.plan.fatal) and number == self.plan.fatal
        made = changes(Path(self.plan.journal))[: number + 1]
        return made[-1] == self.plan.kind and made.count(self.plan.kind) == self.plan.fatal

    def counts(self, path: str) -> bool:
        """Whether a path is below the home."""
        return path.startswith(f"{self.plan.home}/")


def changes(journal: Path) -> list[str]:
    """The kinds of the changes that a journal holds, in order: numbers and names drawn at random are made alike.

    The temporary files of attempts on a cluster are those of local workers, which draw no names for them.
    """
    data = journal.read_bytes()
    lines = [data[start : start + RECORD].decode().strip() for start in range(0, len(data), RECORD)]
    return [NUMBERS.sub("#", DRAWN.sub("#", ATTEMPT.sub(".tmp", " ".join(line.split())))) for line in lines]


def at(path: Any, folder: int | None = None) -> str:
    """The absolute path of what a system call is told of: a name, maybe below a folder's descriptor, or a file's."""
    if isinstance(path, int):
        return str(Path(f"/proc/self/fd/{path}").readlink())
    start = Path.cwd() if folder is None else Path(f"/proc/self/fd/{folder}").readlink()
    return os.path.normpath(start / os.fsdecode(path))


def watch_calls(journal: Journal) -> None:
    """Put every system call that changes names, or asks for durability, under watch."""
    for name in ("fsync", "rename", "replace", "mkdir", "unlink", "remove", "rmdir", "sync"):
        setattr(os, name, watched(name, getattr(os, name), journal))


def watched(name: str, real: Callable[..., Any], journal: Journal) -> Callable[..., Any]:
    """`real`, noted first."""

    def call(*arguments: Any, **options: Any) -> Any:
        path = at(arguments[0], options.get("dir_fd")) if arguments else ""
        if arguments and not journal.counts(path):
            return real(*arguments, **options)
        return journal.change(name, path, lambda: real(*arguments, **options))

    return call


def watch_writes(journal: Journal) -> None:
    """Put every file that Python opens for writing under watch: its opening, and each write that reaches the system."""
    plain = io.open

    class Raw(io.FileIO):
        """A file whose writes are noted."""

        def write(self, data: Any, /) -> Any:
            whole, bare = memoryview(data).cast("B"), super().write
            half = whole[: len(whole) // 2]
            return journal.change("write", at(self.fileno()), lambda: bare(whole), lambda: bare(half))

    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if isinstance(file, int) or not set(mode) & set("wax+") or not journal.counts(at(file)):
            return plain(file, mode, buffering, encoding, errors, newline, closefd, opener)
        bare = mode.replace("b", "").replace("t", "")
        raw = journal.change("open", at(file), lambda: Raw(file, bare, closefd, opener))
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffered = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    io.open = builtins.open = opened


def make_small(module: str, arguments: list[str]) -> None:
    """Cut the work of a few hundred pictures into as many tasks as that of a hundred thousand is cut into."""
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
    """Call the command of the rest of the line."""
    module, *arguments = sys.argv[sys.argv.index("-m") + 1 :]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell begins deaf to it
    make_small(module, arguments)
    if module == "dask":
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__")
        return
    cli = __import__(f"{module}.cli", fromlist=["main"])
    JOURNAL.note(BEGUN, "")
    cli.main(arguments, prog_name=module)


def begin() -> None:
    """Put this process under watch, by the plan of its command line."""
    global JOURNAL  # noqa: PLW0603  # one a process
    JOURNAL = Journal(Plan(**json.loads(sys.argv[1])))
    watch_calls(JOURNAL)
    watch_writes(JOURNAL)


if __name__ in {"__main__", "__mp_main__"}:
    begin()
if __name__ == "__main__":
    main()
