"""How long `curate browse` takes to answer, by a server of its own and a client beside it, at 100,000 pictures.

The dataset is the given one's parts many times over, as they are but for their ids: every picture's tags, pixels,
families and look-alike pairs are real. A page is the JSON that lists 60 pictures, and with `pixels` the 120 stored
pictures that it shows, too, each read for the first time, six at once as browsers do. What a filter finds is spread
over the whole dataset, so nearly every picture of its page lies in another row group.

Seconds are medians and the longest of rounds that ask for other places; `cpu` are the server's own, which other work on
the machine does not change, as means; `memory_mb` is the most that it had resident.

Run: python -m tests.bench.browse [DATASET] [--pictures N] [--json]; takes 2 GB of temporary disk, and Linux
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

IDS = {
    "manifest": ("id", "group", "duplicate_of", "family"),
    "pairs": ("id",),
    "edges": ("a", "b"),
}
AT_ONCE = 6  # connections of a browser to one server
ROUNDS = 12
FILTERS = ("woman", "*_hair -woman", "role:duplicate", "dropped:none width>=512", "red_apple", "path:1F9*")
WHERE = "width >= 512 and line_ink < 0.2"


def grown(dataset: Path, out: Path, pictures: int) -> Path:
    """The dataset's parts again and again under other ids, until there are so many rows."""
    shutil.copytree(dataset, out, ignore=shutil.ignore_patterns("*.parquet"))
    copies = -(-pictures // parquet.count_rows(dataset / "manifest"))
    for folder, names in IDS.items():
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
    """CPU seconds of a process and all of its threads so far."""
    told = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def asked(client: httpx2.Client, path: str, **query: str | int) -> Any:
    """The JSON of an answer."""
    return client.get(f"api/{path}", params=query).raise_for_status().json()


def shown(client: httpx2.Client, path: str, **query: str | int) -> None:
    """A list of pictures, and all that it shows of them."""
    rows = asked(client, path, **query)["rows"]
    paths = [
        f"api/pictures/{row['id']}/{layer}" for row in rows for layer in ("line_contour", "color") if row["stored"]
    ]
    with ThreadPoolExecutor(AT_ONCE) as browser:
        sizes = list(browser.map(lambda one: len(client.get(one).raise_for_status().content), paths))
    assert all(sizes)


def calls(client: httpx2.Client, total: int, chance: np.random.Generator) -> dict[str, Callable[[], object]]:
    """What a visitor does, by name; a round asks for other places than the last."""
    place = int(chance.integers(0, total - 60))
    word = FILTERS[place % len(FILTERS)]
    [row] = asked(client, "pictures", start=place, count=1)["rows"]
    return {
        "first_page": partial(asked, client, "pictures"),
        "deep_page": partial(asked, client, "pictures", start=place),
        "filter": partial(asked, client, "pictures", filter=word),
        "where": partial(asked, client, "pictures", where=WHERE, order="score", descending="true"),
        "families": partial(asked, client, "families", order="duplicates", count=12),
        "picture": partial(asked, client, f"pictures/{row['id']}"),
        "completion": partial(asked, client, "tags", start="wom"),
        "first_page_pixels": partial(shown, client, "pictures"),
        "deep_page_pixels": partial(shown, client, "pictures", start=place),
        "filter_pixels": partial(shown, client, "pictures", filter=word, start=60),
    }


def measured(dataset: Path) -> dict[str, Any]:
    """Seconds of each call, and what the server took."""
    spent: dict[str, list[float]] = {}
    cpu: dict[str, float] = {}
    chance = np.random.default_rng(0)
    with (
        served("curate", "browse", str(dataset)) as (process, address, ready),
        httpx2.Client(base_url=address, timeout=60) as client,
    ):
        total = asked(client, "dataset")["pictures"]
        for _ in range(ROUNDS):
            for name, call in calls(client, total, chance).items():
                before = spent_cpu(process)
                spent.setdefault(name, []).append(seconds(call))
                cpu[name] = cpu.get(name, 0) + (spent_cpu(process) - before) / ROUNDS
        status = Path(f"/proc/{process}/status").read_text()
    return {
        "pictures": total,
        "ready_seconds": round(ready, 2),
        "seconds": {name: round(statistics.median(one), 3) for name, one in spent.items()},
        "longest": {name: round(max(one), 3) for name, one in spent.items()},
        "cpu": {name: round(one, 3) for name, one in cpu.items()},
        "memory_mb": round(int(status.split("VmHWM:")[1].split()[0]) / 1024),
    }


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path), default="demo/dataset")
@click.option("--pictures", type=click.IntRange(1), default=100_000, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(dataset: Path, pictures: int, as_json: bool) -> None:
    """Measure a grown copy of the dataset."""
    with tempfile.TemporaryDirectory() as work:
        told = measured(grown(dataset, Path(work) / "dataset", pictures))
    click.echo(json.dumps(told, indent=None if as_json else 1))


if __name__ == "__main__":
    main()
