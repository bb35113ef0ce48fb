"""A progress bar on a terminal, a line now and then without one, nothing when quiet. Always on standard error."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

from tqdm import tqdm

from curate.system.errors import escape_unprintable

QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
LINE_INTERVAL_S = 15.0  # seconds between lines where there is no terminal
BAR_FORMAT = "{desc} {percentage:3.0f}% {bar} {n:,} of {total:,}, {rate_noinv_fmt}, {remaining} left{postfix}"
BYTE_BAR_FORMAT = "{desc} {percentage:3.0f}% {bar} {n_fmt}B of {total_fmt}B, {rate_noinv_fmt}, {remaining} left"


def wants_color(stream: TextIO) -> bool:
    """Whether a stream is a terminal of somebody who wants colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class ProgressBar:
    """Counts pictures done; `advance` may carry counts to show beside it, such as kept and dropped."""

    def __init__(self, stage: str, total: int, unit: str = "") -> None:
        self.stage, self.total, self.done = stage, total, 0
        self.started = self.last_line_at = time.monotonic()
        on_terminal = sys.stderr.isatty() and not QUIET.get()
        self.tqdm = tqdm(
            total=total,
            desc=stage,
            unit=unit,
            unit_scale=bool(unit),
            bar_format=BYTE_BAR_FORMAT if unit else BAR_FORMAT,
            dynamic_ncols=True,
            colour="green" if wants_color(sys.stderr) else None,
            disable=not on_terminal,
            leave=False,
        )
        self.prints_lines = not on_terminal and not QUIET.get()

    def advance(self, pictures: int, **counts: int) -> None:
        """Count `pictures` more as done."""
        self.done += pictures
        self.tqdm.set_postfix_str(_format_counts(counts), refresh=False)
        self.tqdm.update(pictures)
        now = time.monotonic()
        if self.prints_lines and now - self.last_line_at >= LINE_INTERVAL_S:
            self.last_line_at = now
            self._print_line(now, counts)

    def _print_line(self, now: float, counts: dict[str, int]) -> None:
        rate = self.done / max(now - self.started, 1e-9)
        left = tqdm.format_interval((self.total - self.done) / max(rate, 1e-9))
        shown = f", {_format_counts(counts)}" if counts else ""
        print_status(f"{self.stage}: {self.done:,} of {self.total:,}, {rate:,.0f}/s, {left} left{shown}")


def _format_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


class ByteProgressBar(ProgressBar):
    """Counts bytes done, which any thread may tell."""

    def __init__(self, stage: str, total: int) -> None:
        super().__init__(stage, total, "B")
        self.lock = threading.Lock()

    def advance_bytes(self, size: int) -> None:
        """Count `size` bytes more as done."""
        with self.lock:
            self.advance(size)

    def _line(self, now: float, counts: dict[str, int]) -> None:  # noqa: ARG002  # bytes alone are counted
        rate = self.done / max(now - self.started, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        shown = f"{self.done / 1e9:.1f} of {self.total / 1e9:.1f} GB, {rate / 1e9:.2f} GB/s"
        print_status(f"{self.stage}: {shown}, {left:,.0f} s left")


def print_status(line: str) -> None:
    """One line of talk on standard error, unless quiet."""
    if not QUIET.get():
        tqdm.write(escape_unprintable(line), file=sys.stderr)


@contextmanager
def bar(stage: str, total: int) -> Iterator[ProgressBar]:
    """A bar for `total` pictures, closed at the end whatever happens."""
    one = ProgressBar(stage, total)
    try:
        yield one
    finally:
        one.tqdm.close()


@contextmanager
def byte_bar(stage: str, total: int) -> Iterator[ByteProgressBar]:
    """A bar for `total` bytes, closed at the end whatever happens."""
    one = ByteProgressBar(stage, total)
    try:
        yield one
    finally:
        one.tqdm.close()
