"""How each command prints its result for people; with --json, curate.terminal prints the result as it is."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from curate.system.text import escape_unprintable
from curate.terminal import command_name, print_line, wants_color


def print_summary(result: dict[str, Any]) -> None:
    """Print in = kept + dropped and the seconds, then the stage's other counts. Faults go to standard error."""
    seconds = result.pop("seconds")
    if "in" in result:
        total, kept, dropped = result.pop("in"), result.pop("kept"), result.pop("dropped")
        reasons = ", ".join(f"{escape_unprintable(reason)} {count:,}" for reason, count in dropped.items() if count)
        note = f" ({reasons})" if reasons else ""
        line = f"{total:,} in = {kept:,} kept + {sum(dropped.values()):,} dropped{note}, {seconds:.1f} s"
    else:
        line = f"{seconds:.1f} s"
    click.echo(f"{bold(command_name())}: {line}")
    print_table([["", key.replace("_", " "), _format_value(value)] for key, value in result.items() if key != "faults"])
    for fault in result.get("faults", ()):
        print_line(f"Error: {fault}", err=True)


def bold(text: str) -> str:
    """Text in bold if standard output is a terminal that shows colours."""
    return click.style(text, bold=True) if wants_color(sys.stdout) else text


def print_table(table: Sequence[Sequence[object]]) -> None:
    """Print rows as columns, text aligned left and numbers right; None is blank."""
    texts = [["" if cell is None else _format_value(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    is_number = [any(isinstance(cell, int | float) for cell in column) for column in zip(*table, strict=True)]
    for row in texts:
        cells = zip(row, widths, is_number, strict=True)
        click.echo(
            "  ".join(text.rjust(width) if number else text.ljust(width) for text, width, number in cells).rstrip()
        )


def _format_value(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return (
            ", ".join(f"{escape_unprintable(str(key))} {_format_value(item)}" for key, item in value.items()) or "none"
        )
    if isinstance(value, list):
        return ", ".join(map(_format_value, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else escape_unprintable(str(value))


def print_tags(result: dict[str, Any]) -> None:
    """Print each tag with its count on one line, then the doubtful tags by picture."""
    for tag, count in result["tags"].items():
        print_line(f"{count:>9,}  {tag}{'  (colour)' if tag in result['colors'] else ''}")
    with_tag = f" with {result['with']}" if "with" in result else ""
    print_line(f"{result['distinct']:>9,}  distinct tags on {result['pictures']:,} kept pictures{with_tag}")
    for row in result.get("contradictions", ()):
        print_line(f"{row['path']}: {row['noun']} is {' and '.join(row['colors'])}")
    for row in result.get("unseen", ()):
        print_line(f"{row['path']}: colour not in the picture: {', '.join(row['tags'])}")
    if "unseen" in result:
        contradictions, unseen = len(result["contradictions"]), len(result["unseen"])
        print_line(f"{contradictions:,} contradictions, {unseen:,} pictures without a colour they are tagged with")


def print_stories(result: dict[str, Any]) -> None:
    """Print the story of each record, a line for each stage."""
    for record in result["records"]:
        for line in record["story"]:
            print_line(line)


def print_decisions(result: dict[str, Any]) -> None:
    """Print one decision per line, with the number that undoes it."""
    for row in result["decisions"]:
        parts = [row["kind"], row["a"], row["b"] or "", ", ".join(row["tags"] or ())]
        undone = "" if row.get("holds", True) else "  (undone)"
        print_line(f"{row['sequence']:>6,}  {' '.join(part for part in parts if part)}{undone}")


def print_browse_result(result: dict[str, Any]) -> None:
    """Print how many decisions were made meanwhile, and how to apply them."""
    then = ": run curate dedupe to apply them" if result["waiting"] else ""
    click.echo(f"{result['decided']:,} decisions made, {result['waiting']:,} waiting{then}")


def print_faults(result: dict[str, Any]) -> None:
    """Print one fault per line, then how many there are."""
    for fault in result["faults"]:
        print_line(fault)
    print_line(f"{result['folder']}: {len(result['faults']) or 'no'} faults, {result['seconds']:.1f} s")


PLAN_HEADINGS = {
    "cpu_hours": "CPU h",
    "wall_hours": "hours",
    "disk_gb": "disk GB",
    "exchange_gb": "exchange GB",
    "worker_gb": "GB/worker",
    "node_gb": "GB parent",
}


def print_plan(result: dict[str, Any]) -> None:
    """Print a plan as a table of stages, then what takes most of the time, and how the estimate may change."""
    from curate.planning.plan import format_estimate  # noqa: PLC0415  # only this command needs it

    rows = [{**stage, "disk_gb": sum(stage["disk_gb"].values())} for stage in result["stages"]]
    rows.append({"name": "total", **result["totals"]})
    print_line(" " * 8 + "".join(f"{heading:>12}" for heading in PLAN_HEADINGS.values()))
    for row in rows:
        print_line(f"{row['name']:8}" + "".join(f"{format_estimate(row[name]):>12}" for name in PLAN_HEADINGS))
    dominant = result["dominates"]
    share = dominant["wall_hours"] / result["totals"]["wall_hours"]
    print_line(f"most of the time: {dominant['stage']}, {dominant['name']} ({share:.0%})")
    hours = ", ".join(
        f"{format_estimate(result['without_strangers'][name])} {PLAN_HEADINGS[name]}"
        for name in list(PLAN_HEADINGS)[:2]
    )
    print_line(f"with --strangers 0: {hours}")
    print_line(f"shards with --encoding raw: {format_estimate(result['raw_shards_gb'])} GB")
    print_line(
        "constants measured on {cores} cores of {cpu}, {python}; larger sizes are extrapolated".format(
            **result["machine"]
        )
    )
