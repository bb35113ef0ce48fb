"""`curate report` on many pictures: how large its page is, how long it takes and how much memory.

The dataset is the given one many times over, each time under other ids; all of its fates, families and look-alikes are
repeated with it. Memory is the most that a process of its own had resident.

Run: python -m tests.bench.report [DATASET] [--pictures N] [--json]; Linux alone tells the memory
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from curate import ledger, manifest
from curate.report import report

IDS = {"manifest": ("id", "group", "duplicate_of", "family"), "pairs": ("id",), "edges": ("a", "b")}
"""Columns that name pictures."""


def grown(dataset: Path, out: Path, times: int) -> Path:
    """A dataset that is `dataset` so many times, a part for each of its parts."""
    for name, columns in IDS.items():
        (out / name).mkdir(parents=True)
        parts = manifest.parts(dataset / name)
        for number in range(times * len(parts)):
            copy, one = divmod(number, len(parts))
            table = _renamed(manifest.read_table(parts[one]), columns, copy)
            manifest.write_table(manifest.part(out / name, number), table)
    ledger.write_state(out, ledger.peek_state(dataset) | {"parts": {}})
    return out


def _renamed(table: pa.Table, columns: Sequence[str], copy: int) -> pa.Table:
    for name in columns:
        ids = [key and sha256(f"{copy}:{key}".encode()).hexdigest()[:32] for key in table[name].to_pylist()]
        table = table.set_column(table.column_names.index(name), name, pa.array(ids, pa.string()))
    return table


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
    times = -(-pictures // manifest.rows(dataset / "manifest"))
    with tempfile.TemporaryDirectory() as folder:
        many = grown(dataset, Path(folder) / "many", times)
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
