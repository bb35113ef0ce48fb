"""One command a stage: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curate import __version__
from curate.command import (
    Folder,
    Road,
    decided,
    faults,
    listing,
    on_cluster,
    planned,
    stage,
    stories,
    summary,
    workers_option,
)
from curate.contract import ENDINGS
from curate.engine import Workers

FOLDER = Folder(path_type=Path)


@click.group(cls=Road, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="nurie", prog_name="curate")
def main() -> None:
    """Drawings in, shards out: colour art and tags become line-art/colour pairs for training.

    \b
    curate extract ART DATASET     decode, draw lines, hash, shrink to pairs
    curate dedupe DATASET          duplicates, recolours, splits
    curate shard DATASET SHARDS    what `train fit SHARDS RUN` reads
    """  # noqa: D301  # click wants the backspace itself


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
@click.option("--folder-tags", is_flag=True, help="Take the names of folders as tags too.")
@click.option("--limit", type=click.IntRange(1), help="Read only the first N files.")
@click.option("--fresh", is_flag=True, help="Start over instead of going on.")
@click.option(
    "--dry-run", is_flag=True, help="Count what there is to read and whether it fits the disk; write nothing."
)
@workers_option
@stage(summary)
@on_cluster
def extract(
    sources: tuple[str, ...],
    dataset: Path,
    lines: str,
    size: int,
    max_pixels: int,
    min_side: int,
    max_aspect: float | None,
    keep_monochrome: bool,
    folder_tags: bool,
    limit: int | None,
    fresh: bool,
    dry_run: bool,
    workers: Workers,
) -> dict[str, Any]:
    """Read every file below SOURCE once: record, line art, pair. Goes on where it stopped."""
    from curate import extract as stage_extract  # noqa: PLC0415
    from curate.scan import parse_sources  # noqa: PLC0415

    methods = stage_extract.parse_lines(lines)
    options = stage_extract.Options(methods, size, max_pixels, min_side, max_aspect or 0, keep_monochrome, folder_tags)
    roots = parse_sources(sources)
    if dry_run:
        return stage_extract.dry_run(roots, dataset, options, limit=limit, fresh=fresh)
    return stage_extract.extract(roots, dataset, options, workers=workers, limit=limit, fresh=fresh)


@main.command()
@click.argument("dataset", type=FOLDER)
@click.option("--max-distance", type=click.IntRange(0, 16), default=8, show_default=True, help="Bits, for duplicates.")
@click.option("--mirror", is_flag=True, help="Seek mirrored copies, and such as lie on their side.")
@click.option(
    "--survivor",
    metavar="RULE",
    default="pixels",
    show_default=True,
    help="Which duplicate is kept: most pixels, bytes, tags, score, or first.",
)
@click.option("--drop-alternates", is_flag=True, help="Keep one picture of a set of recolours.")
@click.option("--against", "other", metavar="OTHER", type=FOLDER, help="Leave out what this dataset has already.")
@click.option("--split", default="0.9,0.05,0.05", show_default=True, help="Shares of train, validation, test.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which family goes to which split.")
@workers_option
@stage(summary)
@on_cluster
def dedupe(
    dataset: Path,
    max_distance: int,
    mirror: bool,
    survivor: str,
    drop_alternates: bool,
    other: Path | None,
    split: str,
    seed: int,
    workers: Workers,
) -> dict[str, Any]:
    """Find duplicates and recolours; give every picture a role, a family, a split and a fate.

    Pictures it has compared before are not compared again.
    """
    from curate import dedupe as stage_dedupe  # noqa: PLC0415
    from curate.split import parse_shares  # noqa: PLC0415

    options = stage_dedupe.Options(max_distance, drop_alternates, mirror, parse_shares(split, seed), survivor)
    return stage_dedupe.dedupe(dataset, options, other=other, workers=workers)


@main.command()
@click.argument("dataset", type=FOLDER)
@click.argument("kind", metavar="[KIND]", required=False)
@click.argument("pictures", metavar="[PATH|ID]...", nargs=-1)
@click.option("--tags", metavar="TAGS", help="Of retag: what the picture's tags are, parted by commas.")
@stage(decided)
def decide(dataset: Path, kind: str | None, pictures: tuple[str, ...], tags: str | None) -> dict[str, Any]:
    """Overrule dedupe, from its next run on; with no KIND, list what was decided.

    \b
    different A B     no look-alikes        keep A      nobody's duplicate
    duplicate A B     one picture twice     drop A      leave it out
    alternate A B     a recolour            retag A     give it other tags
    undo N            take back number N
    """  # noqa: D301  # click wants the backspace itself
    from curate import decisions  # noqa: PLC0415

    if kind is not None:
        return {"decisions": [decisions.decide(dataset, kind, pictures, tags)]}
    return {"decisions": decisions.listed(dataset)}


@main.command()
@click.argument("dataset", type=FOLDER)
@click.option("--top", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@click.option("--aliases", type=click.Path(path_type=Path, dir_okay=False), help="File of `alias,tag` lines.")
@click.option(
    "--implications", type=click.Path(path_type=Path, dir_okay=False), help="File of `implying,implied` lines."
)
@click.option("--with", "beside", metavar="TAG", help="Count what goes with TAG: pictures that have it.")
@click.option("--check", is_flag=True, help="List pictures with contradicting tags, or a colour they have nowhere.")
@stage(listing)
def tags(
    dataset: Path, top: int, aliases: Path | None, implications: Path | None, beside: str | None, check: bool
) -> dict[str, Any]:
    """Count the tags of the kept pictures; colour tags are marked."""
    from curate.tally import tally  # noqa: PLC0415

    return tally(dataset, top, aliases, implications, beside, check=check)


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
@click.option(
    "--format",
    "form",
    type=click.Choice(list(ENDINGS)),
    default="tfrecord",
    show_default=True,
    help="`train` reads tfrecord; PyTorch's WebDataset and Hugging Face's datasets the others.",
)
@click.option("--encoding", type=click.Choice(["png", "raw"]), default="png", show_default=True, help="Of the pixels.")
@click.option("--min-count", type=click.IntRange(1), default=5, show_default=True, help="Least pairs a known tag has.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the shuffle.")
@workers_option
@stage(summary)
@on_cluster
def shard(
    dataset: Path,
    shards: Path,
    chosen: Path | None,
    shard_size: int,
    form: str,
    encoding: str,
    min_count: int,
    seed: int,
    workers: Workers,
) -> dict[str, Any]:
    """Write the kept pairs as shuffled shards with a vocabulary and an index."""
    from curate import shards as stage_shard  # noqa: PLC0415

    options = stage_shard.Options(shard_size, encoding, min_count, seed, form)
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
@click.argument("dataset", type=FOLDER)
@click.argument("keys", metavar="ID|artist:NAME|PATH...", nargs=-1, required=True)
@stage(summary)
def remove(dataset: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Take pictures out for ever, on request: pixels, tags, all but an id or an artist's name, which keeps them out.

    Byte copies go along; look-alikes of other bytes stay, and are removed by their own ids.
    """
    from curate.remove import remove as stage_remove  # noqa: PLC0415

    return stage_remove(dataset, keys)


@main.command()
@click.argument("folder", metavar="DATASET|SHARDS", type=FOLDER)
@stage(faults)
def verify(folder: Path) -> dict[str, Any]:
    """Check every byte and count of a dataset or shard folder; exit code 1 if anything is wrong."""
    from curate.verify import verify as stage_verify  # noqa: PLC0415

    return {"folder": str(folder), "faults": stage_verify(folder)}


@main.command()
@click.option("--pictures", type=click.FloatRange(1), required=True, help="How many; 1e8 is a number, too.")
@click.option("--megapixels", type=click.FloatRange(0, min_open=True), default=2, show_default=True, help="Of each.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Cores, on any hosts.")
@click.option("--lines", type=click.IntRange(1), default=3, show_default=True, help="Line-art methods to store.")
@click.option(
    "--strangers",
    type=click.FloatRange(0, 1),
    help="Share of the pairs of unlike pictures that dedupe has to look at.  [default: as of icons in one style]",
)
@stage(planned)
def plan(pictures: float, megapixels: float, workers: int, lines: int, strangers: float | None) -> dict[str, Any]:
    """Tell what a data set would take: hours, disk, memory, exchange; by what was measured on one machine."""
    from curate.needs import Size  # noqa: PLC0415
    from curate.plan import told  # noqa: PLC0415

    return told(Size(pictures, megapixels, workers, lines, strangers))
