"""What the command lines `curate` and `train` share: the command decorator, progress bars and safe printing.

Progress and status lines go to standard error, results to standard output. Imports click and tqdm, never TensorFlow.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Self, TextIO

import click
from tqdm import tqdm

from curate.system.errors import NurieError, explain_stdout_errors, explain_system_errors
from curate.system.signals import StoppedBySignal, stoppable
from curate.system.text import escape_unprintable

CommandFunction = Callable[..., dict[str, Any]]
QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
"""Whether --quiet or --json was given. A context variable: as an argument it would pass through every stage."""
LINE_INTERVAL_S = 15.0  # seconds between progress lines when standard error is no terminal
COUNT_BAR = "{desc} {percentage:3.0f}% {bar} {n:,} of {total:,}, {rate_noinv_fmt}, {remaining} left{postfix}"
BYTE_BAR = "{desc} {percentage:3.0f}% {bar} {n_fmt}B of {total_fmt}B, {rate_noinv_fmt}, {remaining} left"
SHARE_BAR = "{desc} {percentage:3.0f}% {bar}{postfix}"


class OrderedGroup(click.Group):
    """A group whose help lists its commands in the order of the pipeline, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names in the order in which the commands were added."""
        return list(self.commands)


def call_command(command: CommandFunction, options: dict[str, Any]) -> dict[str, Any]:
    """Call a command with its options."""
    return command(**options)


def cli_command(
    show: Callable[[dict[str, Any]], None],
    call: Callable[[CommandFunction, dict[str, Any]], dict[str, Any]] = call_command,
) -> Callable[[CommandFunction], Callable[..., None]]:
    """Return a decorator that makes a click command of a function that returns its result as a dict.

    It adds --json and --quiet, times the call and prints the result with `show`. A NurieError becomes one line and exit
    code 1, as do results with `faults`; SIGINT and SIGTERM end with a line that says how to continue. `call` runs the
    command: this is where `train` loads TensorFlow.
    """

    def decorate(command: CommandFunction) -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
        @click.option("--quiet", is_flag=True, help="Print no progress.")
        @functools.wraps(command)
        def run(*, as_json: bool, quiet: bool, **options: Any) -> None:
            token = QUIET.set(quiet or as_json)
            name, started = command_name(), time.monotonic()
            try:
                with stoppable(), explain_system_errors(name):
                    result = call(command, options)
                result["seconds"] = round(time.monotonic() - started, 3)
                with explain_stdout_errors():
                    print_line(json.dumps(result, ensure_ascii=False)) if as_json else show(result)
            except StoppedBySignal as stop:
                stop.exit_with_hint(name, fresh=bool(options.get("fresh")))
            except NurieError as error:
                raise click.ClickException(escape_unprintable(str(error))) from None
            finally:
                QUIET.reset(token)
            if result.get("faults"):
                raise SystemExit(1)

        return run

    return decorate


def command_name() -> str:
    """Return the name of the click command that is running."""
    return click.get_current_context().info_name or ""


def complete_names(names: Callable[[], Iterable[str]]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return a shell completion for the last of several comma-separated names; `names` is called only then."""

    def complete(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
        before, comma, last = typed.rpartition(",")
        return [f"{before}{comma}{name}" for name in names() if name.startswith(last)]

    return complete


def print_line(line: str, *, err: bool = False) -> None:
    """Print one line on standard output, or with `err` on standard error, with unprintable characters escaped."""
    click.echo(escape_unprintable(line), err=err)


def print_status(line: str) -> None:
    """Print one line on standard error, above any progress bar; nothing when quiet."""
    if not QUIET.get():
        tqdm.write(escape_unprintable(line), file=sys.stderr)


def wants_color(stream: TextIO) -> bool:
    """Whether a stream is a terminal whose user allows colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class ProgressBar:
    """A bar on a terminal, a line every LINE_INTERVAL_S seconds elsewhere, nothing when quiet. A context manager."""

    def __init__(self, stage: str, total: float, bar_format: str = COUNT_BAR, unit: str = "") -> None:
        self.stage, self.total, self.done = stage, total, 0
        self.started = self.last_line_at = time.monotonic()
        on_terminal = sys.stderr.isatty() and not QUIET.get()
        self.prints_lines = not on_terminal and not QUIET.get()
        self.tqdm = tqdm(
            total=total,
            desc=stage,
            unit=unit,
            unit_scale=bool(unit),
            bar_format=bar_format,
            dynamic_ncols=True,
            colour="green" if wants_color(sys.stderr) else None,
            disable=not on_terminal,
            leave=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tqdm.close()

    def advance(self, count: int, **counts: int) -> None:
        """Add `count` to what is done; show `counts` beside it, for example kept and dropped."""
        note = ", ".join(f"{name} {number:,}" for name, number in counts.items())
        self.done += count
        self.tqdm.set_postfix_str(note, refresh=False)
        self.tqdm.update(count)
        if self.line_is_due():
            print_status(", ".join([f"{self.stage}: {self.describe()}", *([note] if note else [])]))

    def show_share(self, share: float, note: str) -> None:
        """Show which share of the work is done (0 to 1; it may fall), for a bar of total 1 in SHARE_BAR format."""
        self.tqdm.n = min(share, 1.0)
        self.tqdm.set_postfix_str(note)
        if self.line_is_due():
            print_status(f"{self.stage}: {share:.0%}, {note}")

    def line_is_due(self) -> bool:
        """Whether to print a line now; if so, the next one is due LINE_INTERVAL_S seconds later."""
        now = time.monotonic()
        due = self.prints_lines and now - self.last_line_at >= LINE_INTERVAL_S
        self.last_line_at = now if due else self.last_line_at
        return due

    def rate(self) -> float:
        """Return how much was done per second so far."""
        return self.done / max(time.monotonic() - self.started, 1e-9)

    def describe(self) -> str:
        """Return how much is done, how fast, and how long the rest will take."""
        left = tqdm.format_interval((self.total - self.done) / max(self.rate(), 1e-9))
        return f"{self.done:,} of {self.total:,}, {self.rate():,.0f}/s, {left} left"


class ByteProgressBar(ProgressBar):
    """Progress in bytes, which any thread may report."""

    def __init__(self, stage: str, total: int) -> None:
        super().__init__(stage, total, BYTE_BAR, "B")
        self.lock = threading.Lock()

    def advance_bytes(self, count: int) -> None:
        """Add `count` bytes to what is done."""
        with self.lock:
            self.advance(count)

    def describe(self) -> str:
        """Return how many gigabytes are done, how fast, and how long the rest will take."""
        left = tqdm.format_interval((self.total - self.done) / max(self.rate(), 1e-9))
        return f"{self.done / 1e9:.2f} of {self.total / 1e9:.2f} GB, {self.rate() / 1e9:.2f} GB/s, {left} left"
