"""The commands that make data: `sample`, `extract`, `dedupe`, `select`, `shard` and `copy`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from curate.cli.printing import print_summary
from curate.cli.shared_options import cli_command, dry_run_option, with_scheduler, with_tag_rules, workers_option
from curate.cli.store_arguments import FolderOrAddress, LocalPath
from curate.contract import ENDING_BY_FORMAT
from curate.deduplication.options import SURVIVOR_RULES, DedupeOptions
from curate.extraction.options import ExtractOptions
from curate.shards.options import ShardOptions
from curate.sources import DEFAULT_SAMPLE_SIDE_PX
from curate.system.errors import blame_option
from curate.tags.aliases import TagRules
from curate.terminal import complete_names
from curate.workers.executor import Workers

EXTRACT, DEDUPE, SHARD = ExtractOptions(), DedupeOptions(), ShardOptions()  # with the defaults of all options
SPLIT = f"{DEDUPE.shares.train:g},{DEDUPE.shares.validation:g},{DEDUPE.shares.test:g}"
LOCAL_PATH, FOLDER_OR_ADDRESS = LocalPath(path_type=Path), FolderOrAddress(path_type=Path)


def _line_methods() -> Iterable[str]:
    from curate.images.lineart import LINE_METHODS  # noqa: PLC0415  # loads OpenCV

    return LINE_METHODS


@click.command()
@click.argument("package", type=click.Choice(["openmoji"]))
@click.argument("art", type=LOCAL_PATH)
@click.option(
    "--size",
    type=click.IntRange(16, 4096),
    default=DEFAULT_SAMPLE_SIDE_PX,
    show_default=True,
    help="Side of the pictures, px.",
)
@click.option("--limit", type=click.IntRange(1), help="Draw only the first N pictures.")
@dry_run_option
@workers_option
@cli_command(print_summary)
def sample(
    package: str,  # noqa: ARG001  # there is only one
    art: Path,
    size: int,
    limit: int | None,
    dry_run: bool,
    workers: int,
) -> dict[str, Any]:
    """Draw real art with tags from the demo extra into ART, and the artists' own line art into ART.lines."""
    from curate.planning import staleness  # noqa: PLC0415
    from curate.sources.sample_art import draw_openmoji  # noqa: PLC0415

    if dry_run:
        return {"due": staleness.reason_to_sample(art, size, limit)}
    return draw_openmoji(art, size, workers, limit)


@click.command()
@click.argument("sources", metavar="[NAME=]SOURCE...", nargs=-1, required=True)
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.option(
    "--lines",
    default=",".join(EXTRACT.lines),
    show_default=True,
    help="Line-art methods to store; the first is the default style.",
    shell_complete=complete_names(_line_methods),
)
@click.option(
    "--size", type=click.IntRange(8, 1024), default=EXTRACT.size, show_default=True, help="Side of the pairs, px."
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=EXTRACT.max_pixels,
    show_default=True,
    help="Drop pictures with more pixels.",
)
@click.option(
    "--min-side",
    type=click.IntRange(0),
    default=EXTRACT.min_side,
    show_default=True,
    help="Drop pictures with a shorter side, px.",
)
@click.option(
    "--max-aspect",
    type=click.FloatRange(1),
    help="Drop pictures whose longer side is more than this many times the shorter.",
)
@click.option("--keep-monochrome", is_flag=True, help="Keep pictures without colour: line art, manga, grayscale.")
@click.option("--folder-tags", is_flag=True, help="Use the names of folders as tags, too.")
@click.option("--limit", type=click.IntRange(1), help="Read only the first N files.")
@click.option("--fresh", is_flag=True, help="Start over instead of continuing.")
@click.option(
    "--dry-run", is_flag=True, help="Say what there is to read and whether it fits on the disk; write nothing."
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
    """Read every picture in SOURCE: one record each, its line art, and its pair. Continues where it stopped."""
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
@click.option(
    "--max-distance",
    type=click.IntRange(0, 16),
    default=DEDUPE.max_distance,
    show_default=True,
    help="Bits by which duplicates may differ.",
)
@click.option("--mirror", is_flag=True, help="Also find copies that are mirrored or turned by 90 degrees.")
@click.option(
    "--survivor",
    metavar="RULE",
    default=DEDUPE.survivor,
    show_default=True,
    help="Which duplicate to keep: the one with most pixels, bytes, tags or score, or the first.",
    shell_complete=complete_names(lambda: SURVIVOR_RULES),
)
@click.option("--drop-alternates", is_flag=True, help="Keep one picture of each set of recolours.")
@click.option(
    "--against", "other", metavar="OTHER", type=FOLDER_OR_ADDRESS, help="Drop pictures that this dataset already has."
)
@click.option("--split", default=SPLIT, show_default=True, help="Shares of train, validation and test.")
@click.option(
    "--seed", type=int, default=DEDUPE.shares.seed, show_default=True, help="Decides which family goes to which split."
)
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
    """Find duplicates and recolours, decide which pictures to keep, and split them into train, validation and test.

    Pictures that were compared before are not compared again.
    """
    from curate.deduplication import dedupe as stage_dedupe  # noqa: PLC0415
    from curate.deduplication.family_split import parse_split_shares  # noqa: PLC0415
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
@click.option(
    "--include", metavar="TAG", multiple=True, help="Keep pictures with this tag; if repeated, with all of them."
)
@click.option("--exclude", metavar="TAG", multiple=True, help="Drop pictures with this tag; repeatable.")
@click.option("--where", metavar="EXPRESSION", help='Keep rows for which this is true: "width >= 512 and score > 3".')
@dry_run_option
@cli_command(print_summary)
def select(
    dataset: Path, out: Path, include: tuple[str, ...], exclude: tuple[str, ...], where: str | None, dry_run: bool
) -> dict[str, Any]:
    """Write a smaller manifest for `shard --manifest`. pandas can do it, too: read_parquet("DATASET/manifest")."""
    from curate.planning import staleness  # noqa: PLC0415
    from curate.query.selection import select as stage_select  # noqa: PLC0415

    if dry_run:
        return {"due": staleness.reason_to_select(dataset, out, include, exclude, where)}
    return stage_select(dataset, out, include, exclude, where)


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.argument("shards", type=FOLDER_OR_ADDRESS)
@click.option("--manifest", type=LOCAL_PATH, help="A smaller manifest, from `select` or pandas.")
@click.option(
    "--shard-size", type=click.IntRange(1), default=SHARD.shard_size, show_default=True, help="Most pairs in a shard."
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(ENDING_BY_FORMAT)),
    default=SHARD.format,
    show_default=True,
    help="tfrecord is for `train`, webdataset for PyTorch, imagefolder for Hugging Face's datasets.",
)
@click.option(
    "--encoding",
    type=click.Choice(["png", "raw"]),
    default=SHARD.encoding,
    show_default=True,
    help="How pixels are stored.",
)
@click.option(
    "--min-count",
    type=click.IntRange(1),
    default=SHARD.min_count,
    show_default=True,
    help="Leave rarer tags out of the vocabulary.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=SHARD.seed, show_default=True, help="Decides the order of the pairs."
)
@dry_run_option
@workers_option
@cli_command(print_summary)
@with_scheduler
@with_tag_rules
def shard(
    dataset: Path,
    shards: Path,
    manifest: Path | None,
    shard_size: int,
    format_name: str,
    encoding: str,
    min_count: int,
    seed: int,
    rules: TagRules,
    dry_run: bool,
    workers: Workers,
) -> dict[str, Any]:
    """Pack the kept pairs into shuffled shards, with a vocabulary and an index."""
    from curate.planning import staleness  # noqa: PLC0415
    from curate.shards import shard as stage_shard  # noqa: PLC0415

    options = stage_shard.ShardOptions(shard_size, encoding, min_count, seed, format_name)
    if dry_run:
        return {"due": staleness.reason_to_shard(dataset, shards, options, manifest, rules)}
    return stage_shard.shard(dataset, shards, options, manifest=manifest, rules=rules, workers=workers)


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--replace", is_flag=True, help="Replace whatever dataset or shards TO holds.")
@cli_command(print_summary)
def copy(source: str, target: str, replace: bool) -> dict[str, Any]:
    """Copy a dataset or shard folder to another folder, or to or from a store (s3://bucket/shards), and check it."""
    from curate import storage  # noqa: PLC0415
    from curate.stores.transfer import copy_folder as stage_copy  # noqa: PLC0415

    return stage_copy(storage.parse_address(source), storage.parse_address(target), replace=replace)
