"""Measure how many seconds `import curate` and both programs' --help take beyond Python's own start.

Run: python -m tests.bench.imports [--json]
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from statistics import median

import click

ROUNDS = 15
COMMANDS = {
    "python": ["-c", "pass"],
    "import_curate": ["-c", "import curate"],
    "import_train": ["-c", "import train"],
    "curate_help": ["-m", "curate", "--help"],
    "train_help": ["-m", "train", "--help"],
}


def seconds(arguments: list[str]) -> float:
    """Wall time of a fresh process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


@click.command()
@click.option("--json", "as_json", is_flag=True)
def main(as_json: bool) -> None:
    """Medians of rounds in which the commands take turns, minus bare Python's; a first round warms the disk cache."""
    rounds = [{name: seconds(arguments) for name, arguments in COMMANDS.items()} for _ in range(ROUNDS + 1)][1:]
    medians = {name: median(times[name] for times in rounds) for name in COMMANDS}
    more = {f"{name}_more": round(medians[name] - medians["python"], 3) for name in COMMANDS if name != "python"}
    click.echo(json.dumps({"python": round(medians["python"], 3)} | more, indent=None if as_json else 1))


if __name__ == "__main__":
    main()
