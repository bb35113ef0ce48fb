"""The commands that use trained models: `train colorize`, `evaluate`, `show`, `export` and `serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curate.terminal import print_status
from train.cli.terminal import PATH, cli_command, picture_progress, print_pictures, print_table


@click.command()
@click.argument("run", type=PATH)
@click.argument("drawings", metavar="LINE...", nargs=-1, required=True, type=PATH)
@click.argument("out", type=PATH)
@click.option("--tags", "tag_text", default="", metavar="TEXT", help='Tags to colour with: "blue_hair, smile".')
@click.option("--negative", default="", metavar="TEXT", help="Tags to move away from.")
@click.option("--guidance", type=click.FloatRange(0, 10), help="How strongly tags pull: 1, or 2 with --negative.")
@click.option(
    "--count", type=click.IntRange(1), default=8, show_default=True, help="Pairs of a shard folder to colour."
)
@click.option("--seed", type=int, help="Colour other pairs of a shard folder; nothing else is random.")
@click.option(
    "--method",
    type=click.Choice(["resize", "tiles"]),
    default="resize",
    show_default=True,
    help="For drawings larger than the model: enlarge the colours, or sharpen them with tiles.",
)
@click.option("--keep-lines", is_flag=True, help="Lay the drawing's own lines on top, at full resolution.")
@click.option("--keep-transparency", is_flag=True, help="Keep transparent parts of a drawing transparent.")
@click.option("--grid", is_flag=True, help="Also write OUT/grid.png.")
@cli_command(print_pictures)
def colorize(
    run: Path,
    drawings: tuple[Path, ...],
    out: Path,
    tag_text: str,
    negative: str,
    guidance: float | None,
    count: int,
    seed: int | None,
    method: str,
    keep_lines: bool,
    keep_transparency: bool,
    grid: bool,
) -> dict[str, Any]:
    """Colour line drawings of any size, or pairs of a shard folder.

    LINE is a PNG or JPEG, a folder of them, or one shard folder, whose validation pairs are coloured.

    RUN is a run folder, which means its last model, or a model in it: RUN/best.keras or RUN/snapshots/STEP.npz.
    """
    from train.coloring import colorize as stage  # noqa: PLC0415
    from train.data.tags import parse_tags  # noqa: PLC0415

    default_guidance = 2.0 if negative else 1.0
    prompt = stage.TagPrompt(
        tuple(parse_tags(tag_text)),
        tuple(parse_tags(negative)),
        default_guidance if guidance is None else guidance,
    )
    options = stage.ColorizeOptions(method, keep_lines, keep_transparency)
    with picture_progress("colorize") as on_progress:
        return stage.colorize(
            run, drawings, out, prompt, options, count=count, grid=grid, seed=seed, on_progress=on_progress
        )


@click.command()
@click.argument("run", type=PATH)
@click.argument("shards", type=PATH)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="validation",
    show_default=True,
    help="Pairs to colour.",
)
@click.option("--lines", metavar="METHOD", help="Line style to colour.  [default: the first one stored]")
@click.option(
    "--most", type=click.IntRange(1), default=2000, show_default=True, help="Most pairs to colour, in whole families."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the choice of families, the shuffle and intervals."
)
@cli_command(print_table)
def evaluate(run: Path, shards: Path, split: str, lines: str | None, most: int, seed: int) -> dict[str, Any]:
    """Measure how true colours are, and how far tags decide them.

    RUN is a run folder, which means its last model, or a model in it: RUN/best.keras or RUN/snapshots/STEP.npz.
    """
    from train.evaluation import evaluate as stage  # noqa: PLC0415

    with picture_progress("evaluate") as on_progress:
        return dict(stage.evaluate(run, shards, split, lines=lines, most=most, seed=seed, on_progress=on_progress))


@click.command()
@click.argument("run", type=PATH)
@click.argument("out", metavar="[PAGE.html]", type=PATH, required=False)
@cli_command(print_table, tensorflow=False)
def show(run: Path, out: Path | None) -> dict[str, Any]:
    """Write a page about a training: curves, pictures and alarms.

    The training may still be running. PAGE.html is RUN/show.html by default.
    """
    from train.run_page import show as stage  # noqa: PLC0415

    return stage.show(run, out)


@click.command()
@click.argument("run", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["keras", "savedmodel", "onnx", "tflite"]),
    default="keras",
    show_default=True,
    help="Format of the model.",
)
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Output of `train evaluate --json`, for the card.",
)
@cli_command(print_table)
def export(run: Path, out: Path, format_name: str, evaluation: Path | None) -> dict[str, Any]:
    """Write the model of RUN to the folder OUT for other programs.

    OUT gets the model in the chosen format, its vocabulary and a card that describes it.
    """
    from train.exports import export as stage  # noqa: PLC0415

    return stage.export(run, out, format_name, evaluation)


@click.command()
@click.argument("runs", metavar="RUN...", type=PATH, nargs=-1, required=True)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 lets other machines in."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8766, show_default=True, help="0 takes a free one.")
@cli_command(print_table)
def serve(runs: tuple[Path, ...], host: str, port: int) -> dict[str, Any]:
    """Serve a page to draw on and see the drawing coloured.

    Several RUNs are shown side by side.

    RUN is a run folder, which means its last model, or a model in it: RUN/best.keras or RUN/snapshots/STEP.npz.
    """
    from train.serving import serve as stage  # noqa: PLC0415

    return stage.serve(runs, host, port, announce=print_status)


COMMANDS = (colorize, evaluate, show, export, serve)
"""In the order in which `train --help` lists them."""
