"""Compare the wall time of extract with two worker processes and with one, in turns on the same pictures.

Run it on a quiet machine.

Run: python -m tests.bench.workers [ART] [--pictures 4096] [--rounds 3] [--json]
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import click

from curate.extraction import extract
from curate.sources.scan import Source
from curate.terminal import QUIET

LINES = ("dilate",)


def seconds(art: Path, dataset: Path, pictures: int, workers: int) -> float:
    """Wall time of the whole stage, with the start of the workers."""
    options = extract.ExtractOptions(lines=LINES, keep_monochrome=True)
    started = time.monotonic()
    extract.extract([Source("art", art)], dataset, options, workers=workers, limit=pictures, fresh=True, part_size=128)
    return time.monotonic() - started


@click.command()
@click.argument("art", type=click.Path(path_type=Path, exists=True), default="demo/art")
@click.option("--pictures", type=click.IntRange(128), default=4096, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(art: Path, pictures: int, rounds: int, as_json: bool) -> None:
    """Extract PICTURES of ART by one process and by two, ROUNDS times each, and print the ratio."""
    QUIET.set(True)
    with tempfile.TemporaryDirectory() as folder:
        seconds(art, Path(folder) / "d", 128, 1)  # warms up
        turns = [[seconds(art, Path(folder) / "d", pictures, workers) for workers in (1, 2)] for _ in range(rounds)]
    ratio = statistics.median(with_one / with_two for with_one, with_two in turns)
    if as_json:
        click.echo(json.dumps({"pictures": pictures, "speed_of_two_workers": ratio, "seconds": turns}))
        return
    click.echo(f"{pictures} pictures: two workers are {ratio:.2f} times as fast as one")


if __name__ == "__main__":
    main()
