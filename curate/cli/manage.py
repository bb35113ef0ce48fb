"""The commands that look at data and mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curate.cli.command import (
    cli_command,
    print_browse_result,
    print_decisions,
    print_faults,
    print_plan,
    print_stories,
    print_summary,
    print_tags,
    with_tag_rules,
)
from curate.cli.remote_args import FolderOrAddress, LocalPath
from curate.tags.aliases import TagRules

LOCAL_PATH, FOLDER_OR_ADDRESS = LocalPath(path_type=Path), FolderOrAddress(path_type=Path)


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.argument("kind", metavar="[KIND]", required=False)
@click.argument("pictures", metavar="[PATH|ID]...", nargs=-1)
@click.option("--tags", metavar="TAGS", help="Of retag: what the picture's tags are, parted by commas.")
@cli_command(print_decisions)
def decide(dataset: Path, kind: str | None, pictures: tuple[str, ...], tags: str | None) -> dict[str, Any]:
    """Overrule dedupe, from its next run on; with no KIND, list what was decided.

    \b
    different A B     no look-alikes        keep A      nobody's duplicate
    duplicate A B     one picture twice     drop A      leave it out
    alternate A B     a recolour            retag A     give it other tags
    undo N            take back number N
    """  # noqa: D301  # click wants the backspace itself
    from curate.dataset import decisions  # noqa: PLC0415

    if kind is not None:
        return {"decisions": [decisions.decide(dataset, kind, pictures, tags)]}
    return {"decisions": decisions.read_with_holds(dataset)}


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; others reach 0.0.0.0.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any that is free.")
@cli_command(print_browse_result)
def browse(dataset: Path, host: str, port: int) -> dict[str, Any]:
    """Look at a dataset in the browser: filter, compare, overrule dedupe, retag."""
    from curate.browsing.browse import browse as stage_browse  # noqa: PLC0415

    return stage_browse(dataset, host, port)


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.option("--top", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@click.option("--with", "beside", metavar="TAG", help="Count what goes with TAG: pictures that have it.")
@click.option("--check", is_flag=True, help="List pictures with contradicting tags, or a colour they have nowhere.")
@cli_command(print_tags)
@with_tag_rules
def tags(dataset: Path, top: int, rules: TagRules, beside: str | None, check: bool) -> dict[str, Any]:
    """Count the tags of the kept pictures; colour tags are marked."""
    from curate.audit.tag_counts import count_tags  # noqa: PLC0415

    return count_tags(dataset, top, rules, beside, check=check)


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.argument("page", metavar="REPORT.html", type=LOCAL_PATH)
@cli_command(print_summary)
def report(dataset: Path, page: Path) -> dict[str, Any]:
    """Show it all on one page: counts, tags, sizes, copies and recolours side by side, line art, faults, credits."""
    from curate.audit.report import report as stage_report  # noqa: PLC0415

    return stage_report(dataset, page)


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.argument("key", metavar="PATH|ID")
@click.option("--manifest", "chosen", type=LOCAL_PATH, help="Say whether this manifest chose it.")
@click.option("--shards", type=FOLDER_OR_ADDRESS, help="Say where it lies in these shards.")
@cli_command(print_stories)
def why(dataset: Path, key: str, chosen: Path | None, shards: Path | None) -> dict[str, Any]:
    """Tell one picture's fate, stage by stage."""
    from curate.audit.explain import why as stage_why  # noqa: PLC0415

    return {"records": stage_why(dataset, key, manifest=chosen, shards=shards)}


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.argument("keys", metavar="ID|artist:NAME|PATH...", nargs=-1, required=True)
@cli_command(print_summary)
def remove(dataset: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Take pictures out for ever, on request: pixels, tags, all but an id or an artist's name, which keeps them out.

    Byte copies go along; look-alikes of other bytes stay, and are removed by their own ids.
    """
    from curate.dataset.remove import remove as stage_remove  # noqa: PLC0415

    return stage_remove(dataset, keys)


@click.command()
@click.argument("folder", metavar="DATASET|SHARDS", type=FOLDER_OR_ADDRESS)
@cli_command(print_faults)
def verify(folder: Path) -> dict[str, Any]:
    """Check every byte and count of a dataset or shard folder; exit code 1 if anything is wrong."""
    from curate.audit.verify import verify as stage_verify  # noqa: PLC0415

    return {"folder": str(folder), "faults": stage_verify(folder)}


@click.command()
@click.option("--pictures", type=click.FloatRange(1), required=True, help="How many; 1e8 is a number, too.")
@click.option("--megapixels", type=click.FloatRange(0, min_open=True), default=2, show_default=True, help="Of each.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Cores, on any hosts.")
@click.option("--lines", type=click.IntRange(1), default=3, show_default=True, help="Line-art methods to store.")
@click.option(
    "--strangers",
    type=click.FloatRange(0, 1),
    help="Share of the pairs of unlike pictures that dedupe has to look at.  [default: as of icons in one style]",
)
@cli_command(print_plan)
def plan(pictures: float, megapixels: float, workers: int, lines: int, strangers: float | None) -> dict[str, Any]:
    """Tell what a data set would take: hours, disk, memory, exchange; by what was measured on one machine."""
    from curate.planning.cost_model import Workload  # noqa: PLC0415
    from curate.planning.plan import plan_report  # noqa: PLC0415

    return plan_report(Workload(pictures, megapixels, workers, lines, strangers))
