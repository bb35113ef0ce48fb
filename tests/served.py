"""Pages as their commands serve them, each by a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Server(NamedTuple):
    """A command that serves a page."""

    process: int
    address: str
    ready: float
    """Seconds until it told the address."""


@contextmanager
def served(*command: str) -> Iterator[Server]:
    """`curate browse DATASET` or alike, at any free port, ended when the block is."""
    started = time.perf_counter()
    whole = [sys.executable, "-m", *command, "--port", "0"]
    with subprocess.Popen(whole, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = next((found[0] for line in process.stderr if (found := re.findall(r"http://\S+", line))), None)
            assert address is not None, "no address told"
            yield Server(process.pid, address, time.perf_counter() - started)
        finally:
            process.terminate()


def seconds(call: Callable[[], object]) -> float:
    """Wall seconds of a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
