"""Shards in, model and pictures out: parse, call, print. TensorFlow is imported only by the commands that need it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from curate.system import lock
from curate.terminal import ByteProgressBar, OrderedGroup, complete_names, print_status
from train.cli.command import (
    cli_command,
    picture_progress,
    print_pictures,
    print_table,
    training_progress,
)

PATH = click.Path(path_type=Path)
METHOD_HELP = "For what is larger than the model's pairs: enlarge the colours of the whole, or sharpen them by tiles."


def _presets() -> Iterable[str]:
    from train.presets import PRESETS  # noqa: PLC0415  # no other command pays for it

    return ["tags", *PRESETS]


def _settings() -> Iterable[str]:
    from train.config import Config  # noqa: PLC0415  # the same

    return (f"{field.name}=" for field in fields(Config) if field.name != "preset")


@click.group(cls=OrderedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nurie", prog_name="train")
def main() -> None:
    """Shards in, model and pictures out: a network that colours line art as its tags ask.

    \b
    train fit SHARDS RUN                             train; goes on where it stopped
    train evaluate RUN SHARDS                        how well, and how far the tags decide
    train colorize RUN LINE.png OUT --tags "..."     colour your own line art
    train export RUN OUT --format onnx               hand the model on
    """  # noqa: D301  # click reads a real backspace: what follows is not wrapped


@main.command()
@click.argument("shards", type=PATH)
@click.argument("run", type=PATH)
@click.option(
    "--preset", default="tags", show_default=True, help="See `train presets`.", shell_complete=complete_names(_presets)
)
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change one setting; repeatable.",
    shell_complete=complete_names(_settings),
)
@click.option("--steps", type=click.IntRange(1), help="Train this many steps; equal runs are equal.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Train this long, over all sittings.")
@click.option("--seed", type=int, help="Short for --set seed=N.")
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True, help="GPUs that share each batch.")
@click.option("--fresh", is_flag=True, help="Start over instead of going on.")
@click.option("--dry-run", is_flag=True, help="Print devices, resolved config and parameters; train nothing.")
@click.option("--trust", is_flag=True, help="Do not hash the shards first.")
@cli_command(print_table)
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
    from train.config import override  # noqa: PLC0415
    from train.data.pairs import open_index  # noqa: PLC0415
    from train.presets import preset_config as named  # noqa: PLC0415
    from train.training import fit as training  # noqa: PLC0415  # Keras and TensorFlow cost seconds
    from train.training.schedule import TrainingLength  # noqa: PLC0415

    if (steps is None) == (minutes is None) and not dry_run:
        raise click.UsageError("give --steps N or --minutes M")
    seeded = (*settings, f"seed={seed}") if seed is not None else settings
    config = override(named(preset, gpu=training.has_gpu()), seeded)
    lock.check_free(run)  # not only after all is hashed
    if not trust:
        with ByteProgressBar("fit", sum(file.bytes for file in open_index(shards).files.values())) as bar:
            training.check_shards(shards, bar.advance_bytes)
        print_status(f"fit: shards hashed, {bar.describe()}")
    if dry_run:
        return training.describe(config, shards)
    print_status(f"fit: on {', '.join(training.device_names())}")
    with training_progress() as tell:
        length = TrainingLength(steps, minutes)
        return training.fit(shards, run, config, length, fresh=fresh, tell=tell, devices=devices)


@main.command()
@cli_command(print_table, tensorflow=False)
def presets() -> dict[str, Any]:
    """List the presets, each with its source."""
    from train.presets import PRESETS  # noqa: PLC0415

    listed = {name: {"what": one.description, "source": one.source} for name, one in PRESETS.items()}
    return {"tags": {"what": "the default: tags-gpu where there is a GPU, else tags-cpu", "source": ""}, **listed}


@main.command()
@click.argument("shards", type=PATH)
@click.argument("out", type=PATH)
@click.option("--budget-images", "budget", type=click.IntRange(1), required=True, help="Pairs that each rung sees.")
@click.option("--rungs", metavar="A,B,...", help="Only these presets.", shell_complete=complete_names(_presets))
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a setting of every rung.",
    shell_complete=complete_names(_settings),
)
@cli_command(lambda result: click.echo(result["table"]))
def ladder(shards: Path, out: Path, budget: int, rungs: str | None, settings: tuple[str, ...]) -> dict[str, Any]:
    """Train every preset on the same pairs for the same budget: one table, one picture."""
    from train.evaluation.ladder import RUNGS  # noqa: PLC0415
    from train.evaluation.ladder import ladder as stage_ladder  # noqa: PLC0415

    with training_progress() as tell:
        named = rungs.split(",") if rungs else RUNGS
        return stage_ladder(shards, out, named, budget, settings, progress_for=lambda _: tell)


@main.command()
@click.argument("run", type=PATH)
@click.argument("drawings", metavar="LINE...", nargs=-1, required=True, type=PATH)
@click.argument("out", type=PATH)
@click.option("--tags", "wanted", default="", metavar="TEXT", help='As in "blue_hair, smile".')
@click.option("--negative", default="", metavar="TEXT", help="Tags to move away from.")
@click.option("--guidance", type=click.FloatRange(0, 10), help="How strongly tags pull: 1, or 2 with --negative.")
@click.option(
    "--count", type=click.IntRange(1), default=8, show_default=True, help="Pairs of a shard folder to colour."
)
@click.option("--seed", type=int, help="Another choice of those pairs; nothing else here is random.")
@click.option("--method", type=click.Choice(["resize", "tiles"]), default="resize", show_default=True, help=METHOD_HELP)
@click.option("--keep-lines", is_flag=True, help="Lay a drawing's own lines on top, as sharp as they are.")
@click.option("--keep-transparency", is_flag=True, help="Leave clear what is clear in a drawing.")
@click.option("--grid", is_flag=True, help="Also write OUT/grid.png.")
@cli_command(print_pictures)
def colorize(
    run: Path,
    drawings: tuple[Path, ...],
    out: Path,
    wanted: str,
    negative: str,
    guidance: float | None,
    count: int,
    seed: int | None,
    method: str,
    keep_lines: bool,
    keep_transparency: bool,
    grid: bool,
) -> dict[str, Any]:
    """Colour line drawings of any size (PNG, JPEG, folders of them); or validation pairs of a shard folder, by hash.

    RUN is a run folder, for its last model, or a model in it: RUN/best.keras,
    RUN/snapshots/STEP.npz.
    """
    from train.coloring.colorize import ColorizeOptions, TagPrompt  # noqa: PLC0415
    from train.coloring.colorize import colorize as stage_colorize  # noqa: PLC0415
    from train.data.tags import parse_tags  # noqa: PLC0415

    usual = 2.0 if negative else 1.0
    wish = TagPrompt(tuple(parse_tags(wanted)), tuple(parse_tags(negative)), usual if guidance is None else guidance)
    manner = ColorizeOptions(method, keep_lines, keep_transparency)
    with picture_progress("colorize") as tell:
        return stage_colorize(run, drawings, out, wish, manner, count=count, grid=grid, seed=seed, on_progress=tell)


@main.command()
@click.argument("run", type=PATH)
@click.argument("shards", type=PATH)
@click.option("--split", type=click.Choice(["train", "validation", "test"]), default="validation", show_default=True)
@click.option("--lines", metavar="METHOD", help="Line style to colour; the first one stored unless given.")
@click.option("--most", type=click.IntRange(1), default=2000, show_default=True, help="Pairs, of whole families.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice, the shuffle and the bootstrap.")
@cli_command(print_table)
def evaluate(run: Path, shards: Path, split: str, lines: str | None, most: int, seed: int) -> dict[str, Any]:
    """Measure a run's pictures on a split, and how far the tags decide their colours.

    RUN is a run folder, for its last model, or a model in it: RUN/best.keras,
    RUN/snapshots/STEP.npz.
    """
    from train.evaluation.evaluate import evaluate as stage_evaluate  # noqa: PLC0415

    with picture_progress("evaluate") as tell:
        return dict(stage_evaluate(run, shards, split, lines=lines, most=most, seed=seed, on_progress=tell))


@main.command()
@click.argument("run", type=PATH)
@click.argument("out", metavar="[PAGE.html]", type=PATH, required=False)
@cli_command(print_table, tensorflow=False)
def show(run: Path, out: Path | None) -> dict[str, Any]:
    """Write a page on a training, done or not: curves, film strip, alarms, figures. Unless named, RUN/show.html."""
    from train.pages.show import show as stage_show  # noqa: PLC0415

    return stage_show(run, out)


@main.command()
@click.argument("run", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--format", "form", type=click.Choice(["keras", "savedmodel", "onnx", "tflite"]), default="keras", show_default=True
)
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON of `train evaluate`, for the card.",
)
@cli_command(print_table)
def export(run: Path, out: Path, form: str, evaluation: Path | None) -> dict[str, Any]:
    """Hand the model of RUN on: OUT gets it in another format, its vocabulary and a card that says what it is of."""
    from train.exports.export import export as stage_export  # noqa: PLC0415

    return stage_export(run, out, form, evaluation)


@main.command()
@click.argument("runs", metavar="RUN...", type=PATH, nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; others reach 0.0.0.0.")
@click.option("--port", type=click.IntRange(0, 65535), default=8766, show_default=True, help="0: any that is free.")
@cli_command(print_table)
def serve(runs: tuple[Path, ...], host: str, port: int) -> dict[str, Any]:
    """Open a page to draw on and pick tags: see it coloured, by several models side by side if you name them.

    RUN is a run folder, for its last model, or a model in it: RUN/best.keras, RUN/snapshots/STEP.npz.
    """
    from train.serving.serve import serve as stage_serve  # noqa: PLC0415

    return stage_serve(runs, host, port, announce=print_status)
