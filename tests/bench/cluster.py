"""Compare extract on a Dask cluster of this host with as many local processes, in turns on the same pictures.

`efficiency` is the wall time of local processes divided by that of the cluster; `cpu_efficiency` is the same ratio of
CPU seconds, the scheduler's included. Both are medians of the rounds. The cluster's workers are already running; the
local ones start in every round. `ms_a_task` is the wall time of an empty task alone in its future, which is the
overhead of a thousand pictures. A cluster's task has two parts, 1,024 pictures: give each worker a multiple of that.

Run: python -m tests.bench.cluster [ART] [--pictures 2048] [--workers 2] [--rounds 2] [--json]
"""

from __future__ import annotations

import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from curate.extraction import extract
from curate.sources.scan import Source
from curate.terminal import QUIET
from curate.workers import executor
from curate.workers.dask_cluster import DaskCluster
from tests.hosts import connected, hosts

EMPTY_TASKS = 1000

Cost = dict[str, float]


def spent(cpu_seconds: Callable[[], float], work: Callable[[], Any]) -> Cost:
    """Wall and CPU seconds of `work`; `cpu_seconds` reads the CPU seconds used so far."""
    wall, cpu = time.monotonic(), cpu_seconds()
    work()
    return {"wall": time.monotonic() - wall, "cpu": cpu_seconds() - cpu}


def local_cpu_seconds() -> float:
    """CPU seconds of this process and its ended children."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def cluster_cpu_seconds(cluster: DaskCluster) -> float:
    """CPU seconds of this process, the scheduler and the workers."""
    workers = cluster.client.run(time.process_time).values()
    return float(time.process_time() + cluster.client.run_on_scheduler(time.process_time) + sum(workers))


def nothing(number: int) -> int:
    return number


def measure(art: Path, folder: Path, cluster: DaskCluster, pictures: int, rounds: int) -> dict[str, Any]:
    """Seconds of both ways, round by round, and their ratios."""

    def make(name: str, workers: executor.Workers, limit: int) -> None:
        source, options = [Source("art", art)], extract.ExtractOptions(keep_monochrome=True)
        extract.extract(source, folder / name, options, workers=workers, limit=limit, fresh=True)

    make("cluster", cluster, 64 * cluster.last_worker_count)  # loads the modules on its workers
    local, remote = [], []
    for _ in range(rounds):
        local.append(spent(local_cpu_seconds, lambda: make("local", cluster.last_worker_count, pictures)))
        remote.append(spent(lambda: cluster_cpu_seconds(cluster), lambda: make("cluster", cluster, pictures)))
    one_task_cluster = DaskCluster(
        cluster.client, cluster.address, min_pictures_per_future=1, last_worker_count=cluster.last_worker_count
    )
    empty = spent(
        local_cpu_seconds,
        lambda: list(executor.run(nothing, range(EMPTY_TASKS), one_task_cluster, pictures_per_task=1)),
    )

    def ratio(kind: str) -> float:
        return statistics.median(a[kind] / b[kind] for a, b in zip(local, remote, strict=True))

    return {
        "pictures": pictures,
        "workers": cluster.last_worker_count,
        "efficiency": ratio("wall"),
        "cpu_efficiency": ratio("cpu"),
        "ms_a_task": 1000 * empty["wall"] / EMPTY_TASKS,
        "seconds": {"local": local, "cluster": remote},
    }


@click.command()
@click.argument("art", type=click.Path(path_type=Path, exists=True), default="demo/art")
@click.option("--pictures", type=click.IntRange(1), default=2048, show_default=True)
@click.option("--workers", type=click.IntRange(2), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(art: Path, pictures: int, workers: int, rounds: int, as_json: bool) -> None:
    """Extract PICTURES of ART by local processes and on a cluster, ROUNDS times each, and print the ratios."""
    QUIET.set(True)
    with (
        tempfile.TemporaryDirectory() as temporary,
        hosts(Path(temporary) / "hosts", workers) as servers,
        connected(servers, workers) as cluster,
    ):
        cluster.count_threads()
        result = measure(art.absolute(), Path(temporary), cluster, pictures, rounds)
    if as_json:
        click.echo(json.dumps(result))
        return
    line = "efficiency {efficiency:.2f} in time, {cpu_efficiency:.2f} in CPU seconds; {ms_a_task:.1f} ms a task"
    click.echo(f"{workers} workers, {pictures} pictures: " + line.format(**result))


if __name__ == "__main__":
    main()
