"""The commands that make data: art -> dataset -> shards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from curate.cli.command import (
    cli_command,
    dry_run_option,
    print_summary,
    with_scheduler,
    with_tag_rules,
    workers_option,
)
from curate.cli.remote_args import FolderOrAddress, LocalPath
from curate.contract import ENDING_BY_FORMAT
from curate.system.errors import blame_option
from curate.tags.aliases import TagRules
from curate.terminal import complete_names
from curate.workers.executor import Workers

LOCAL_PATH, FOLDER_OR_ADDRESS = LocalPath(path_type=Path), FolderOrAddress(path_type=Path)


def _line_methods() -> Iterable[str]:
    from curate.images.lineart import LINE_METHODS  # noqa: PLC0415  # costs OpenCV

    return LINE_METHODS


def _survivor_rules() -> Iterable[str]:
    from curate.deduplication.options import SURVIVOR_RULES  # noqa: PLC0415  # costs Arrow

    return SURVIVOR_RULES


@click.command()
@click.argument("package", type=click.Choice(["openmoji"]))
@click.argument("art", type=LOCAL_PATH)
@click.option("--size", type=click.IntRange(16, 4096), default=512, show_default=True, help="Side in px.")
@click.option("--limit", type=click.IntRange(1), help="Draw only the first N pictures.")
@dry_run_option
@workers_option
@cli_command(print_summary)
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
    from curate.sources.samples import draw_openmoji  # noqa: PLC0415

    if dry_run:
        return {"due": staleness.reason_to_sample(art, size, limit)}
    return draw_openmoji(art, size, workers, limit)


@click.command()
@click.argument("sources", metavar="[NAME=]SOURCE...", nargs=-1, required=True)
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.option(
    "--lines",
    default="contour,dilate,xdog",
    show_default=True,
    help="Line-art methods to store; first = default.",
    shell_complete=complete_names(_line_methods),
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
@cli_command(print_summary)
@with_scheduler
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

    with blame_option("lines"):
        methods = stage_extract.parse_line_methods(lines)
    options = stage_extract.ExtractOptions(
        methods, size, max_pixels, min_side, max_aspect or 0, keep_monochrome, folder_tags
    )
    with blame_option("sources"):
        roots = parse_sources(sources)
    if dry_run:
        with blame_option("dataset"):
            forecast = stage_extract.forecast_extract(roots, dataset, options, limit=limit, fresh=fresh)
        return {**forecast.to_json_dict(), "due": staleness.reason_to_extract(forecast, dataset, fresh=fresh)}
    return stage_extract.extract(roots, dataset, options, workers=workers, limit=limit, fresh=fresh)


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.option("--max-distance", type=click.IntRange(0, 16), default=8, show_default=True, help="Bits, for duplicates.")
@click.option("--mirror", is_flag=True, help="Seek mirrored copies, and such as lie on their side.")
@click.option(
    "--survivor",
    metavar="RULE",
    default="pixels",
    show_default=True,
    help="Which duplicate is kept: most pixels, bytes, tags, score, or first.",
    shell_complete=complete_names(_survivor_rules),
)
@click.option("--drop-alternates", is_flag=True, help="Keep one picture of a set of recolours.")
@click.option(
    "--against", "other", metavar="OTHER", type=FOLDER_OR_ADDRESS, help="Leave out what this dataset has already."
)
@click.option("--split", default="0.9,0.05,0.05", show_default=True, help="Shares of train, validation, test.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which family goes to which split.")
@dry_run_option
@workers_option
@cli_command(print_summary)
@with_scheduler
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
    from curate.deduplication.split import parse_split_shares  # noqa: PLC0415
    from curate.planning import staleness  # noqa: PLC0415

    with blame_option("split"):
        shares = parse_split_shares(split, seed)
    with blame_option("survivor"):
        options = stage_dedupe.DedupeOptions(max_distance, drop_alternates, mirror, shares, survivor)
    if dry_run:
        return {"due": staleness.reason_to_dedupe(dataset, options, other)}
    return stage_dedupe.dedupe(dataset, options, against=other, workers=workers)


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.argument("out", metavar="OUT.parquet", type=LOCAL_PATH)
@click.option("--include", metavar="TAG", multiple=True, help="Keep pictures with this tag; repeat: all must hold.")
@click.option("--exclude", metavar="TAG", multiple=True, help="Leave out pictures with this tag.")
@click.option("--where", metavar="EXPRESSION", help='Over the columns: "width >= 512 and score > 3".')
@dry_run_option
@cli_command(print_summary)
def select(
    dataset: Path, out: Path, include: tuple[str, ...], exclude: tuple[str, ...], where: str | None, dry_run: bool
) -> dict[str, Any]:
    """Write a smaller manifest for `shard --manifest`. pandas does as well: read_parquet(DATASET/manifest)."""
    from curate.planning import staleness  # noqa: PLC0415
    from curate.query.selection import select as stage_select  # noqa: PLC0415

    if dry_run:
        return {"due": staleness.reason_to_select(dataset, out, include, exclude, where)}
    return stage_select(dataset, out, include, exclude, where)


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.argument("shards", type=FOLDER_OR_ADDRESS)
@click.option("--manifest", "chosen", type=LOCAL_PATH, help="A smaller manifest, of `select` or pandas.")
@click.option("--shard-size", type=click.IntRange(1), default=4096, show_default=True, help="Most pairs a shard.")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(ENDING_BY_FORMAT)),
    default="tfrecord",
    show_default=True,
    help="`train` reads tfrecord; PyTorch's WebDataset and Hugging Face's datasets the others.",
)
@click.option("--encoding", type=click.Choice(["png", "raw"]), default="png", show_default=True, help="Of the pixels.")
@click.option("--min-count", type=click.IntRange(1), default=5, show_default=True, help="Least pairs a known tag has.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the shuffle.")
@dry_run_option
@workers_option
@cli_command(print_summary)
@with_scheduler
@with_tag_rules
def shard(
    dataset: Path,
    shards: Path,
    chosen: Path | None,
    shard_size: int,
    form: str,
    encoding: str,
    min_count: int,
    seed: int,
    rules: TagRules,
    dry_run: bool,
    workers: Workers,
) -> dict[str, Any]:
    """Write the kept pairs as shuffled shards with a vocabulary and an index."""
    from curate.planning import staleness  # noqa: PLC0415
    from curate.shards import shard as stage_shard  # noqa: PLC0415

    options = stage_shard.ShardOptions(shard_size, encoding, min_count, seed, form)
    if dry_run:
        return {"due": staleness.reason_to_shard(dataset, shards, options, chosen, rules)}
    return stage_shard.shard(dataset, shards, options, manifest=chosen, rules=rules, workers=workers)


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--replace", is_flag=True, help="Of something else or an older copy in TO: bring it up to FROM.")
@cli_command(print_summary)
def copy(source: str, target: str, replace: bool) -> dict[str, Any]:
    """Copy a whole dataset or shard folder to or from a store, as s3://bucket/shards, or another folder; checked."""
    from curate import storage  # noqa: PLC0415
    from curate.stores.transfer import copy_folder as stage_copy  # noqa: PLC0415

    return stage_copy(storage.parse_address(source), storage.parse_address(target), replace=replace)
