"""What the commands of `curate` share: addresses of stores, --workers, --scheduler, tag rules, and printed results."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from curate import terminal
from curate.cli.remote_args import RemoteArgs
from curate.system.errors import NurieError, explain_system_errors
from curate.system.hashing import usable_cores
from curate.system.text import escape_unprintable
from curate.terminal import CommandFunction, command_name, print_line, wants_color


def cli_command(show: Callable[[dict[str, Any]], None]) -> Callable[[CommandFunction], Callable[..., None]]:
    """Return the decorator of every command; see curate.terminal.cli_command. Arguments may be addresses of stores."""
    return terminal.cli_command(show, _call_with_stores)


def _call_with_stores(command: CommandFunction, options: dict[str, Any]) -> dict[str, Any]:
    """Call a command with local folders in place of store addresses, then send to the stores what it made there."""
    remote_args = RemoteArgs()
    try:
        with explain_system_errors(command_name()):
            result = command(**remote_args(options))
            remote_args.send_back()
    except NurieError as error:
        raise NurieError(remote_args.translate_error(error)) from None
    return result


dry_run_option = click.option("--dry-run", is_flag=True, help="Say what is due, if anything; write nothing.")
workers_option = click.option(
    "--workers", type=click.IntRange(1), default=usable_cores, show_default="cores", help="Local worker processes."
)


def unwrap_command(command: click.Command) -> CommandFunction:
    """What `cli_command` wraps: a command that returns its result, to be called in its own context."""
    wrapped: CommandFunction = command.callback.__wrapped__  # type: ignore[union-attr]
    return wrapped


def with_scheduler(command: CommandFunction) -> CommandFunction:
    """Add --scheduler, below `cli_command`: the command's `workers` are then a cluster's, and its paths absolute."""

    @click.option("--scheduler", metavar="tcp://HOST:PORT", help="Work on this Dask cluster instead.")
    @functools.wraps(command)
    def run(*, scheduler: str | None, workers: int, **options: Any) -> dict[str, Any]:
        if scheduler is None:
            return command(workers=workers, **options)
        if click.get_current_context().get_parameter_source("workers") is not ParameterSource.DEFAULT:
            raise click.UsageError("--scheduler brings workers of its own: leave --workers out")
        from curate.workers.dask_cluster import connect_cluster  # noqa: PLC0415  # an extra

        paths = {name: value.absolute() for name, value in options.items() if isinstance(value, Path)}
        with connect_cluster(scheduler) as cluster:
            return command(workers=cluster, **options | paths)

    return run


def with_tag_rules(command: CommandFunction) -> CommandFunction:
    """Add --aliases and --implications, as the command's `rules`; below `cli_command`."""

    @click.option("--aliases", type=click.Path(path_type=Path, dir_okay=False), help="File of `alias,tag` lines.")
    @click.option(
        "--implications", type=click.Path(path_type=Path, dir_okay=False), help="File of `implying,implied` lines."
    )
    @functools.wraps(command)
    def run(*, aliases: Path | None, implications: Path | None, **options: Any) -> dict[str, Any]:
        from curate.tags import aliases as alias_files  # noqa: PLC0415  # few commands pay for it

        return command(rules=alias_files.read_rules(aliases, implications), **options)

    return run


def print_summary(result: dict[str, Any]) -> None:
    """Print in = kept + dropped, the seconds, then whatever else the stage counted; faults go to standard error."""
    seconds = result.pop("seconds")
    if "in" in result:
        total, kept, dropped = result.pop("in"), result.pop("kept"), result.pop("dropped")
        reasons = ", ".join(f"{escape_unprintable(reason)} {count:,}" for reason, count in dropped.items() if count)
        shown = f" ({reasons})" if reasons else ""
        sums = f"{total:,} in = {kept:,} kept + {sum(dropped.values()):,} dropped{shown}, {seconds:.1f} s"
    else:
        sums = f"{seconds:.1f} s"
    click.echo(f"{bold(command_name())}: {sums}")
    print_table([["", key.replace("_", " "), _shown(value)] for key, value in result.items() if key != "faults"])
    for fault in result.get("faults", ()):
        print_line(f"Error: {fault}", err=True)


def bold(text: str) -> str:
    """Text to stand out on standard output, where that is a terminal of somebody who wants colours."""
    return click.style(text, bold=True) if wants_color(sys.stdout) else text


def print_table(table: Sequence[Sequence[object]]) -> None:
    """Print rows in columns, text to the left and numbers to the right; None is blank."""
    texts = [["" if cell is None else _shown(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    right = [any(isinstance(cell, int | float) for cell in column) for column in zip(*table, strict=True)]
    for row in texts:
        cells = zip(row, widths, right, strict=True)
        click.echo(
            "  ".join(text.rjust(width) if number else text.ljust(width) for text, width, number in cells).rstrip()
        )


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return ", ".join(f"{escape_unprintable(str(key))} {_shown(one)}" for key, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else escape_unprintable(str(value))


def print_tags(result: dict[str, Any]) -> None:
    """Print tags with their counts, one a line, then the doubtful ones by picture."""
    for tag, count in result["tags"].items():
        print_line(f"{count:>9,}  {tag}{'  (colour)' if tag in result['colors'] else ''}")
    having = f" with {result['with']}" if "with" in result else ""
    print_line(f"{result['distinct']:>9,}  distinct tags on {result['pictures']:,} kept pictures{having}")
    for row in result.get("contradictions", ()):
        print_line(f"{row['path']}: {row['noun']} is {' and '.join(row['colors'])}")
    for row in result.get("unseen", ()):
        print_line(f"{row['path']}: no such colour: {', '.join(row['tags'])}")
    if "unseen" in result:
        told = f"{len(result['contradictions']):,} contradictions, {len(result['unseen']):,} pictures without a"
        print_line(f"{told} colour they are tagged with")


def print_stories(result: dict[str, Any]) -> None:
    """Print the story of each record, a line a stage."""
    for record in result["records"]:
        for line in record["story"]:
            print_line(line)


def print_decisions(result: dict[str, Any]) -> None:
    """Print decisions, one a line, with the number that undoes them."""
    for row in result["decisions"]:
        told = [row["kind"], row["a"], row["b"] or "", ", ".join(row["tags"] or ())]
        undone = "" if row.get("holds", True) else "  (undone)"
        print_line(f"{row['sequence']:>6,}  {' '.join(part for part in told if part)}{undone}")


def print_browse_result(result: dict[str, Any]) -> None:
    """Print what was decided meanwhile, and what is to be done about it."""
    then = "; they hold from the next curate dedupe on" if result["waiting"] else ""
    click.echo(f"{result['decided']:,} decisions noted, {result['waiting']:,} waiting{then}")


def print_faults(result: dict[str, Any]) -> None:
    """Print every fault on a line of its own."""
    for fault in result["faults"]:
        print_line(fault)
    print_line(f"{result['folder']}: {len(result['faults']) or 'no'} faults, {result['seconds']:.1f} s")


PLAN_HEADINGS = {
    "cpu_hours": "CPU h",
    "wall_hours": "hours",
    "disk_gb": "disk GB",
    "exchange_gb": "exchange GB",
    "worker_gb": "GB a worker",
    "node_gb": "GB of one",
}


def print_plan(result: dict[str, Any]) -> None:
    """Print a plan as a table of stages, then what takes most of the time, and where the design bends."""
    from curate.planning.plan import format_estimate  # noqa: PLC0415  # only this command pays for it

    rows = [{**one, "disk_gb": sum(one["disk_gb"].values())} for one in result["stages"]]
    rows.append({"name": "in all", **result["totals"]})
    print_line(" " * 8 + "".join(f"{head:>12}" for head in PLAN_HEADINGS.values()))
    for row in rows:
        print_line(f"{row['name']:8}" + "".join(f"{format_estimate(row[name]):>12}" for name in PLAN_HEADINGS))
    most = result["dominates"]
    share = most["wall_hours"] / result["totals"]["wall_hours"]
    print_line(f"most of the time: {most['stage']}, {most['name']} ({share:.0%})")
    bare = ", ".join(
        f"{format_estimate(result['without_strangers'][name])} {PLAN_HEADINGS[name]}"
        for name in list(PLAN_HEADINGS)[:2]
    )
    print_line(f"with --strangers 0: {bare}")
    print_line(f"raw shards in place of PNG: {format_estimate(result['raw_shards_gb'])} GB")
    print_line("measured on {cores} cores of {cpu}, {python}; what is larger is reckoned".format(**result["machine"]))
