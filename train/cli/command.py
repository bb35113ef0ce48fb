"""What every command of `train` shares: --json, --quiet, progress, and mistakes told in one line."""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import click
from tqdm import tqdm

from curate.system.errors import NurieError, escape_unprintable, explain_stdout_errors, explain_system_errors
from curate.system.signals import StoppedBySignal, stoppable
from train.errors import translate_tensorflow_errors
from train.tensorflow_import import load_tensorflow

CommandFunction = Callable[..., dict[str, Any]]
PROGRESS_LINE_SECONDS = 15.0  # seconds between lines where there is no terminal


def echo_line(line: str, *, err: bool = False) -> None:
    """Print one line, whatever names and tags stand in it."""
    click.echo(escape_unprintable(line), err=err)


def cli_command(
    show: Callable[[dict[str, Any]], None], *, tensorflow: bool = True
) -> Callable[[CommandFunction], Callable[..., None]]:
    """Add --json and --quiet, time the call, `show` its result, and turn our errors into one line and exit code 1.

    SIGINT and SIGTERM stop it, with a line that says how to go on.
    """

    def decorate(command: CommandFunction) -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
        @click.option("--quiet", is_flag=True, help="No progress, no talk.")
        @functools.wraps(command)
        def run(*, as_json: bool, quiet: bool, **options: Any) -> None:
            click.get_current_context().obj = quiet or as_json
            started, name = time.monotonic(), click.get_current_context().info_name or ""
            try:
                with stoppable(), explain_system_errors(name), translate_tensorflow_errors():
                    if tensorflow:
                        load_tensorflow()
                    result = command(**options)
                result["seconds"] = round(time.monotonic() - started, 3)
                with explain_stdout_errors():
                    click.echo(escape_unprintable(json.dumps(result, ensure_ascii=False))) if as_json else show(result)
            except StoppedBySignal as stop:
                stop.exit_with_hint(name, fresh=bool(options.get("fresh")))
            except NurieError as error:
                raise click.ClickException(escape_unprintable(str(error))) from None

        return run

    return decorate


def print_table(result: Mapping[str, Any], indent: str = "") -> None:
    """Names and figures in two columns, nested ones indented below their name."""
    names = {key: key.replace("_", " ") for key in result}
    width = max((len(names[key]) for key, value in result.items() if not isinstance(value, Mapping)), default=0)
    for key, value in result.items():
        if isinstance(value, Mapping):
            echo_line(f"{indent}{names[key]}")
            print_table(value, indent + "  ")
        else:
            echo_line(f"{indent}{names[key]:{width}}  {_shown(value)}")


def print_pictures(result: Mapping[str, Any]) -> None:
    """How many pictures, and where the last one is: the grid, if there is one."""
    paths = result["pictures"]
    print_table({"pictures": len(paths), "last": paths[-1], "seconds": result["seconds"]})


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


class Throughput:
    """Pairs a second and time left, by what was done since the first look: a training that goes on begins midway."""

    def __init__(self) -> None:
        self.baseline: tuple[float, float, int] | None = None

    def describe(self, done: float, pairs: int) -> list[str]:
        """Both as text; nothing at the first look, or the first of another training."""
        now = time.monotonic()
        if self.baseline is None or done <= self.baseline[1]:
            self.baseline = (now, done, pairs)
            return []
        began, from_done, from_pairs = self.baseline
        passed = max(now - began, 1e-9)
        left = passed * max(1 - done, 0) / (done - from_done)
        return [f"{(pairs - from_pairs) / passed:,.1f}/s", f"{tqdm.format_interval(left)} left"]


def _color_allowed() -> bool:
    """Whether a bar may be coloured (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def complete_names(found: Callable[[], Iterable[str]]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """For a shell to complete the last of names parted by commas, which are looked for only then."""

    def complete(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
        before, comma, last = typed.rpartition(",")
        return [f"{before}{comma}{name}" for name in found() if name.startswith(last)]

    return complete


class HashingProgress:
    """Tells how far the bytes of shards are read, and how fast: a bar on a terminal, a line now and then without one.

    Any thread may tell it of bytes that are done.
    """

    def __init__(self, total: int) -> None:
        self.quiet, self.total, self.done = bool(click.get_current_context().obj), total, 0
        self.began = self.last_line_at = time.monotonic()
        self.lock = threading.Lock()
        hidden = self.quiet or not sys.stderr.isatty()
        self.bar = tqdm(total=total, desc="shards", unit="B", unit_scale=True, disable=hidden, leave=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def __call__(self, size: int) -> None:
        """Count `size` bytes more."""
        with self.lock:
            self.done += size
            self.bar.update(size)
            if self.bar.disable and time.monotonic() - self.last_line_at >= PROGRESS_LINE_SECONDS:
                self.last_line_at = time.monotonic()
                self.print_line()

    def print_line(self) -> None:
        """A line of how much is done, and how fast."""
        rate = self.done / max(time.monotonic() - self.began, 1e-9)
        if not self.quiet:
            told = f"{self.done / 1e9:.2f} of {self.total / 1e9:.2f} GB of shards hashed at {rate / 1e9:.2f} GB/s"
            click.echo(f"fit: {told}", err=True)


@contextmanager
def training_progress() -> Iterator[Callable[..., None]]:
    """A bar on a terminal, a line now and then without one, nothing when quiet."""
    pace = Throughput()
    with _progress_bar("fit", 0.0) as show:

        def tell(done: float, clock: Any, figures: Mapping[str, float]) -> None:
            shown = [f"{clock.images_seen:,} pairs seen", *pace.describe(done, clock.images_seen)]
            shown += [f"{name} {value:.3f}" for name, value in figures.items() if name in {"l1", "discriminator"}]
            show(done, shown)

        yield tell


@contextmanager
def picture_progress(stage: str) -> Iterator[Callable[[int, int], None]]:
    """The same for pictures, of which so many are done of how many."""
    pace = Throughput()
    with _progress_bar(stage, time.monotonic()) as show:

        def tell(done: int, total: int) -> None:
            show(done / total, [f"{done:,} of {total:,}", *pace.describe(done / total, done)])

        yield tell


@contextmanager
def _progress_bar(stage: str, told: float) -> Iterator[Callable[[float, list[str]], None]]:
    """What shows a share that is done, with words; `told`: when it last did."""
    quiet = bool(click.get_current_context().obj)
    on_terminal = sys.stderr.isatty() and not quiet
    bar = tqdm(
        total=1.0,
        desc=stage,
        bar_format="{desc} {percentage:3.0f}% {bar}{postfix}",
        dynamic_ncols=True,
        colour="green" if _color_allowed() else None,
        disable=not on_terminal,
        leave=False,
    )

    def show(done: float, words: list[str]) -> None:
        nonlocal told
        bar.set_postfix_str(", ".join(words), refresh=False)
        bar.n = min(done, 1.0)
        bar.refresh()
        if not on_terminal and not quiet and time.monotonic() - told >= PROGRESS_LINE_SECONDS:
            told = time.monotonic()
            click.echo(f"{stage}: {done:.0%}, {', '.join(words)}", err=True)

    try:
        yield show
    finally:
        bar.close()
