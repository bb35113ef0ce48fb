"""Every long command killed at any point, run again, and compared with a run that nobody broke.

A case is a command that dies once to five times in a row and is then let live. It dies by SIGKILL: as it changes the
disk (before, after, or within a write, an fsync, a rename...; kind after kind of all that the unbroken run made, those
first that saw no death yet), or after a random time; with all its processes, or alone, or one of its workers; on a
cluster also the scheduler. Or it is stopped by SIGINT or SIGTERM. What it has made in the end has to be the same, byte
for byte, with nothing left over; of a training, tensor for tensor, and in stats.jsonl but for time.

Commands of curate begin as copies of this process, which has imported what they need; train's, and those that work on a
cluster, begin as fresh interpreters.

Run: python -m tests.faults.kill [--kills N] [--command NAME]... [--tally FILE] [--table]; it goes on where it
stopped, until there were so many kills, and one at every kind of change
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tests.faults.killing.bench import Bench
from tests.faults.killing.cases import draw
from tests.faults.killing.commands import COMMANDS
from tests.faults.killing.tally import Tally, table


@click.command()
@click.option("--kills", type=click.IntRange(1), default=200, show_default=True, help="At least, over the sittings.")
@click.option("--command", "chosen", type=click.Choice(list(COMMANDS)), multiple=True, help="Only these.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("faults/kill"), show_default=True)
@click.option("--tally", "path", type=click.Path(path_type=Path), default=Path("faults/kill.json"), show_default=True)
@click.option("--table", "only_table", is_flag=True, help="Print the tally as a table; kill nothing.")
def main(kills: int, chosen: tuple[str, ...], folder: Path, path: Path, only_table: bool) -> None:
    """Kill commands, and tally what became of it."""
    tally = Tally(path)
    if not only_table:
        bench = Bench(folder, fork=True)
        names = chosen or list(COMMANDS)
        while tally.kills() < kills or any(map(tally.open, names)):
            name = tally.next(names)
            fault = one_case(bench, tally, name)
            click.echo(f"{tally.kills()} kills of at least {kills}: {name}: {fault or 'the same'}", err=True)
    click.echo(table(tally))
    if tally.faults():
        raise SystemExit(1)


def one_case(bench: Bench, tally: Tally, name: str) -> str:
    """The next case of a command, put in the tally; what was wrong, if anything."""
    seconds, changes = bench.survey(name)
    deaths = draw(name, len(tally.cases(name)), seconds, changes, tally.unseen(name, changes))
    fault = bench.case(name, deaths)
    tally.add(name, seconds, changes, [asdict(death) for death in deaths], fault)
    return fault


if __name__ == "__main__":
    main()
