"""A Dask cluster of separate processes, as on several hosts: a scheduler, and workers that come and go."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

from curate.workers.dask_cluster import DaskCluster, connect_cluster
from tests import ROOT


@dataclass
class Hosts:
    """A scheduler and workers that log to a folder. `inside` is a command prefix, for example to enter a namespace."""

    folder: Path
    stack: ExitStack
    host: str = "127.0.0.1"
    inside: Sequence[str] = ()
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        scheduler_file = self.folder / "scheduler.json"
        fixed = ["scheduler", "--host", self.host, "--port", "0", "--no-dashboard", "--no-show"]
        self.scheduler = self._start("scheduler", self.inside, *fixed, "--scheduler-file", str(scheduler_file))
        while not (scheduler_file.is_file() and scheduler_file.read_text()):
            assert self.scheduler.poll() is None, (self.folder / "scheduler.log").read_text()
            time.sleep(0.05)
        self.address: str = json.loads(scheduler_file.read_text())["address"]

    def start_worker(self, *options: str, inside: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        name = f"worker-{len(self.workers)}"
        fixed = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self.folder / name)]
        self.workers.append(self._start(name, inside, "worker", self.address, *fixed, *options))
        return self.workers[-1]

    def _start(self, name: str, inside: Sequence[str], *arguments: str) -> subprocess.Popen[bytes]:
        log = self.stack.enter_context((self.folder / f"{name}.log").open("wb"))
        command = [*inside, sys.executable, "-m", "dask", *arguments]
        # in the repository root: workers import the functions of tests by module name
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        self.stack.callback(end, process)
        return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@contextmanager
def hosts(folder: Path, workers: int, **options: Any) -> Iterator[Hosts]:
    """Start a scheduler and workers; end them with the block."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        cluster = Hosts(folder, stack, **options)
        for _ in range(workers):
            cluster.start_worker()
        yield cluster


@contextmanager
def connected(cluster: Hosts, workers: int, **options: Any) -> Iterator[DaskCluster]:
    """Connect to a cluster and wait until it has at least `workers` workers."""
    with connect_cluster(cluster.address, **options) as connection:
        connection.client.wait_for_workers(workers, timeout=60)
        yield connection


@contextmanager
def dying(worker: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop a worker, so that tasks given to it in the block are not done when it is killed a second later."""
    worker.send_signal(signal.SIGSTOP)
    Timer(1, worker.kill).start()
    yield
    assert worker.wait() == -signal.SIGKILL
