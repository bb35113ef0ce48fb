"""What the commands of `train` share: TensorFlow is loaded quietly, results are printed, progress is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from curate import terminal
from curate.terminal import SHARE_BAR, CommandFunction, ProgressBar, print_line
from train.errors import translate_tensorflow_errors
from train.tensorflow_import import load_tensorflow


def cli_command(
    show: Callable[[dict[str, Any]], None], *, tensorflow: bool = True
) -> Callable[[CommandFunction], Callable[..., None]]:
    """Return the decorator of every command; see curate.terminal.cli_command. Loads TensorFlow first, if it is used."""
    return terminal.cli_command(show, _call_with_tensorflow if tensorflow else terminal.call_command)


def _call_with_tensorflow(command: CommandFunction, options: dict[str, Any]) -> dict[str, Any]:
    with translate_tensorflow_errors():
        load_tensorflow()
        return command(**options)


def print_table(result: Mapping[str, Any], indent: str = "") -> None:
    """Names and figures in two columns, nested ones indented below their name."""
    names = {key: key.replace("_", " ") for key in result}
    width = max((len(names[key]) for key, value in result.items() if not isinstance(value, Mapping)), default=0)
    for key, value in result.items():
        if isinstance(value, Mapping):
            print_line(f"{indent}{names[key]}")
            print_table(value, indent + "  ")
        else:
            print_line(f"{indent}{names[key]:{width}}  {_shown(value)}")


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


@contextmanager
def training_progress() -> Iterator[Callable[..., None]]:
    """Yield a callback that shows how much of a training is done: called with the share, the clock and the losses."""
    pace = Throughput()
    with ProgressBar("fit", 1.0, SHARE_BAR) as bar:
        bar.last_line_at = float("-inf")  # the first line at once: the first steps take long

        def show(done: float, clock: Any, figures: Mapping[str, float]) -> None:
            notes = [f"{clock.images_seen:,} pairs seen", *pace.describe(done, clock.images_seen)]
            notes += [f"{name} {value:.3f}" for name, value in figures.items() if name in {"l1", "discriminator"}]
            bar.show_share(done, ", ".join(notes))

        yield show


@contextmanager
def picture_progress(stage: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback that shows how many pictures are done: called with their number and the total."""
    pace = Throughput()
    with ProgressBar(stage, 1.0, SHARE_BAR) as bar:

        def show(done: int, total: int) -> None:
            bar.show_share(done / total, ", ".join([f"{done:,} of {total:,}", *pace.describe(done / total, done)]))

        yield show
