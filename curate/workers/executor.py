"""Run tasks in this process, in local worker processes or on remote workers, with results in the order of the tasks."""

from __future__ import annotations

import ctypes
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import active_children, get_context
from typing import Protocol, TypeAlias, TypeVar

from curate.system.errors import NurieError
from curate.system.signals import die_with_parent, signals_blocked

Task = TypeVar("Task")
Result = TypeVar("Result")

DEFAULT_PICTURES_PER_TASK = 1000
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from malloc.h
KEPT_FREE_BYTES = 64 << 20  # free memory that is kept: several pictures of four megapixels
MMAP_THRESHOLD_BYTES = 32 << 20  # larger arrays return their memory at once

MakeRetryTasks: TypeAlias = Callable[[Sequence[Task]], list[Task]]
"""Turns the tasks that were running when a worker died into tasks that cannot kill one."""


class RemoteWorkers(Protocol):
    """Workers on other machines; implemented by curate.workers.dask_cluster.DaskCluster."""

    def run(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        pictures_per_task: int,
        make_retry_tasks: MakeRetryTasks[Task] | None = None,
    ) -> Iterator[Result]:
        """Yield `function(task)` for each task, in order; arguments as in `run` below."""


Workers: TypeAlias = int | RemoteWorkers
"""A number of local processes (0 and 1: this process only), or remote workers."""


def run(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: Workers,
    *,
    pictures_per_task: int = DEFAULT_PICTURES_PER_TASK,
    make_retry_tasks: MakeRetryTasks[Task] | None = None,
) -> Generator[Result, None, None]:
    """Yield `function(task)` for each task, in order, on local processes or on remote workers.

    At most three tasks per worker are in flight, so memory does not grow with the number of tasks. `function` must be
    importable by name; an error in it is raised here. Remote workers get small tasks in bundles, sized by
    `pictures_per_task`; there, a task may run twice at the same time.

    Raises NurieError if a worker dies. With `make_retry_tasks`, the tasks that were running are retried in the form
    that it returns, and only a second death is an error; a single worker is then a process of its own, so it can die.
    """
    if not isinstance(workers, int):
        yield from workers.run(function, tasks, pictures_per_task, make_retry_tasks)
    elif workers < 1 or (workers == 1 and make_retry_tasks is None):
        yield from map(function, tasks)
    else:
        tasks, lost = iter(tasks), list[Task]()
        while (running := (yield from _run_until_worker_dies(function, tasks, workers, lost))) is not None:
            if make_retry_tasks is None:
                raise NurieError(_WORKER_DIED_MESSAGE)
            lost = make_retry_tasks(running)


_WORKER_DIED_MESSAGE = "a worker process was killed, perhaps for memory: run it again with fewer --workers"


def _run_until_worker_dies(
    function: Callable[[Task], Result], tasks: Iterator[Task], workers: int, lost: Sequence[Task]
) -> Generator[Result, None, list[Task] | None]:
    """Yield results of `lost` tasks, then of `tasks`; return the running tasks when a worker dies, None at the end.

    Raises NurieError if a worker dies of a lost task: those are expected to be harmless.
    """
    with _process_pool(workers) as pool:
        try:
            with signals_blocked():
                retried = [pool.submit(function, task) for task in lost]
            for future in retried:
                yield future.result()
        except BrokenProcessPool:
            raise NurieError(_WORKER_DIED_MESSAGE) from None
        in_flight: deque[tuple[Task, Future[Result]]] = deque()
        try:
            for task in tasks:
                in_flight.append((task, Future()))  # before it is submitted: a broken pool refuses it
                with signals_blocked():
                    in_flight[-1] = (task, pool.submit(function, task))
                if len(in_flight) >= 3 * workers:
                    yield _pop_first_result(in_flight)
            while in_flight:
                yield _pop_first_result(in_flight)
        except BrokenProcessPool:
            return [task for task, _ in in_flight]
    return None


def _pop_first_result(in_flight: deque[tuple[Task, Future[Result]]]) -> Result:
    """Wait for the first result, then remove its task: if its worker dies meanwhile, the task is still in flight."""
    result = in_flight[0][1].result()
    in_flight.popleft()
    return result


@contextmanager
def _process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    other_processes = set(active_children())
    # spawn, not fork: OpenCV and Arrow have threads, and a lock that is held during a fork never opens
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare_worker)
    try:
        yield pool
        pool.shutdown(wait=True)
    except (KeyboardInterrupt, GeneratorExit):  # nobody waits for the results, and a task may take a minute
        for worker in set(active_children()) - other_processes:
            worker.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare_worker() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # a broken pool ends its other workers by SIGTERM
    threading.Thread(target=die_with_parent, daemon=True).start()
    set_up_worker()


def set_up_worker() -> None:
    """Prepare this process to handle one picture after another: one thread, and memory that is reused.

    Work is parallel across pictures: threads within one would only compete for the same cores.
    """
    import cv2  # noqa: PLC0415  # only workers pay for it
    import pyarrow  # noqa: PLC0415

    cv2.setNumThreads(1)
    pyarrow.set_cpu_count(1)
    _keep_memory()


def _keep_memory() -> None:
    """Keep freed memory: glibc would return it after every picture, which costs a quarter of the time of contour."""
    with suppress(AttributeError, OSError, TypeError):  # another C library than glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_FREE_BYTES)
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
