"""A Dask cluster whose workers die as they are told to, and are replaced."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from tests.faults.killing.launch import Plan
from tests.hosts import Hosts, end

LEAST = 2  # workers


class Crew:
    """A scheduler and workers, brought up again before each run."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.folder.mkdir()
        self.hosts: Hosts | None = None
        self.times = 0

    def address(self, plan: Plan | None) -> str:
        """Of a scheduler that lives and has workers, which die as planned; those of an earlier plan are replaced."""
        if self.hosts is None or self.hosts.scheduler.poll() is not None:
            self.times += 1
            folder = self.folder / str(self.times)
            folder.mkdir()
            self.hosts = Hosts(folder, self.stack)
        inside = [sys.executable, "-m", "tests.faults.killing.launch", json.dumps(asdict(plan))] if plan else []
        alive = [worker for worker in self.hosts.workers if worker.poll() is None]
        for worker in alive if plan else []:
            end(worker)
        for _ in range(LEAST if plan else LEAST - len(alive)):
            self.hosts.start_worker(inside=inside)
        return self.hosts.address

    def processes(self) -> Mapping[str, Sequence[subprocess.Popen[bytes]]]:
        """Whom a death may be meant for: the scheduler, or a worker that lives."""
        assert self.hosts is not None
        alive = [worker for worker in self.hosts.workers if worker.poll() is None]
        return {"scheduler": [self.hosts.scheduler], "worker": alive[:1]}
