"""Measure `curate report` on many pictures: size of the page, time, memory.

The large dataset repeats the given one under other ids, with all its fates, families and look-alikes. Memory is the
peak resident size of a child process.

Run: python -m tests.bench.report [DATASET] [--pictures N] [--json]. Memory is measured on Linux only.
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


def measure(dataset: Path, page: Path) -> dict[str, Any]:
    """Figures of one report; run it in a fresh process."""
    start, spent = time.perf_counter(), time.process_time()
    summary = report(dataset, page)
    seconds, cpu = time.perf_counter() - start, time.process_time() - spent
    peak = 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    figures = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "peak_megabytes": round(peak / 1e6)}
    return {"pictures": summary["in"], "page_megabytes": round(summary["page_bytes"] / 1e6, 2), **figures}


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), default="demo/dataset")
@click.option("--pictures", type=click.IntRange(1), default=100_000, show_default=True, help="At least this many.")
@click.option("--json", "as_json", is_flag=True)
def main(dataset: Path, pictures: int, as_json: bool) -> None:
    """Print page size, time and memory for the dataset itself, and for the dataset repeated many times."""
    with tempfile.TemporaryDirectory() as folder:
        many = grown(dataset, Path(folder) / "many", pictures)
        results = []
        for measured_dataset in (dataset, many):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                results.append(process.submit(measure, measured_dataset, Path(folder) / "page.html").result())
    if as_json:
        click.echo(json.dumps({"one": results[0], "many": results[1]}))
        return
    line = (
        "{pictures:,} pictures: {page_megabytes} MB, {seconds} s ({cpu_seconds} of CPU), {peak_megabytes} MB of memory"
    )
    for figures in results:
        click.echo(line.format(**figures))


if __name__ == "__main__":
    main()
