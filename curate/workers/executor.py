"""Run tasks: in this process, in local worker processes, or elsewhere; results come in the order of the tasks."""

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

DEFAULT_PICTURES_PER_TASK = 1000  # that a task is taken to be of, unless told
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as malloc.h has them
KEPT_FREE_BYTES = 64 << 20  # bytes that are free and kept: some pictures of four megapixels
MMAP_THRESHOLD_BYTES = 32 << 20  # bytes of an array from which its memory is given back at once


MakeRetryTasks: TypeAlias = Callable[[Sequence[Task]], list[Task]]
"""Tasks under way when a worker died -> the same, to be done in a way that ends none."""


class RemoteWorkers(Protocol):
    """Workers on other machines, as curate.workers.dask_cluster reaches them."""

    def run(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        pictures_per_task: int,
        make_retry_tasks: MakeRetryTasks[Task] | None = None,
    ) -> Iterator[Result]:
        """Yield `function(task)` for each task of `pictures` pictures, in order; `again` as in `run` below."""


Workers: TypeAlias = int | RemoteWorkers
"""So many local processes, where 0 is none but this one; or others."""


def run(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: Workers,
    *,
    pictures_per_task: int = DEFAULT_PICTURES_PER_TASK,
    make_retry_tasks: MakeRetryTasks[Task] | None = None,
) -> Generator[Result, None, None]:
    """Yield `function(task)` for each task, in order, on `workers` processes (1 = in this one) or on remote workers.

    At most three tasks a worker are in flight, so memory does not grow with the number of tasks. `function` must be
    importable by name; an error in it is raised here. `pictures` tells how many a task is of: remote workers are given
    small ones in bundles, and each may run twice at once.

    Raises NurieError if a worker dies. With `again`, the tasks that were under way then are done once more as it makes
    them anew, so that they end no worker, and only another death is an error; and one worker is a process, too, so that
    it can die.
    """
    if not isinstance(workers, int):
        yield from workers.run(function, tasks, pictures_per_task, make_retry_tasks)
    elif workers < 1 or (workers == 1 and make_retry_tasks is None):
        yield from map(function, tasks)
    else:
        tasks, lost = iter(tasks), list[Task]()
        while (left := (yield from _run_until_worker_dies(function, tasks, workers, lost))) is not None:
            if make_retry_tasks is None:
                raise NurieError(_WORKER_DIED_MESSAGE)
            lost = make_retry_tasks(left)


_WORKER_DIED_MESSAGE = "a worker process was killed, perhaps for memory: run it again with fewer --workers"


def _run_until_worker_dies(
    function: Callable[[Task], Result], tasks: Iterator[Task], workers: int, lost: Sequence[Task]
) -> Generator[Result, None, list[Task] | None]:
    """Results of `lost` tasks, then of others, until a worker dies; returns those under way then, None at the end.

    Raises NurieError if a worker dies of a lost one: it was to be harmless.
    """
    with _process_pool(workers) as pool:
        try:
            with signals_blocked():
                started = [pool.submit(function, task) for task in lost]
            for made in started:
                yield made.result()
        except BrokenProcessPool:
            raise NurieError(_WORKER_DIED_MESSAGE) from None
        flying: deque[tuple[Task, Future[Result]]] = deque()
        try:
            for task in tasks:
                flying.append((task, Future()))  # known before it is under way: a broken pool takes none
                with signals_blocked():
                    flying[-1] = (task, pool.submit(function, task))
                if len(flying) >= 3 * workers:
                    yield _pop_first_result(flying)
            while flying:
                yield _pop_first_result(flying)
        except BrokenProcessPool:
            return [task for task, _ in flying]
    return None


def _pop_first_result(flying: deque[tuple[Task, Future[Result]]]) -> Result:
    """Its result, for which it stays where it is: one that is lost is among those under way."""
    made = flying[0][1].result()
    flying.popleft()
    return made


@contextmanager
def _process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    others = set(active_children())
    # spawn, not fork: OpenCV and Arrow hold threads, and a forked lock may never open
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare_worker)
    try:
        yield pool
        pool.shutdown(wait=True)
    except (KeyboardInterrupt, GeneratorExit):  # nobody waits for the results any more, and a task may take a minute
        for worker in set(active_children()) - others:
            worker.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare_worker() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # by which a broken pool ends the others
    threading.Thread(target=die_with_parent, daemon=True).start()
    set_up_worker()


def set_up_worker() -> None:
    """Make this process one of several that take picture after picture: one thread each, and memory that is kept.

    Parallelism is across pictures: threads inside each would only fight for the same cores.
    """
    import cv2  # noqa: PLC0415  # only workers pay for it
    import pyarrow  # noqa: PLC0415

    cv2.setNumThreads(1)
    pyarrow.set_cpu_count(1)
    _keep_memory()


def _keep_memory() -> None:
    """Without, glibc gives a picture's memory back and asks for the next one's: a quarter of the time by contour."""
    with suppress(AttributeError, OSError, TypeError):  # another C library, or none that Python finds
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_FREE_BYTES)
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
