"""A Dask cluster whose workers die as planned and are replaced."""

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

MIN_WORKERS = 2


class KillableCluster:
    """A scheduler and workers, brought up again before each run."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.folder.mkdir()
        self.hosts: Hosts | None = None
        self.schedulers = 0

    def address(self, plan: Plan | None) -> str:
        """Address of a living scheduler with workers that follow `plan`; workers with an older plan are replaced."""
        if self.hosts is None or self.hosts.scheduler.poll() is not None:
            self.schedulers += 1
            folder = self.folder / str(self.schedulers)
            folder.mkdir()
            self.hosts = Hosts(folder, self.stack)
        inside = [sys.executable, "-m", "tests.faults.killing.launch", json.dumps(asdict(plan))] if plan else []
        alive = [worker for worker in self.hosts.workers if worker.poll() is None]
        for worker in alive if plan else []:
            end(worker)
        for _ in range(MIN_WORKERS if plan else MIN_WORKERS - len(alive)):
            self.hosts.start_worker(inside=inside)
        return self.hosts.address

    def processes(self) -> Mapping[str, Sequence[subprocess.Popen[bytes]]]:
        """The processes that can be killed: the scheduler, and one living worker."""
        assert self.hosts is not None
        alive = [worker for worker in self.hosts.workers if worker.poll() is None]
        return {"scheduler": [self.hosts.scheduler], "worker": alive[:1]}
