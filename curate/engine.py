"""Run tasks: in this process, or in local worker processes; results come in the order of the tasks.

And hold a folder meanwhile, so that no two runs write it at once.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TypeVar

from curate.errors import NurieError

Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold an existing folder; the hold ends with the block or the process. Raises NurieError if another holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NurieError(f"another run is writing {folder}: wait until it ends") from None
        yield
    finally:
        os.close(descriptor)


def run(function: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """Yield `function(task)` for each task, in order, on `workers` processes (1 = in this one).

    At most three tasks a worker are in flight, so memory does not grow with the number of tasks. `function` must be
    importable by name; an error in it is raised here. Raises NurieError if a worker dies.
    """
    if workers <= 1:
        yield from map(function, tasks)
        return
    with _pool(workers) as pool, _deaths_told():
        flying: deque[Future[Result]] = deque()
        for task in tasks:
            flying.append(pool.submit(function, task))
            if len(flying) >= 3 * workers:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()


@contextmanager
def _deaths_told() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise NurieError("a worker process was killed, perhaps for memory: run it again with fewer --workers") from None


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    # spawn, not fork: OpenCV and Arrow hold threads, and a forked lock may never open
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent ends the others
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _single_threaded()


def _die_with_parent() -> None:
    """A killed parent leaves its workers waiting for ever, and writing files that its successor writes too."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _single_threaded() -> None:
    """Parallelism is across pictures: threads inside each would only fight for the same cores."""
    import cv2  # noqa: PLC0415  # only workers pay for it
    import pyarrow  # noqa: PLC0415

    cv2.setNumThreads(1)
    pyarrow.set_cpu_count(1)
