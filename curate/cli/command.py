"""What commands share: order, --json, --quiet, --workers, --scheduler, the clock, errors in a line, results printed."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from curate.cli.remote_args import RemoteArgs
from curate.system.errors import NurieError, escape_unprintable, explain_stdout_errors, explain_system_errors
from curate.system.hashing import usable_cores
from curate.system.signals import StoppedBySignal, stoppable
from curate.workers.progress import QUIET, wants_color

CommandFunction = Callable[..., dict[str, Any]]


class OrderedGroup(click.Group):
    """Lists its commands in the order of the road, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Names in the order they were added."""
        return list(self.commands)


def print_line(line: str, *, err: bool = False) -> None:
    """Print one line, whatever names and tags stand in it."""
    click.echo(escape_unprintable(line), err=err)


def cli_command(show: Callable[[str, dict[str, Any]], None]) -> Callable[[CommandFunction], Callable[..., None]]:
    """Add --json and --quiet, time the call, `show` its result, and turn our errors into one line and exit code 1.

    SIGINT and SIGTERM stop it, with a line that says how to go on.
    """

    def decorate(command: CommandFunction) -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
        @click.option("--quiet", is_flag=True, help="No progress, no talk.")
        @functools.wraps(command)
        def run(*, as_json: bool, quiet: bool, **options: Any) -> None:
            QUIET.set(quiet or as_json)
            name = click.get_current_context().info_name or ""
            started, hand = time.monotonic(), RemoteArgs()
            try:
                with stoppable(), explain_system_errors(name):
                    result = command(**hand(options))
                    hand.send_back()
                result["seconds"] = round(time.monotonic() - started, 3)
                with explain_stdout_errors():
                    click.echo(escape_unprintable(json.dumps(result, ensure_ascii=False))) if as_json else show(
                        name, result
                    )
            except StoppedBySignal as stop:
                stop.exit_with_hint(name, fresh=bool(options.get("fresh")))
            except NurieError as error:
                raise click.ClickException(escape_unprintable(hand.translate_error(error))) from None
            if result.get("faults"):
                raise SystemExit(1)

        return run

    return decorate


dry_run_option = click.option("--dry-run", is_flag=True, help="Say what is due, if anything; write nothing.")
workers_option = click.option(
    "--workers", type=click.IntRange(1), default=usable_cores, show_default="cores", help="Local worker processes."
)


def complete_names(found: Callable[[], Iterable[str]]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """For a shell to complete the last of names parted by commas, which are looked for only then."""

    def complete(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
        before, comma, last = typed.rpartition(",")
        return [f"{before}{comma}{name}" for name in found() if name.startswith(last)]

    return complete


def unwrap_command(command: click.Command) -> CommandFunction:
    """What `stage` wraps: a command that returns its result, to be called in its own context."""
    wrapped: CommandFunction = command.callback.__wrapped__  # type: ignore[union-attr]
    return wrapped


def with_scheduler(command: CommandFunction) -> CommandFunction:
    """Add --scheduler, below `stage`: the command's `workers` are then a cluster's, and its paths absolute."""

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
    """Add --aliases and --implications, as the command's `rules`; below `stage`."""

    @click.option("--aliases", type=click.Path(path_type=Path, dir_okay=False), help="File of `alias,tag` lines.")
    @click.option(
        "--implications", type=click.Path(path_type=Path, dir_okay=False), help="File of `implying,implied` lines."
    )
    @functools.wraps(command)
    def run(*, aliases: Path | None, implications: Path | None, **options: Any) -> dict[str, Any]:
        from curate.tags import aliases as alias_files  # noqa: PLC0415  # few commands pay for it

        return command(rules=alias_files.read_rules(aliases, implications), **options)

    return run


def print_summary(name: str, result: dict[str, Any]) -> None:
    """Print in = kept + dropped, the seconds, then whatever else the stage counted; faults go to standard error."""
    seconds = result.pop("seconds")
    if "in" in result:
        total, kept, dropped = result.pop("in"), result.pop("kept"), result.pop("dropped")
        reasons = ", ".join(f"{escape_unprintable(reason)} {count:,}" for reason, count in dropped.items() if count)
        shown = f" ({reasons})" if reasons else ""
        sums = f"{total:,} in = {kept:,} kept + {sum(dropped.values()):,} dropped{shown}, {seconds:.1f} s"
    else:
        sums = f"{seconds:.1f} s"
    click.echo(f"{bold(name)}: {sums}")
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


def print_tags(_name: str, result: dict[str, Any]) -> None:
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


def print_stories(_name: str, result: dict[str, Any]) -> None:
    """Print the story of each record, a line a stage."""
    for record in result["records"]:
        for line in record["story"]:
            print_line(line)


def print_decisions(_name: str, result: dict[str, Any]) -> None:
    """Print decisions, one a line, with the number that undoes them."""
    for row in result["decisions"]:
        told = [row["kind"], row["a"], row["b"] or "", ", ".join(row["tags"] or ())]
        undone = "" if row.get("holds", True) else "  (undone)"
        print_line(f"{row['sequence']:>6,}  {' '.join(part for part in told if part)}{undone}")


def print_browse_result(_name: str, result: dict[str, Any]) -> None:
    """Print what was decided meanwhile, and what is to be done about it."""
    then = "; they hold from the next curate dedupe on" if result["waiting"] else ""
    click.echo(f"{result['decided']:,} decisions noted, {result['waiting']:,} waiting{then}")


def print_faults(_name: str, result: dict[str, Any]) -> None:
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


def print_plan(_name: str, result: dict[str, Any]) -> None:
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
    for limit in result["limits"]:
        print_line(f"from {format_estimate(limit['start'])} {limit['of']}: {limit['what']}; then: {limit['change']}")
    print_line("measured on {cores} cores of {cpu}, {python}; what is larger is reckoned".format(**result["machine"]))
