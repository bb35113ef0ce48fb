"""The commands that make data: art -> dataset -> shards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from curate.cli.command import dry_run_option, names_of, on_cluster, stage, summary, with_rules, workers_option
from curate.cli.remote_args import Folder, Place
from curate.contract import ENDINGS
from curate.tags.aliases import Rules
from curate.workers.executor import Workers

FOLDER, PLACE = Folder(path_type=Path), Place(path_type=Path)


def _methods() -> Iterable[str]:
    from curate.images.lineart import METHODS  # noqa: PLC0415  # costs OpenCV

    return METHODS


def _rules() -> Iterable[str]:
    from curate.deduplication.pictures import RULES  # noqa: PLC0415  # costs Arrow

    return RULES


@click.command()
@click.argument("package", type=click.Choice(["openmoji"]))
@click.argument("art", type=FOLDER)
@click.option("--size", type=click.IntRange(16, 4096), default=512, show_default=True, help="Side in px.")
@click.option("--limit", type=click.IntRange(1), help="Draw only the first N pictures.")
@dry_run_option
@workers_option
@stage(summary)
def sample(
    package: str,  # noqa: ARG001  # there is one
    art: Path,
    size: int,
    limit: int | None,
    dry_run: bool,
    workers: int,
) -> dict[str, Any]:
    """Real art with tags, from the installed demo extra, into ART; the artists' own lines into ART.lines."""
    from curate.planning import staleness  # noqa: PLC0415
    from curate.sources.samples import openmoji  # noqa: PLC0415

    if dry_run:
        return {"due": staleness.sample(art, size, limit)}
    return openmoji(art, size, workers, limit)


@click.command()
@click.argument("sources", metavar="[NAME=]SOURCE...", nargs=-1, required=True)
@click.argument("dataset", type=PLACE)
@click.option(
    "--lines",
    default="contour,dilate,xdog",
    show_default=True,
    help="Line-art methods to store; first = default.",
    shell_complete=names_of(_methods),
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
    from curate.extraction import extract as stage_extract  # noqa: PLC0415
    from curate.planning import staleness  # noqa: PLC0415
    from curate.sources.scan import parse_sources  # noqa: PLC0415

    methods = stage_extract.parse_lines(lines)
    options = stage_extract.Options(methods, size, max_pixels, min_side, max_aspect or 0, keep_monochrome, folder_tags)
    roots = parse_sources(sources)
    if dry_run:
        found = stage_extract.foresee(roots, dataset, options, limit=limit, fresh=fresh)
        return {**found.told(), "due": staleness.extract(found, dataset, fresh=fresh)}
    return stage_extract.extract(roots, dataset, options, workers=workers, limit=limit, fresh=fresh)


@click.command()
@click.argument("dataset", type=PLACE)
@click.option("--max-distance", type=click.IntRange(0, 16), default=8, show_default=True, help="Bits, for duplicates.")
@click.option("--mirror", is_flag=True, help="Seek mirrored copies, and such as lie on their side.")
@click.option(
    "--survivor",
    metavar="RULE",
    default="pixels",
    show_default=True,
    help="Which duplicate is kept: most pixels, bytes, tags, score, or first.",
    shell_complete=names_of(_rules),
)
@click.option("--drop-alternates", is_flag=True, help="Keep one picture of a set of recolours.")
@click.option("--against", "other", metavar="OTHER", type=PLACE, help="Leave out what this dataset has already.")
@click.option("--split", default="0.9,0.05,0.05", show_default=True, help="Shares of train, validation, test.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which family goes to which split.")
@dry_run_option
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
    dry_run: bool,
    workers: Workers,
) -> dict[str, Any]:
    """Find duplicates and recolours; give every picture a role, a family, a split and a fate.

    Pictures it has compared before are not compared again.
    """
    from curate.deduplication import dedupe as stage_dedupe  # noqa: PLC0415
    from curate.deduplication.split import parse_shares  # noqa: PLC0415
    from curate.planning import staleness  # noqa: PLC0415

    options = stage_dedupe.Options(max_distance, drop_alternates, mirror, parse_shares(split, seed), survivor)
    if dry_run:
        return {"due": staleness.dedupe(dataset, options, other)}
    return stage_dedupe.dedupe(dataset, options, other=other, workers=workers)


@click.command()
@click.argument("dataset", type=PLACE)
@click.argument("out", metavar="OUT.parquet", type=FOLDER)
@click.option("--include", metavar="TAG", multiple=True, help="Keep pictures with this tag; repeat: all must hold.")
@click.option("--exclude", metavar="TAG", multiple=True, help="Leave out pictures with this tag.")
@click.option("--where", metavar="EXPRESSION", help='Over the columns: "width >= 512 and score > 3".')
@dry_run_option
@stage(summary)
def select(
    dataset: Path, out: Path, include: tuple[str, ...], exclude: tuple[str, ...], where: str | None, dry_run: bool
) -> dict[str, Any]:
    """Write a smaller manifest for `shard --manifest`. pandas does as well: read_parquet(DATASET/manifest)."""
    from curate.planning import staleness  # noqa: PLC0415
    from curate.query.selection import select as stage_select  # noqa: PLC0415

    if dry_run:
        return {"due": staleness.select(dataset, out, include, exclude, where)}
    return stage_select(dataset, out, include, exclude, where)


@click.command()
@click.argument("dataset", type=PLACE)
@click.argument("shards", type=PLACE)
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
@dry_run_option
@workers_option
@stage(summary)
@on_cluster
@with_rules
def shard(
    dataset: Path,
    shards: Path,
    chosen: Path | None,
    shard_size: int,
    form: str,
    encoding: str,
    min_count: int,
    seed: int,
    rules: Rules,
    dry_run: bool,
    workers: Workers,
) -> dict[str, Any]:
    """Write the kept pairs as shuffled shards with a vocabulary and an index."""
    from curate.planning import staleness  # noqa: PLC0415
    from curate.shards import shard as stage_shard  # noqa: PLC0415

    options = stage_shard.Options(shard_size, encoding, min_count, seed, form)
    if dry_run:
        return {"due": staleness.shard(dataset, shards, options, chosen, rules)}
    return stage_shard.shard(dataset, shards, options, chosen=chosen, rules=rules, workers=workers)


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--replace", is_flag=True, help="Of something else or an older copy in TO: bring it up to FROM.")
@stage(summary)
def copy(source: str, target: str, replace: bool) -> dict[str, Any]:
    """Copy a whole dataset or shard folder to or from a store, as s3://bucket/shards, or another folder; checked."""
    from curate.stores.transfer import copy as stage_copy  # noqa: PLC0415
    from curate.system import storage  # noqa: PLC0415

    return stage_copy(storage.parse(source), storage.parse(target), replace=replace)
