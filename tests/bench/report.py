"""`curate report` on many pictures: how large its page is, how long it takes and how much memory.

The dataset is the given one many times over, each time under other ids; all of its fates, families and look-alikes are
repeated with it. Memory is the most that a process of its own had resident.

Run: python -m tests.bench.report [DATASET] [--pictures N] [--json]; Linux alone tells the memory
"""

from __future__ import annotations

import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click

from curate.audit.report import report
from tests.bench.browse import grown


def measured(dataset: Path, page: Path) -> dict[str, Any]:
    """Figures of one report, by a process that does nothing else."""
    start, spent = time.perf_counter(), time.process_time()
    told = report(dataset, page)
    seconds, cpu = time.perf_counter() - start, time.process_time() - spent
    peak = 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    figures = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "peak_megabytes": round(peak / 1e6)}
    return {"pictures": told["in"], "page_megabytes": round(told["page_bytes"] / 1e6, 2), **figures}


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), default="demo/dataset")
@click.option("--pictures", type=click.IntRange(1), default=100_000, show_default=True, help="At least so many.")
@click.option("--json", "as_json", is_flag=True)
def main(dataset: Path, pictures: int, as_json: bool) -> None:
    """Print size, time and memory of the report on the dataset itself, and on it many times over."""
    with tempfile.TemporaryDirectory() as folder:
        many = grown(dataset, Path(folder) / "many", pictures)
        found = []
        for one in (dataset, many):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                found.append(process.submit(measured, one, Path(folder) / "page.html").result())
    if as_json:
        click.echo(json.dumps({"one": found[0], "many": found[1]}))
        return
    told = (
        "{pictures:,} pictures: {page_megabytes} MB, {seconds} s ({cpu_seconds} of CPU), {peak_megabytes} MB of memory"
    )
    for figures in found:
        click.echo(told.format(**figures))


if __name__ == "__main__":
    main()
