"""SIGINT and SIGTERM stop a command and its processes at once, with a line that says how to continue."""

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


class StoppedBySignal(KeyboardInterrupt):  # libraries clean up on KeyboardInterrupt and let it pass
    """SIGINT or SIGTERM was received."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def exit_with_hint(self, command: str, *, fresh: bool) -> NoReturn:
        """Print how to continue, then die by the signal: a shell reports 130 or 143 and leaves its loop."""
        without = ", without --fresh," if fresh else ""
        print(f"{command}: stopped; run the same command again{without} to go on", file=sys.stderr)
        EXIT_SIGNALS.append(self.number)
        raise SystemExit(
            128 + self.number
        )  # this remains if the signal does not kill, as for a container's first process


EXIT_SIGNALS: list[int] = []
"""The signal by which this process will end, if any."""


def _die_by_exit_signal() -> None:
    for number in EXIT_SIGNALS:
        sys.stderr.flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise StoppedBySignal in the block on SIGINT and SIGTERM.

    Ignored signals stay ignored, for example Ctrl-C in a background job. Further signals within a second count as the
    same one: `timeout` signals a process and then its group. Does nothing outside the main thread, because Python
    handles signals only there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    atexit.register(_die_by_exit_signal)  # now, so that it runs after everything the block registers
    last_stop = float("-inf")

    def stop(number: int, _frame: object) -> None:
        nonlocal last_stop
        if time.monotonic() - last_stop > 1:
            last_stop = time.monotonic()
            raise StoppedBySignal(number)

    handled = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) not in {signal.SIG_IGN, None}]
    handlers = {number: signal.signal(number, stop) for number in handled}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block SIGINT and SIGTERM while a process is started: it inherits that, so Ctrl-C reaches only its parent."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def die_with_parent() -> None:
    """Exit when the parent process dies, so that no orphaned worker writes files that the next run writes too."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
