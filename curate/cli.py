"""One command a stage: parse, call, print."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from curate import __version__, engine
from curate.contract import NurieError
from curate.progress import QUIET

FOLDER = click.Path(path_type=Path)
Command = Callable[..., dict[str, Any]]


class Road(click.Group):
    """Lists its commands in the order of the road, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Names in the order they were added."""
        return list(self.commands)


@click.group(cls=Road, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="nurie", prog_name="curate")
def main() -> None:
    r"""Drawings in, shards out: colour art and tags become line-art/colour pairs for training.

    \b
    curate extract ART DATASET     decode, draw lines, hash, shrink to pairs
    curate dedupe DATASET          duplicates, recolours, splits
    curate shard DATASET SHARDS    what `train fit SHARDS RUN` reads
    """


def stage(show: Callable[[str, dict[str, Any]], None]) -> Callable[[Command], Callable[..., None]]:
    """Add --json and --quiet, time the call, `show` its result, and turn our errors into one line and exit code 1."""

    def decorate(command: Command) -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
        @click.option("--quiet", is_flag=True, help="No progress, no talk.")
        @functools.wraps(command)
        def run(*, as_json: bool, quiet: bool, **options: Any) -> None:
            QUIET.set(quiet or as_json)
            name = click.get_current_context().info_name or ""
            started = time.monotonic()
            try:
                result = command(**options)
            except NurieError as error:
                raise click.ClickException(str(error)) from None
            except OSError as error:  # a full disk, a folder that may not be read
                raise click.ClickException(f"{error.filename or name}: {error.strerror or error}") from None
            result["seconds"] = round(time.monotonic() - started, 3)
            click.echo(json.dumps(result, ensure_ascii=False)) if as_json else show(name, result)
            if result.get("faults"):
                raise SystemExit(1)

        return run

    return decorate


def summary(name: str, result: dict[str, Any]) -> None:
    """Print in = kept + dropped, the seconds, then whatever else the stage counted."""
    seconds = result.pop("seconds")
    if "in" in result:
        total, kept, dropped = result.pop("in"), result.pop("kept"), result.pop("dropped")
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in dropped.items() if count)
        shown = f" ({reasons})" if reasons else ""
        click.echo(f"{name}: {total:,} in = {kept:,} kept + {sum(dropped.values()):,} dropped{shown}, {seconds:.1f} s")
    else:
        click.echo(f"{name}: {seconds:.1f} s")
    for key, value in result.items():
        click.echo(f"  {key.replace('_', ' ')}: {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(one)}" for key, one in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def listing(_name: str, result: dict[str, Any]) -> None:
    """Print tags with their counts, one a line."""
    for tag, count in result["tags"].items():
        click.echo(f"{count:>9,}  {tag}{'  (colour)' if tag in result['colors'] else ''}")
    click.echo(f"{result['distinct']:>9,}  distinct tags on {result['pictures']:,} kept pictures")


def stories(_name: str, result: dict[str, Any]) -> None:
    """Print the story of each record, a line a stage."""
    for record in result["records"]:
        click.echo("\n".join(record["story"]))


def faults(_name: str, result: dict[str, Any]) -> None:
    """Print every fault on a line of its own."""
    for fault in result["faults"]:
        click.echo(fault)
    click.echo(f"{result['folder']}: {len(result['faults']) or 'no'} faults, {result['seconds']:.1f} s")


workers_option = click.option(
    "--workers", type=click.IntRange(1), default=engine.cores, show_default="cores", help="Local worker processes."
)


@main.command()
@click.argument("package", type=click.Choice(["openmoji"]))
@click.argument("art", type=FOLDER)
@click.option("--size", type=click.IntRange(16, 4096), default=512, show_default=True, help="Side in px.")
@click.option("--limit", type=click.IntRange(1), help="Draw only the first N pictures.")
@workers_option
@stage(summary)
def sample(package: str, art: Path, size: int, limit: int | None, workers: int) -> dict[str, Any]:  # noqa: ARG001
    """Real art with tags, from the installed demo extra, into ART; the artists' own lines into ART.lines."""
    from curate.sample import openmoji  # noqa: PLC0415

    return openmoji(art, size, workers, limit)


@main.command()
@click.argument("sources", metavar="[NAME=]SOURCE...", nargs=-1, required=True)
@click.argument("dataset", type=FOLDER)
@click.option(
    "--lines", default="contour,dilate,xdog", show_default=True, help="Line-art methods to store; first = default."
)
@click.option("--size", type=click.IntRange(8, 1024), default=128, show_default=True, help="Side of the pairs in px.")
@click.option("--max-pixels", type=click.IntRange(1), default=200_000_000, show_default=True, help="Larger is dropped.")
@click.option("--min-side", type=click.IntRange(0), default=0, show_default=True, help="Smaller is dropped; px.")
@click.option("--max-aspect", type=click.FloatRange(1), help="Longer than this many times its width is dropped.")
@click.option("--keep-monochrome", is_flag=True, help="Keep line art, manga pages and shades of gray.")
@click.option("--limit", type=click.IntRange(1), help="Read only the first N files.")
@click.option("--fresh", is_flag=True, help="Start over instead of going on.")
@workers_option
@stage(summary)
def extract(
    sources: tuple[str, ...],
    dataset: Path,
    lines: str,
    size: int,
    max_pixels: int,
    min_side: int,
    max_aspect: float | None,
    keep_monochrome: bool,
    limit: int | None,
    fresh: bool,
    workers: int,
) -> dict[str, Any]:
    """Read every file below SOURCE once: record, line art, pair. Goes on where it stopped."""
    from curate import extract as stage_extract  # noqa: PLC0415
    from curate.scan import parse_sources  # noqa: PLC0415

    methods = stage_extract.parse_lines(lines)
    options = stage_extract.Options(methods, size, max_pixels, min_side, max_aspect or 0, keep_monochrome)
    return stage_extract.extract(parse_sources(sources), dataset, options, workers=workers, limit=limit, fresh=fresh)


@main.command()
@click.argument("dataset", type=FOLDER)
@click.option("--max-distance", type=click.IntRange(0, 16), default=6, show_default=True, help="Bits, for duplicates.")
@click.option("--drop-alternates", is_flag=True, help="Keep one picture of a set of recolours.")
@click.option("--split", default="0.9,0.05,0.05", show_default=True, help="Shares of train, validation, test.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which family goes to which split.")
@stage(summary)
def dedupe(dataset: Path, max_distance: int, drop_alternates: bool, split: str, seed: int) -> dict[str, Any]:
    """Find duplicates and recolours; give every picture a role, a family, a split and a fate."""
    from curate import dedupe as stage_dedupe  # noqa: PLC0415
    from curate.split import parse_shares  # noqa: PLC0415

    options = stage_dedupe.Options(max_distance, drop_alternates, parse_shares(split, seed))
    return stage_dedupe.dedupe(dataset, options)


@main.command()
@click.argument("dataset", type=FOLDER)
@click.option("--top", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@click.option("--aliases", type=click.Path(path_type=Path, dir_okay=False), help="File of `alias,tag` lines.")
@stage(listing)
def tags(dataset: Path, top: int, aliases: Path | None) -> dict[str, Any]:
    """Count the tags of the kept pictures; colour tags are marked."""
    from curate.tally import tally  # noqa: PLC0415

    return tally(dataset, top, aliases)


@main.command()
@click.argument("dataset", type=FOLDER)
@click.argument("out", metavar="OUT.parquet", type=FOLDER)
@click.option("--include", metavar="TAG", multiple=True, help="Keep pictures with this tag; repeat: all must hold.")
@click.option("--exclude", metavar="TAG", multiple=True, help="Leave out pictures with this tag.")
@click.option("--where", metavar="EXPRESSION", help='Over the columns: "width >= 512 and score > 3".')
@stage(summary)
def select(
    dataset: Path, out: Path, include: tuple[str, ...], exclude: tuple[str, ...], where: str | None
) -> dict[str, Any]:
    """Write a smaller manifest for `shard --manifest`. pandas does as well: read_parquet(DATASET/manifest)."""
    from curate.select import select as stage_select  # noqa: PLC0415

    return stage_select(dataset, out, include, exclude, where)


@main.command()
@click.argument("dataset", type=FOLDER)
@click.argument("shards", type=FOLDER)
@click.option("--manifest", "chosen", type=FOLDER, help="A smaller manifest, of `select` or pandas.")
@click.option("--shard-size", type=click.IntRange(1), default=4096, show_default=True, help="Most pairs a shard.")
@click.option("--encoding", type=click.Choice(["png", "raw"]), default="png", show_default=True, help="Of the pixels.")
@click.option("--min-count", type=click.IntRange(1), default=5, show_default=True, help="Least pairs a known tag has.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the shuffle.")
@workers_option
@stage(summary)
def shard(
    dataset: Path,
    shards: Path,
    chosen: Path | None,
    shard_size: int,
    encoding: str,
    min_count: int,
    seed: int,
    workers: int,
) -> dict[str, Any]:
    """Write the kept pairs as shuffled TFRecord shards with a vocabulary and an index."""
    from curate import shards as stage_shard  # noqa: PLC0415

    options = stage_shard.Options(shard_size, encoding, min_count, seed)
    return stage_shard.shard(dataset, shards, options, chosen=chosen, workers=workers)


@main.command()
@click.argument("dataset", type=FOLDER)
@click.argument("key", metavar="PATH|ID")
@click.option("--manifest", "chosen", type=FOLDER, help="Say whether this manifest chose it.")
@click.option("--shards", type=FOLDER, help="Say where it lies in these shards.")
@stage(stories)
def why(dataset: Path, key: str, chosen: Path | None, shards: Path | None) -> dict[str, Any]:
    """Tell one picture's fate, stage by stage."""
    from curate.why import why as stage_why  # noqa: PLC0415

    return {"records": stage_why(dataset, key, chosen=chosen, shards=shards)}


@main.command()
@click.argument("folder", metavar="DATASET|SHARDS", type=FOLDER)
@stage(faults)
def verify(folder: Path) -> dict[str, Any]:
    """Check every byte and count of a dataset or shard folder; exit code 1 if anything is wrong."""
    from curate.verify import verify as stage_verify  # noqa: PLC0415

    return {"folder": str(folder), "faults": stage_verify(folder)}
