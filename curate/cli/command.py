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

from curate.cli.remote_args import Hand
from curate.system.errors import NurieError, faults_told, printable, printing
from curate.system.hashing import cores
from curate.system.signals import Stopped, stoppable
from curate.workers.progress import QUIET, colored

Command = Callable[..., dict[str, Any]]


class Road(click.Group):
    """Lists its commands in the order of the road, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Names in the order they were added."""
        return list(self.commands)


def tell(line: str, *, err: bool = False) -> None:
    """Print one line, whatever names and tags stand in it."""
    click.echo(printable(line), err=err)


def stage(show: Callable[[str, dict[str, Any]], None]) -> Callable[[Command], Callable[..., None]]:
    """Add --json and --quiet, time the call, `show` its result, and turn our errors into one line and exit code 1.

    SIGINT and SIGTERM stop it, with a line that says how to go on.
    """

    def decorate(command: Command) -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
        @click.option("--quiet", is_flag=True, help="No progress, no talk.")
        @functools.wraps(command)
        def run(*, as_json: bool, quiet: bool, **options: Any) -> None:
            QUIET.set(quiet or as_json)
            name = click.get_current_context().info_name or ""
            started, hand = time.monotonic(), Hand()
            try:
                with stoppable(), faults_told(name):
                    result = command(**hand(options))
                    hand.send()
                result["seconds"] = round(time.monotonic() - started, 3)
                with printing():
                    click.echo(printable(json.dumps(result, ensure_ascii=False))) if as_json else show(name, result)
            except Stopped as stop:
                stop.end(name, fresh=bool(options.get("fresh")))
            except NurieError as error:
                raise click.ClickException(printable(hand.told(error))) from None
            if result.get("faults"):
                raise SystemExit(1)

        return run

    return decorate


dry_run_option = click.option("--dry-run", is_flag=True, help="Say what is due, if anything; write nothing.")
workers_option = click.option(
    "--workers", type=click.IntRange(1), default=cores, show_default="cores", help="Local worker processes."
)


def names_of(found: Callable[[], Iterable[str]]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """For a shell to complete the last of names parted by commas, which are looked for only then."""

    def complete(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
        before, comma, last = typed.rpartition(",")
        return [f"{before}{comma}{name}" for name in found() if name.startswith(last)]

    return complete


def bare(command: click.Command) -> Command:
    """What `stage` wraps: a command that returns its result, to be called in its own context."""
    wrapped: Command = command.callback.__wrapped__  # type: ignore[union-attr]
    return wrapped


def on_cluster(command: Command) -> Command:
    """Add --scheduler, below `stage`: the command's `workers` are then a cluster's, and its paths absolute."""

    @click.option("--scheduler", metavar="tcp://HOST:PORT", help="Work on this Dask cluster instead.")
    @functools.wraps(command)
    def run(*, scheduler: str | None, workers: int, **options: Any) -> dict[str, Any]:
        if scheduler is None:
            return command(workers=workers, **options)
        if click.get_current_context().get_parameter_source("workers") is not ParameterSource.DEFAULT:
            raise click.UsageError("--scheduler brings workers of its own: leave --workers out")
        from curate.workers.dask_cluster import connect  # noqa: PLC0415  # an extra

        paths = {name: value.absolute() for name, value in options.items() if isinstance(value, Path)}
        with connect(scheduler) as cluster:
            return command(workers=cluster, **options | paths)

    return run


def with_rules(command: Command) -> Command:
    """Add --aliases and --implications, as the command's `rules`; below `stage`."""

    @click.option("--aliases", type=click.Path(path_type=Path, dir_okay=False), help="File of `alias,tag` lines.")
    @click.option(
        "--implications", type=click.Path(path_type=Path, dir_okay=False), help="File of `implying,implied` lines."
    )
    @functools.wraps(command)
    def run(*, aliases: Path | None, implications: Path | None, **options: Any) -> dict[str, Any]:
        from curate.tags import aliases as alias_files  # noqa: PLC0415  # few commands pay for it

        return command(rules=alias_files.read(aliases, implications), **options)

    return run


def summary(name: str, result: dict[str, Any]) -> None:
    """Print in = kept + dropped, the seconds, then whatever else the stage counted; faults go to standard error."""
    seconds = result.pop("seconds")
    if "in" in result:
        total, kept, dropped = result.pop("in"), result.pop("kept"), result.pop("dropped")
        reasons = ", ".join(f"{printable(reason)} {count:,}" for reason, count in dropped.items() if count)
        shown = f" ({reasons})" if reasons else ""
        sums = f"{total:,} in = {kept:,} kept + {sum(dropped.values()):,} dropped{shown}, {seconds:.1f} s"
    else:
        sums = f"{seconds:.1f} s"
    click.echo(f"{bold(name)}: {sums}")
    rows([["", key.replace("_", " "), _shown(value)] for key, value in result.items() if key != "faults"])
    for fault in result.get("faults", ()):
        tell(f"Error: {fault}", err=True)


def bold(text: str) -> str:
    """Text to stand out on standard output, where that is a terminal of somebody who wants colours."""
    return click.style(text, bold=True) if colored(sys.stdout) else text


def rows(table: Sequence[Sequence[object]]) -> None:
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
        return ", ".join(f"{printable(str(key))} {_shown(one)}" for key, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else printable(str(value))


def listing(_name: str, result: dict[str, Any]) -> None:
    """Print tags with their counts, one a line, then the doubtful ones by picture."""
    for tag, count in result["tags"].items():
        tell(f"{count:>9,}  {tag}{'  (colour)' if tag in result['colors'] else ''}")
    having = f" with {result['with']}" if "with" in result else ""
    tell(f"{result['distinct']:>9,}  distinct tags on {result['pictures']:,} kept pictures{having}")
    for row in result.get("contradictions", ()):
        tell(f"{row['path']}: {row['noun']} is {' and '.join(row['colors'])}")
    for row in result.get("unseen", ()):
        tell(f"{row['path']}: no such colour: {', '.join(row['tags'])}")
    if "unseen" in result:
        told = f"{len(result['contradictions']):,} contradictions, {len(result['unseen']):,} pictures without a"
        tell(f"{told} colour they are tagged with")


def stories(_name: str, result: dict[str, Any]) -> None:
    """Print the story of each record, a line a stage."""
    for record in result["records"]:
        for line in record["story"]:
            tell(line)


def decided(_name: str, result: dict[str, Any]) -> None:
    """Print decisions, one a line, with the number that undoes them."""
    for row in result["decisions"]:
        told = [row["kind"], row["a"], row["b"] or "", ", ".join(row["tags"] or ())]
        undone = "" if row.get("holds", True) else "  (undone)"
        tell(f"{row['sequence']:>6,}  {' '.join(part for part in told if part)}{undone}")


def browsed(_name: str, result: dict[str, Any]) -> None:
    """Print what was decided meanwhile, and what is to be done about it."""
    then = "; they hold from the next curate dedupe on" if result["waiting"] else ""
    click.echo(f"{result['decided']:,} decisions noted, {result['waiting']:,} waiting{then}")


def faults(_name: str, result: dict[str, Any]) -> None:
    """Print every fault on a line of its own."""
    for fault in result["faults"]:
        tell(fault)
    tell(f"{result['folder']}: {len(result['faults']) or 'no'} faults, {result['seconds']:.1f} s")


HEADS = {
    "cpu_hours": "CPU h",
    "wall_hours": "hours",
    "disk_gb": "disk GB",
    "exchange_gb": "exchange GB",
    "worker_gb": "GB a worker",
    "node_gb": "GB of one",
}


def planned(_name: str, result: dict[str, Any]) -> None:
    """Print a plan as a table of stages, then what takes most of the time, and where the design bends."""
    from curate.planning.plan import rounded  # noqa: PLC0415  # only this command pays for it

    rows = [{**one, "disk_gb": sum(one["disk_gb"].values())} for one in result["stages"]]
    rows.append({"name": "in all", **result["totals"]})
    tell(" " * 8 + "".join(f"{head:>12}" for head in HEADS.values()))
    for row in rows:
        tell(f"{row['name']:8}" + "".join(f"{rounded(row[name]):>12}" for name in HEADS))
    most = result["dominates"]
    share = most["wall_hours"] / result["totals"]["wall_hours"]
    tell(f"most of the time: {most['stage']}, {most['name']} ({share:.0%})")
    bare = ", ".join(f"{rounded(result['without_strangers'][name])} {HEADS[name]}" for name in list(HEADS)[:2])
    tell(f"with --strangers 0: {bare}")
    tell(f"raw shards in place of PNG: {rounded(result['raw_shards_gb'])} GB")
    for limit in result["limits"]:
        tell(f"from {rounded(limit['start'])} {limit['of']}: {limit['what']}; then: {limit['change']}")
    tell("measured on {cores} cores of {cpu}, {python}; what is larger is reckoned".format(**result["machine"]))
