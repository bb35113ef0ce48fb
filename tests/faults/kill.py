"""Kill every long command at any point, run it again, and compare the result with an uninterrupted run.

A case is a command that dies one to five times in a row and then runs to its end. SIGKILL hits at a change of the disk
(before it, after it, or within a write; each kind of change of the uninterrupted run in turn, those without a kill
first) or after a random time. It hits all processes, the command alone, a worker, or a cluster's scheduler. Some deaths
are stops by SIGINT or SIGTERM. At the end all files must be equal byte by byte, with none left over. For a training,
tensors and stats.jsonl (except times) must be equal.

Commands of curate start as forks of this process, which has already imported them. Those of train and those on a
cluster start as new interpreters.

Run: python -m tests.faults.kill [--kills N] [--command NAME]... [--tally FILE] [--table]
The tally is continued by the next run, until it has N kills and one at every kind of change.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tests.faults.killing.case_runner import CaseRunner
from tests.faults.killing.cases import draw_deaths
from tests.faults.killing.commands import COMMANDS
from tests.faults.killing.tally import Tally, format_table


@click.command()
@click.option("--kills", type=click.IntRange(1), default=200, show_default=True, help="Minimum, over all runs.")
@click.option("--command", "chosen", type=click.Choice(list(COMMANDS)), multiple=True, help="Only these.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("faults/kill"), show_default=True)
@click.option("--tally", "path", type=click.Path(path_type=Path), default=Path("faults/kill.json"), show_default=True)
@click.option("--table", "only_table", is_flag=True, help="Print the tally as a table; kill nothing.")
def main(kills: int, chosen: tuple[str, ...], folder: Path, path: Path, only_table: bool) -> None:
    """Kill commands and print the tally. Exit code 1 if it has a fault."""
    tally = Tally(path)
    if not only_table:
        runner = CaseRunner(folder, fork=True)
        names = chosen or list(COMMANDS)
        while tally.kills() < kills or any(map(tally.is_open, names)):
            name = tally.next_command(names)
            fault = run_next_case(runner, tally, name)
            click.echo(f"{tally.kills()} of at least {kills} kills: {name}: {fault or 'the same'}", err=True)
    click.echo(format_table(tally))
    if tally.faults():
        raise SystemExit(1)


def run_next_case(runner: CaseRunner, tally: Tally, name: str) -> str:
    """Run a command's next case and add it to the tally; returns the fault, empty if there is none."""
    seconds, changes = runner.survey(name)
    deaths = draw_deaths(name, len(tally.cases(name)), seconds, changes, tally.unseen(name, changes))
    fault = runner.run_case(name, deaths)
    tally.add(name, seconds, changes, [asdict(death) for death in deaths], fault)
    return fault


if __name__ == "__main__":
    main()
