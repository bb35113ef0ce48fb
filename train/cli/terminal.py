"""What `train` adds to `curate.terminal`: quiet loading of TensorFlow, tables of results, progress of a training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from curate import terminal
from curate.terminal import SHARE_BAR, CommandFunction, ProgressBar, print_line
from train.errors import translate_tensorflow_errors
from train.lazy_tensorflow import load_tensorflow

PATH = click.Path(path_type=Path)
SHOWN_LOSSES = {"l1", "discriminator"}


def cli_command(
    show: Callable[[dict[str, Any]], None], *, tensorflow: bool = True
) -> Callable[[CommandFunction], Callable[..., None]]:
    """The decorator of every command, as curate.terminal.cli_command; loads TensorFlow first for those that need it."""
    return terminal.cli_command(show, _call_with_tensorflow if tensorflow else terminal.call_command)


def _call_with_tensorflow(command: CommandFunction, options: dict[str, Any]) -> dict[str, Any]:
    with translate_tensorflow_errors():
        load_tensorflow()
        return command(**options)


def print_table(result: Mapping[str, Any], indent: str = "") -> None:
    """Print names and values in two columns; nested values are indented below their name."""
    titles = {key: key.replace("_", " ") for key in result}
    width = max((len(titles[key]) for key, value in result.items() if not isinstance(value, Mapping)), default=0)
    for key, value in result.items():
        if isinstance(value, Mapping):
            print_line(f"{indent}{titles[key]}")
            print_table(value, indent + "  ")
        else:
            print_line(f"{indent}{titles[key]:{width}}  {_format_value(value)}")


def print_pictures(result: Mapping[str, Any]) -> None:
    """Print how many pictures were written, and the last one, which is the grid if there is one."""
    paths = result["pictures"]
    print_table({"pictures": len(paths), "last": paths[-1], "seconds": result["seconds"]})


def _format_value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


class Throughput:
    """Rate and time left since the first call, as a training that continues starts with part of its work done."""

    def __init__(self) -> None:
        self.baseline: tuple[float, float, int] | None = None
        """Time, share done and count at the first call."""

    def describe(self, share: float, count: int) -> list[str]:
        """Texts of items per second and time left, for a share done (0 to 1) and a count of items.

        Nothing at the first call, and at the first after the share has fallen, when another training begins.
        """
        now = time.monotonic()
        if self.baseline is None or share <= self.baseline[1]:
            self.baseline = (now, share, count)
            return []
        start, start_share, start_count = self.baseline
        elapsed = max(now - start, 1e-9)
        left = elapsed * max(1 - share, 0) / (share - start_share)
        return [f"{(count - start_count) / elapsed:,.1f}/s", f"{tqdm.format_interval(left)} left"]


@contextmanager
def training_progress() -> Iterator[Callable[..., None]]:
    """Yield a callback that shows how much of a training is done, from its share, clock and last figures."""
    throughput = Throughput()
    with ProgressBar("fit", 1.0, SHARE_BAR) as bar:
        bar.last_line_at = float("-inf")  # print the first line at once: the first steps take long

        def show(share: float, clock: Any, figures: Mapping[str, float]) -> None:
            notes = [f"{clock.images_seen:,} pairs seen", *throughput.describe(share, clock.images_seen)]
            notes += [f"{name} {value:.3f}" for name, value in figures.items() if name in SHOWN_LOSSES]
            bar.show_share(share, ", ".join(notes))

        yield show


@contextmanager
def picture_progress(stage: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback that shows how many pictures of how many are done."""
    throughput = Throughput()
    with ProgressBar(stage, 1.0, SHARE_BAR) as bar:

        def show(done: int, total: int) -> None:
            bar.show_share(
                done / total, ", ".join([f"{done:,} of {total:,}", *throughput.describe(done / total, done)])
            )

        yield show
