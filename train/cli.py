"""Shards in, model and pictures out: parse, call, print. TensorFlow is imported only by the commands that need it."""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from curate.contract import NurieError
from train.tags import parse

FOLDER = click.Path(path_type=Path)
Command = Callable[..., dict[str, Any]]
LINE_EVERY = 15.0  # seconds between lines where there is no terminal


class Road(click.Group):
    """Lists its commands in the order of the road, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Names in the order they were added."""
        return list(self.commands)


@click.group(cls=Road, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nurie", prog_name="train")
def main() -> None:
    """Shards in, model and pictures out: a network that colours line art as its tags ask.

    \b
    train fit SHARDS RUN                             train; goes on where it stopped
    train evaluate RUN SHARDS                        how well, and how far the tags decide
    train colorize RUN LINE.png OUT --tags "..."     colour your own line art
    train export RUN OUT --format onnx               hand the model on
    """  # noqa: D301  # click reads a real backspace: what follows is not wrapped


def load_tensorflow() -> None:
    """Import TensorFlow and look for a GPU, keeping back what its C++ side says of that unless it fails.

    Set TF_CPP_MIN_LOG_LEVEL, to 0 say, to hear it.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            import tensorflow as tf  # noqa: PLC0415  # costs seconds

            tf.config.list_physical_devices()
        except BaseException:
            kept.seek(0)
            os.write(stderr, kept.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def stage(
    show: Callable[[dict[str, Any]], None], *, tensorflow: bool = True
) -> Callable[[Command], Callable[..., None]]:
    """Add --json and --quiet, time the call, `show` its result, and turn our errors into one line and exit code 1."""

    def decorate(command: Command) -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
        @click.option("--quiet", is_flag=True, help="No progress, no talk.")
        @functools.wraps(command)
        def run(*, as_json: bool, quiet: bool, **options: Any) -> None:
            click.get_current_context().obj = quiet or as_json
            started = time.monotonic()
            if tensorflow:
                load_tensorflow()
            try:
                result = command(**options)
            except NurieError as error:
                raise click.ClickException(str(error)) from None
            result["seconds"] = round(time.monotonic() - started, 3)
            click.echo(json.dumps(result, ensure_ascii=False)) if as_json else show(result)

        return run

    return decorate


def table(result: Mapping[str, Any], indent: str = "") -> None:
    """One figure a line, nested ones indented."""
    for key, value in result.items():
        if isinstance(value, Mapping):
            click.echo(f"{indent}{key}:")
            table(value, indent + "  ")
        else:
            click.echo(f"{indent}{key}: {_shown(value)}")


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


@contextmanager
def progress() -> Iterator[Callable[..., None]]:
    """A bar on a terminal, a line now and then without one, nothing when quiet."""
    quiet = bool(click.get_current_context().obj)
    on_terminal = sys.stderr.isatty() and not quiet
    bar = tqdm(total=100, desc="fit", unit="%", disable=not on_terminal, leave=False)
    told = 0.0

    def tell(done: float, clock: Any, figures: Mapping[str, float]) -> None:
        nonlocal told
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if name in {"l1", "discriminator"})
        bar.set_postfix_str(shown, refresh=False)
        bar.update(round(100 * done) - bar.n)
        if not on_terminal and not quiet and time.monotonic() - told >= LINE_EVERY:
            told = time.monotonic()
            click.echo(f"fit: {done:.0%}, {clock.images_seen:,} pairs seen, {shown}", err=True)

    try:
        yield tell
    finally:
        bar.close()


@main.command()
@click.argument("shards", type=FOLDER)
@click.argument("run", type=FOLDER)
@click.option("--preset", default="tags", show_default=True, help="See `train presets`.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change one setting; repeatable.")
@click.option("--steps", type=click.IntRange(1), help="Train this many steps; equal runs are equal.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Train this long, over all sittings.")
@click.option("--seed", type=int, help="Short for --set seed=N.")
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True, help="GPUs that share each batch.")
@click.option("--fresh", is_flag=True, help="Start over instead of going on.")
@click.option("--dry-run", is_flag=True, help="Print devices, resolved config and parameters; train nothing.")
@click.option("--trust", is_flag=True, help="Do not hash the shards first.")
@stage(table)
def fit(
    shards: Path,
    run: Path,
    preset: str,
    settings: tuple[str, ...],
    steps: int | None,
    minutes: float | None,
    seed: int | None,
    devices: int,
    fresh: bool,
    dry_run: bool,
    trust: bool,
) -> dict[str, Any]:
    """Train on SHARDS into the run folder RUN; goes on from its last snapshot."""
    from train import run as training  # noqa: PLC0415  # Keras and TensorFlow cost seconds
    from train.config import override  # noqa: PLC0415
    from train.presets import preset as named  # noqa: PLC0415

    if (steps is None) == (minutes is None) and not dry_run:
        raise click.UsageError("give --steps N or --minutes M")
    seeded = (*settings, f"seed={seed}") if seed is not None else settings
    config = override(named(preset, gpu=training.has_gpu()), seeded)
    if not trust:
        training.check_shards(shards)
    if dry_run:
        return training.describe(config, shards)
    if not click.get_current_context().obj:
        click.echo(f"fit: on {', '.join(training.devices())}", err=True)
    with progress() as tell:
        length = training.Length(steps, minutes)
        return training.fit(shards, run, config, length, fresh=fresh, tell=tell, devices=devices)


@main.command()
@stage(table, tensorflow=False)
def presets() -> dict[str, Any]:
    """List the presets, each with its source."""
    from train.presets import PRESETS  # noqa: PLC0415

    listed = {name: {"what": one.description, "source": one.source} for name, one in PRESETS.items()}
    return {"tags": {"what": "the default: tags-gpu where there is a GPU, else tags-cpu", "source": ""}, **listed}


@main.command()
@click.argument("shards", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--budget-images", "budget", type=click.IntRange(1), required=True, help="Pairs that each rung sees.")
@click.option("--rungs", metavar="A,B,...", help="Only these presets.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change a setting of every rung.")
@stage(lambda result: click.echo(result["table"]))
def ladder(shards: Path, out: Path, budget: int, rungs: str | None, settings: tuple[str, ...]) -> dict[str, Any]:
    """Train every preset on the same pairs for the same budget: one table, one picture."""
    from train.ladder import RUNGS  # noqa: PLC0415
    from train.ladder import ladder as stage_ladder  # noqa: PLC0415

    with progress() as tell:
        named = rungs.split(",") if rungs else RUNGS
        return stage_ladder(shards, out, named, budget, settings, tell=lambda _: tell)


@main.command()
@click.argument("run", type=FOLDER)
@click.argument("drawings", metavar="LINE...", nargs=-1, required=True, type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--tags", "wanted", default="", metavar="TEXT", help='As in "blue_hair, smile".')
@click.option("--negative", default="", metavar="TEXT", help="Tags to move away from.")
@click.option("--guidance", type=click.FloatRange(0, 10), help="How strongly tags pull: 1, or 2 with --negative.")
@click.option(
    "--count", type=click.IntRange(1), default=8, show_default=True, help="Pairs of a shard folder to colour."
)
@click.option("--grid", is_flag=True, help="Also write OUT/grid.png.")
@stage(pictures)
def colorize(
    run: Path,
    drawings: tuple[Path, ...],
    out: Path,
    wanted: str,
    negative: str,
    guidance: float | None,
    count: int,
    grid: bool,
) -> dict[str, Any]:
    """Colour line drawings of any size (PNG, JPEG, folders of them); or validation pairs of a shard folder, by hash."""
    from train.colorize import Wish  # noqa: PLC0415
    from train.colorize import colorize as stage_colorize  # noqa: PLC0415

    usual = 2.0 if negative else 1.0
    wish = Wish(tuple(parse(wanted)), tuple(parse(negative)), usual if guidance is None else guidance)
    return stage_colorize(run, drawings, out, wish, count=count, grid=grid)


@main.command()
@click.argument("run", type=FOLDER)
@click.argument("shards", type=FOLDER)
@click.option("--split", type=click.Choice(["train", "validation", "test"]), default="validation", show_default=True)
@click.option("--lines", metavar="METHOD", help="Line style to colour; the first one stored unless given.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the shuffle and the bootstrap.")
@stage(table)
def evaluate(run: Path, shards: Path, split: str, lines: str | None, seed: int) -> dict[str, Any]:
    """Measure a run's pictures on a split, and how far the tags decide their colours."""
    from train.evaluate import evaluate as stage_evaluate  # noqa: PLC0415

    return stage_evaluate(run, shards, split, lines=lines, seed=seed)


@main.command()
@click.argument("run", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option(
    "--format", "form", type=click.Choice(["keras", "savedmodel", "onnx", "tflite"]), default="keras", show_default=True
)
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON of `train evaluate`, for the card.",
)
@stage(table)
def export(run: Path, out: Path, form: str, evaluation: Path | None) -> dict[str, Any]:
    """Hand the model of RUN on: OUT gets it in another format, its vocabulary and a card that says what it is of."""
    from train.export import export as stage_export  # noqa: PLC0415

    return stage_export(run, out, form, evaluation)
