"""A process that begins as a copy of this one: what takes seconds to import is there, and hundreds can be killed."""

from __future__ import annotations

import atexit
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, NoReturn

from tests.faults.killing import launch

IMPORTED = (
    "cli",
    "extraction.extract",
    "deduplication.dedupe",
    "shards.shard",
    "dataset.remove_pictures",
    "sources.sample_art",
    "shards.kept_rows",
    "shards.pack",
)
"""Of curate: nothing in them runs a thread by being imported."""


class Forked:
    """A command in a copy of this process, which has to have one thread; as subprocess.Popen is used."""

    def __init__(
        self, plan: launch.Plan, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], log: BinaryIO
    ) -> None:
        for name in IMPORTED:
            importlib.import_module(f"curate.{name}")
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _be(plan, arguments, cwd, env, log)

    def poll(self) -> int | None:
        """Its status, if it has ended."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = float("inf")) -> int:
        """Its status. Raises TimeoutExpired if it has none in so many seconds."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a copy of this process", timeout)
            time.sleep(0.005)
        return status


def _be(plan: launch.Plan, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], log: BinaryIO) -> NoReturn:
    """What `python -m tests.faults.killing.launch` does from its start to its exit."""
    code = 0
    try:
        os.setsid()
        os.chdir(cwd)
        nothing = os.open(os.devnull, os.O_RDWR)
        for ours, theirs in enumerate((nothing, nothing, log.fileno())):
            os.dup2(theirs, ours)
        os.environ.update(env)
        sys.argv = [launch.__file__, json.dumps(asdict(plan)), *arguments]
        sys.modules["__main__"] = launch  # what a pool's workers begin with
        atexit._clear()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        launch.begin()
        launch.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else bool(end.code)
    except BaseException:  # noqa: BLE001  # as the interpreter does
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(code)
