"""Run a command that serves a page, in its own process."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Server(NamedTuple):
    """A running command that serves a page."""

    process: int
    address: str
    ready: float
    """Seconds until it printed the address."""


@contextmanager
def served(*command: str) -> Iterator[Server]:
    """Run a command, for example `curate browse DATASET`, on a free port until the block ends."""
    started = time.perf_counter()
    arguments = [sys.executable, "-m", *command, "--port", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = next((found[0] for line in process.stderr if (found := re.findall(r"http://\S+", line))), None)
            assert address is not None, "the command printed no address"
            yield Server(process.pid, address, time.perf_counter() - started)
        finally:
            process.terminate()


def seconds(call: Callable[[], object]) -> float:
    """Return the wall-clock seconds of a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
