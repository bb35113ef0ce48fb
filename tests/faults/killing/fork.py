"""Start a command as a fork of this process, which has already spent the seconds that imports take."""

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
"""Modules of curate to import before the fork. Importing them starts no thread."""


class Forked:
    """A command in a fork of this process, which must have one thread. Has the interface of subprocess.Popen."""

    def __init__(
        self, plan: launch.Plan, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], log: BinaryIO
    ) -> None:
        for name in IMPORTED:
            importlib.import_module(f"curate.{name}")
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _run_in_child(plan, arguments, cwd, env, log)

    def poll(self) -> int | None:
        """Exit status, or None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = float("inf")) -> int:
        """Exit status. Raises TimeoutExpired if the process still runs after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a fork of this process", timeout)
            time.sleep(0.005)
        return status


def _run_in_child(
    plan: launch.Plan, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], log: BinaryIO
) -> NoReturn:
    """Do in the child what `python -m tests.faults.killing.launch` does, from its start to its exit."""
    code = 0
    try:
        os.setsid()
        os.chdir(cwd)
        null = os.open(os.devnull, os.O_RDWR)
        for standard, descriptor in enumerate((null, null, log.fileno())):
            os.dup2(descriptor, standard)
        os.environ.update(env)
        sys.argv = [launch.__file__, json.dumps(asdict(plan)), *arguments]
        sys.modules["__main__"] = launch  # the workers of a pool import this module
        atexit._clear()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        launch.install()
        launch.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else bool(end.code)
    except BaseException:  # noqa: BLE001  # as the interpreter does
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(code)
