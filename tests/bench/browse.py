"""Measure how fast `curate browse` answers with 100,000 pictures: a real server and a client beside it.

The dataset repeats the given one's parts under other ids, so tags, pixels, families and look-alikes are all real. A
page is the JSON that lists 60 pictures; with `pixels` also the 120 stored pictures that it shows, each read for the
first time, six at once as browsers do. The matches of a filter are spread over the whole dataset, so nearly every
picture of a page is in another row group.

Seconds are the median and the maximum over rounds that ask for different pages. `cpu` is the mean CPU time of the
server, which other work on the machine does not change. `memory_mb` is the server's peak resident size.

Run: python -m tests.bench.browse [DATASET] [--pictures N] [--json]. Takes 2 GB of temporary disk; Linux only.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import httpx2
import numpy as np
import pyarrow as pa

from curate.dataset import ledger, parquet
from tests.served import seconds, served

ID_COLUMNS = {
    "manifest": ("id", "group", "duplicate_of", "family"),
    "pairs": ("id",),
    "edges": ("a", "b"),
}
CONNECTIONS = 6  # of a browser to one server
ROUNDS = 12
FILTERS = ("woman", "*_hair -woman", "role:duplicate", "dropped:none width>=512", "red_apple", "path:1F9*")
WHERE = "width >= 512 and line_ink < 0.2"


def grown(dataset: Path, out: Path, pictures: int) -> Path:
    """Repeat the dataset's parts under other ids until there are at least `pictures` rows."""
    shutil.copytree(dataset, out, ignore=shutil.ignore_patterns("*.parquet"))
    copies = -(-pictures // parquet.count_rows(dataset / "manifest"))
    for folder, names in ID_COLUMNS.items():
        parts = parquet.part_paths(dataset / folder)
        for copy in range(copies):
            for number, path in enumerate(parts):
                table = parquet.read_table(path)
                parquet.write_table(
                    parquet.part_path(out / folder, copy * len(parts) + number), _renamed(table, copy, names)
                )
    ledger.write_ledger(out, ledger.read_ledger(dataset) | {"parts": {}})
    return out


def _renamed(table: pa.Table, copy: int, names: tuple[str, ...]) -> pa.Table:
    for name in names:
        ids = [key and sha256(f"{copy}:{key}".encode()).hexdigest()[:32] for key in table[name].to_pylist()]
        table = table.set_column(table.column_names.index(name), name, pa.array(ids, pa.string()))
    return table


def spent_cpu(process: int) -> float:
    """CPU seconds that a process and all its threads have used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def get_json(client: httpx2.Client, path: str, **query: str | int) -> Any:
    """The JSON that the server answers with."""
    return client.get(f"api/{path}", params=query).raise_for_status().json()


def load_pictures(client: httpx2.Client, path: str, **query: str | int) -> None:
    """Load a list of pictures, and the pixels that it shows."""
    rows = get_json(client, path, **query)["rows"]
    paths = [
        f"api/pictures/{row['id']}/{layer}" for row in rows for layer in ("line_contour", "color") if row["stored"]
    ]
    with ThreadPoolExecutor(CONNECTIONS) as browser:
        sizes = list(browser.map(lambda path: len(client.get(path).raise_for_status().content), paths))
    assert all(sizes)


def calls(client: httpx2.Client, total: int, random: np.random.Generator) -> dict[str, Callable[[], object]]:
    """What a visitor does, by name, at a random place; each round asks for other pages."""
    place = int(random.integers(0, total - 60))
    word = FILTERS[place % len(FILTERS)]
    [row] = get_json(client, "pictures", start=place, count=1)["rows"]
    return {
        "first_page": partial(get_json, client, "pictures"),
        "deep_page": partial(get_json, client, "pictures", start=place),
        "filter": partial(get_json, client, "pictures", filter=word),
        "where": partial(get_json, client, "pictures", where=WHERE, order="score", descending="true"),
        "families": partial(get_json, client, "families", order="duplicates", count=12),
        "picture": partial(get_json, client, f"pictures/{row['id']}"),
        "completion": partial(get_json, client, "tags", start="wom"),
        "first_page_pixels": partial(load_pictures, client, "pictures"),
        "deep_page_pixels": partial(load_pictures, client, "pictures", start=place),
        "filter_pixels": partial(load_pictures, client, "pictures", filter=word, start=60),
    }


def measure(dataset: Path) -> dict[str, Any]:
    """Seconds of each call, and the CPU time and memory of the server."""
    spent: dict[str, list[float]] = {}
    cpu: dict[str, float] = {}
    random = np.random.default_rng(0)
    with (
        served("curate", "browse", str(dataset)) as (process, address, ready),
        httpx2.Client(base_url=address, timeout=60) as client,
    ):
        total = get_json(client, "dataset")["pictures"]
        for _ in range(ROUNDS):
            for name, call in calls(client, total, random).items():
                before = spent_cpu(process)
                spent.setdefault(name, []).append(seconds(call))
                cpu[name] = cpu.get(name, 0) + (spent_cpu(process) - before) / ROUNDS
        status = Path(f"/proc/{process}/status").read_text()
    return {
        "pictures": total,
        "ready_seconds": round(ready, 2),
        "seconds": {name: round(statistics.median(times), 3) for name, times in spent.items()},
        "longest": {name: round(max(times), 3) for name, times in spent.items()},
        "cpu": {name: round(mean, 3) for name, mean in cpu.items()},
        "memory_mb": round(int(status.split("VmHWM:")[1].split()[0]) / 1024),
    }


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path), default="demo/dataset")
@click.option("--pictures", type=click.IntRange(1), default=100_000, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(dataset: Path, pictures: int, as_json: bool) -> None:
    """Measure on a large copy of the dataset."""
    with tempfile.TemporaryDirectory() as work:
        figures = measure(grown(dataset, Path(work) / "dataset", pictures))
    click.echo(json.dumps(figures, indent=None if as_json else 1))


if __name__ == "__main__":
    main()
