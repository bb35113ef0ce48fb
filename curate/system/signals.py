"""SIGINT and SIGTERM end a command at once, and its processes, with a line that says how to go on."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from typing import NoReturn


class StoppedBySignal(KeyboardInterrupt):  # which libraries let through, some of them tidying up on the way
    """SIGINT or SIGTERM came."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def exit_with_hint(self, command: str, *, fresh: bool) -> NoReturn:
        """Say how to go on, and end as the signal would have: a shell tells it as 130 or 143, and ends its loop."""
        without = ", without --fresh," if fresh else ""
        print(f"{command}: stopped; run the same command again{without} to go on", file=sys.stderr)
        EXIT_SIGNALS.append(self.number)
        raise SystemExit(128 + self.number)  # which is what the first process of a container is left with


EXIT_SIGNALS: list[int] = []
"""The signal that this process is ending by, if it is."""


def _die_by_exit_signal() -> None:
    for number in EXIT_SIGNALS:
        sys.stderr.flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped in the block, unless they are ignored, as Ctrl-C is by a background job.

    What follows within a second counts as the same, as `timeout` tells a process and then its group. In another than
    the main thread, where Python hears no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    atexit.register(_die_by_exit_signal)  # now, so that it comes after what the block will have registered
    since = float("-inf")

    def stop(number: int, _frame: object) -> None:
        nonlocal since
        if time.monotonic() - since > 1:
            since = time.monotonic()
            raise StoppedBySignal(number)

    heard = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) not in {signal.SIG_IGN, None}]
    before = {one: signal.signal(one, stop) for one in heard}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """No signal breaks off the start of a process, and the process never hears Ctrl-C: its parent ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_parent() -> None:
    """A killed parent leaves its processes waiting for ever, and writing files that its successor writes too."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
