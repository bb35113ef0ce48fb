"""The commands that look at a dataset or change what is kept of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curate.browsing import DEFAULT_HOST, DEFAULT_PORT
from curate.cli.printing import (
    print_browse_result,
    print_decisions,
    print_faults,
    print_plan,
    print_stories,
    print_summary,
    print_tags,
)
from curate.cli.shared_options import cli_command, with_tag_rules
from curate.cli.store_arguments import FolderOrAddress, LocalPath
from curate.tags.aliases import TagRules

LOCAL_PATH, FOLDER_OR_ADDRESS = LocalPath(path_type=Path), FolderOrAddress(path_type=Path)


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.argument("kind", metavar="[KIND]", required=False)
@click.argument("pictures", metavar="[PATH|ID]...", nargs=-1)
@click.option("--tags", metavar="TAGS", help="For retag: the picture's tags, separated by commas.")
@cli_command(print_decisions)
def decide(dataset: Path, kind: str | None, pictures: tuple[str, ...], tags: str | None) -> dict[str, Any]:
    """Overrule dedupe from its next run on. Without KIND, list the decisions.

    \b
    different A B   they are unrelated          keep A    not a duplicate
    duplicate A B   they are the same picture   drop A    leave it out
    alternate A B   they are recolours          retag A   give it other tags
    undo N          take back decision N
    """  # noqa: D301  # click wants the backspace itself
    from curate.dataset import decisions  # noqa: PLC0415

    if kind is not None:
        return {"decisions": [decisions.decide(dataset, kind, pictures, tags)]}
    return {"decisions": decisions.read_with_holds(dataset)}


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.option(
    "--host", default=DEFAULT_HOST, show_default=True, help="Address to listen on; 0.0.0.0 lets other machines connect."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0 takes any free port."
)
@cli_command(print_browse_result)
def browse(dataset: Path, host: str, port: int) -> dict[str, Any]:
    """Look at a dataset in the browser: filter and compare pictures, overrule dedupe, change tags."""
    from curate.browsing.browse import browse as stage_browse  # noqa: PLC0415

    return stage_browse(dataset, host, port)


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.option("--top", type=click.IntRange(1), default=50, show_default=True, help="How many tags to list.")
@click.option("--with", "with_tag", metavar="TAG", help="Count only the pictures that have TAG.")
@click.option(
    "--check", is_flag=True, help="List pictures whose tags contradict each other or name a colour they lack."
)
@cli_command(print_tags)
@with_tag_rules
def tags(dataset: Path, top: int, rules: TagRules, with_tag: str | None, check: bool) -> dict[str, Any]:
    """Count the tags of the kept pictures. Colour tags are marked."""
    from curate.audit.tag_counts import count_tags  # noqa: PLC0415

    return count_tags(dataset, top, rules, with_tag, check=check)


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.argument("page", metavar="REPORT.html", type=LOCAL_PATH)
@cli_command(print_summary)
def report(dataset: Path, page: Path) -> dict[str, Any]:
    """Write an HTML page about a dataset: counts, tags, sizes, copies, recolours, line art, errors, credits."""
    from curate.audit.report import report as stage_report  # noqa: PLC0415

    return stage_report(dataset, page)


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.argument("key", metavar="PATH|ID")
@click.option("--manifest", type=LOCAL_PATH, help="Also say whether this manifest has it.")
@click.option("--shards", type=FOLDER_OR_ADDRESS, help="Also say where it is in these shards.")
@cli_command(print_stories)
def why(dataset: Path, key: str, manifest: Path | None, shards: Path | None) -> dict[str, Any]:
    """Explain what happened to one picture, stage by stage."""
    from curate.audit.explain_picture import why as stage_why  # noqa: PLC0415

    return {"records": stage_why(dataset, key, manifest=manifest, shards=shards)}


@click.command()
@click.argument("dataset", type=FOLDER_OR_ADDRESS)
@click.argument("keys", metavar="ID|artist:NAME|PATH...", nargs=-1, required=True)
@cli_command(print_summary)
def remove(dataset: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Delete pictures on request, for good: pixels, tags and everything but the id or artist that keeps them out.

    Byte copies are deleted, too. Look-alikes with other bytes stay: remove them by their own ids.
    """
    from curate.dataset.remove_pictures import remove as stage_remove  # noqa: PLC0415

    return stage_remove(dataset, keys)


@click.command()
@click.argument("folder", metavar="DATASET|SHARDS", type=FOLDER_OR_ADDRESS)
@cli_command(print_faults)
def verify(folder: Path) -> dict[str, Any]:
    """Check every byte and count of a dataset or shard folder. The exit code is 1 if anything is wrong."""
    from curate.audit.verify import verify as stage_verify  # noqa: PLC0415

    return {"folder": str(folder), "faults": stage_verify(folder)}


@click.command()
@click.option("--pictures", type=click.FloatRange(1), required=True, help="How many; 1e8 is fine.")
@click.option(
    "--megapixels", type=click.FloatRange(0, min_open=True), default=2, show_default=True, help="Of each picture."
)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Cores, on any hosts.")
@click.option("--lines", type=click.IntRange(1), default=3, show_default=True, help="Line-art methods to store.")
@click.option(
    "--strangers",
    type=click.FloatRange(0, 1),
    help="Share of all pairs of different pictures that dedupe must compare.  [default: as for icons in one style]",
)
@cli_command(print_plan)
def plan(pictures: float, megapixels: float, workers: int, lines: int, strangers: float | None) -> dict[str, Any]:
    """Estimate the hours, disk space and memory that a dataset takes, from measurements on one machine."""
    from curate.planning.cost_model import Workload  # noqa: PLC0415
    from curate.planning.plan import plan_report  # noqa: PLC0415

    return plan_report(Workload(pictures, megapixels, workers, lines, strangers))
