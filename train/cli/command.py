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

from curate.system.errors import NurieError, faults_told, printable, printing
from curate.system.signals import Stopped, stoppable
from train.errors import system_told
from train.tensorflow_import import load_tensorflow

Command = Callable[..., dict[str, Any]]
LINE_EVERY = 15.0  # seconds between lines where there is no terminal


def say(line: str, *, err: bool = False) -> None:
    """Print one line, whatever names and tags stand in it."""
    click.echo(printable(line), err=err)


def stage(
    show: Callable[[dict[str, Any]], None], *, tensorflow: bool = True
) -> Callable[[Command], Callable[..., None]]:
    """Add --json and --quiet, time the call, `show` its result, and turn our errors into one line and exit code 1.

    SIGINT and SIGTERM stop it, with a line that says how to go on.
    """

    def decorate(command: Command) -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
        @click.option("--quiet", is_flag=True, help="No progress, no talk.")
        @functools.wraps(command)
        def run(*, as_json: bool, quiet: bool, **options: Any) -> None:
            click.get_current_context().obj = quiet or as_json
            started, name = time.monotonic(), click.get_current_context().info_name or ""
            try:
                with stoppable(), faults_told(name), system_told():
                    if tensorflow:
                        load_tensorflow()
                    result = command(**options)
                result["seconds"] = round(time.monotonic() - started, 3)
                with printing():
                    click.echo(printable(json.dumps(result, ensure_ascii=False))) if as_json else show(result)
            except Stopped as stop:
                stop.end(name, fresh=bool(options.get("fresh")))
            except NurieError as error:
                raise click.ClickException(printable(str(error))) from None

        return run

    return decorate


def table(result: Mapping[str, Any], indent: str = "") -> None:
    """Names and figures in two columns, nested ones indented below their name."""
    names = {key: key.replace("_", " ") for key in result}
    width = max((len(names[key]) for key, value in result.items() if not isinstance(value, Mapping)), default=0)
    for key, value in result.items():
        if isinstance(value, Mapping):
            say(f"{indent}{names[key]}")
            table(value, indent + "  ")
        else:
            say(f"{indent}{names[key]:{width}}  {_shown(value)}")


def pictures(result: Mapping[str, Any]) -> None:
    """How many pictures, and where the last one is: the grid, if there is one."""
    paths = result["pictures"]
    table({"pictures": len(paths), "last": paths[-1], "seconds": result["seconds"]})


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


class Pace:
    """Pairs a second and time left, by what was done since the first look: a training that goes on begins midway."""

    def __init__(self) -> None:
        self.first: tuple[float, float, int] | None = None

    def told(self, done: float, pairs: int) -> list[str]:
        """Both as text; nothing at the first look, or the first of another training."""
        now = time.monotonic()
        if self.first is None or done <= self.first[1]:
            self.first = (now, done, pairs)
            return []
        began, from_done, from_pairs = self.first
        passed = max(now - began, 1e-9)
        left = passed * max(1 - done, 0) / (done - from_done)
        return [f"{(pairs - from_pairs) / passed:,.1f}/s", f"{tqdm.format_interval(left)} left"]


def _colored() -> bool:
    """Whether a bar may be coloured (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def names_of(found: Callable[[], Iterable[str]]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """For a shell to complete the last of names parted by commas, which are looked for only then."""

    def complete(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
        before, comma, last = typed.rpartition(",")
        return [f"{before}{comma}{name}" for name in found() if name.startswith(last)]

    return complete


class Hashing:
    """Tells how far the bytes of shards are read, and how fast: a bar on a terminal, a line now and then without one.

    Any thread may tell it of bytes that are done.
    """

    def __init__(self, total: int) -> None:
        self.quiet, self.total, self.done = bool(click.get_current_context().obj), total, 0
        self.began = self.told = time.monotonic()
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
            if self.bar.disable and time.monotonic() - self.told >= LINE_EVERY:
                self.told = time.monotonic()
                self.say()

    def say(self) -> None:
        """A line of how much is done, and how fast."""
        rate = self.done / max(time.monotonic() - self.began, 1e-9)
        if not self.quiet:
            told = f"{self.done / 1e9:.2f} of {self.total / 1e9:.2f} GB of shards hashed at {rate / 1e9:.2f} GB/s"
            click.echo(f"fit: {told}", err=True)


@contextmanager
def progress() -> Iterator[Callable[..., None]]:
    """A bar on a terminal, a line now and then without one, nothing when quiet."""
    pace = Pace()
    with _shares("fit", 0.0) as show:

        def tell(done: float, clock: Any, figures: Mapping[str, float]) -> None:
            shown = [f"{clock.images_seen:,} pairs seen", *pace.told(done, clock.images_seen)]
            shown += [f"{name} {value:.3f}" for name, value in figures.items() if name in {"l1", "discriminator"}]
            show(done, shown)

        yield tell


@contextmanager
def counting(stage: str) -> Iterator[Callable[[int, int], None]]:
    """The same for pictures, of which so many are done of how many."""
    pace = Pace()
    with _shares(stage, time.monotonic()) as show:

        def tell(done: int, total: int) -> None:
            show(done / total, [f"{done:,} of {total:,}", *pace.told(done / total, done)])

        yield tell


@contextmanager
def _shares(stage: str, told: float) -> Iterator[Callable[[float, list[str]], None]]:
    """What shows a share that is done, with words; `told`: when it last did."""
    quiet = bool(click.get_current_context().obj)
    on_terminal = sys.stderr.isatty() and not quiet
    bar = tqdm(
        total=1.0,
        desc=stage,
        bar_format="{desc} {percentage:3.0f}% {bar}{postfix}",
        dynamic_ncols=True,
        colour="green" if _colored() else None,
        disable=not on_terminal,
        leave=False,
    )

    def show(done: float, words: list[str]) -> None:
        nonlocal told
        bar.set_postfix_str(", ".join(words), refresh=False)
        bar.n = min(done, 1.0)
        bar.refresh()
        if not on_terminal and not quiet and time.monotonic() - told >= LINE_EVERY:
            told = time.monotonic()
            click.echo(f"{stage}: {done:.0%}, {', '.join(words)}", err=True)

    try:
        yield show
    finally:
        bar.close()
