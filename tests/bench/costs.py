"""The constants of `curate plan`, drawn from what other benchmarks print, into curate/planning/costs.json.

Each line of the table is a constant: its name, its unit, the benchmark that measures it, and where in the JSON of that
it lies. The machine that all were measured on is told beside them: measure all of them on one, while it is quiet.

Run: python -m tests.bench.costs [--from FOLDER] [--json]; without a folder of NAME.json, it runs the benchmarks
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

COSTS = Path("curate/planning/costs.json")
DIGITS = 4  # that are told of a constant: none is known better

Told = dict[str, Any]


class Constant(NamedTuple):
    """How a benchmark's JSON tells it."""

    unit: str
    benchmark: str
    get: Callable[[Told], float]


def line(told: Told, what: str, styles: int) -> tuple[float, float]:
    """(at none, by megapixel) of what reading a picture of so many line styles takes: a line through two sizes."""
    few, many = (one for one in told["reading"] if one["lines"] == styles)
    slope = (many[what] - few[what]) / (many["megapixels"] - few["megapixels"])
    return max(0.0, few[what] - slope * few["megapixels"]), max(0.0, slope)


def further(told: Told, which: int) -> float:
    """CPU seconds of each line style after the first."""
    one, three = (line(told, "cpu_seconds", styles)[which] for styles in (1, 3))
    return max(0.0, three - one) / 2


def million(told: Told, radius: int) -> Told:
    """The search of a million hashes."""
    [found] = [one for one in told["ours"] if (one["hashes"], one["radius"]) == (10**6, radius)]
    return dict(found)


def at(*names: str) -> Callable[[Told], float]:
    """What lies at a path of names."""

    def get(told: Told) -> float:
        for name in names:
            told = told[name]
        return float(told)  # type: ignore[arg-type]  # a number lies at the end

    return get


SECONDS, BYTES, PAIR = "CPU s a picture", "bytes a picture", "CPU s a proposed pair"
CONSTANTS: dict[str, Constant] = {
    "source_bytes": Constant(
        "bytes a pixel",
        "stages",
        lambda told: sum(one["bytes"] / one["megapixels"] for one in told["reading"]) / len(told["reading"]) / 1e6,
    ),
    "picture_seconds": Constant(SECONDS, "stages", lambda told: line(told, "cpu_seconds", 1)[0]),
    "megapixel_seconds": Constant("CPU s a megapixel", "stages", lambda told: line(told, "cpu_seconds", 1)[1]),
    "style_seconds": Constant(f"{SECONDS} and further line style", "stages", lambda told: further(told, 0)),
    "style_megapixel_seconds": Constant(
        "CPU s a megapixel and further line style", "stages", lambda told: further(told, 1)
    ),
    "extract_worker_mb": Constant("MB a worker", "stages", lambda told: line(told, "peak_mb", 3)[0]),
    "megapixel_mb": Constant("MB a worker and megapixel", "stages", lambda told: line(told, "peak_mb", 3)[1]),
    "list_seconds": Constant(SECONDS, "stages", at("extract", "node_cpu_seconds")),
    "commit_seconds": Constant("wall s a part", "stages", at("extract", "commit_seconds")),
    "extract_bytes": Constant(f"{BYTES}, in memory", "stages", at("extract", "memory")),
    "task_seconds": Constant("wall s a task", "cluster", lambda told: told["ms_a_task"] / 1e3),
    "alike": Constant("proposed pairs of one family a picture", "strangers", at("alike")),
    "unsifted": Constant("pairs found for one that passes", "strangers", at("unsifted")),
    "sift_seconds": Constant("CPU s a pair that is found", "strangers", at("sift_seconds")),
    "strangers": Constant("share of the pairs of two families", "strangers", at("strangers")),
    "search8_seconds": Constant("CPU s a million hashes", "search", lambda told: million(told, 8)["cpu_seconds"]),
    "search6_seconds": Constant("CPU s a million hashes", "search", lambda told: million(told, 6)["cpu_seconds"]),
    "search8_growth": Constant("power of the hashes, to a million", "search", at("growth", "8")),
    "search6_growth": Constant("power of the hashes, to a million", "search", at("growth", "6")),
    "search_bytes": Constant("bytes a hash, in memory", "search", lambda told: million(told, 8)["more_mb"] * 1.048576),
    "judge_seconds": Constant(SECONDS, "stages", at("dedupe", "node_cpu_seconds")),
    "propose_seconds": Constant(PAIR, "stages", at("dedupe", "proposal_cpu_seconds")),
    "look_seconds": Constant(PAIR, "stages", at("dedupe", "look_cpu_seconds")),
    "part_seconds": Constant("CPU s a part read to look", "stages", at("dedupe", "part_cpu_seconds")),
    "dedupe_bytes": Constant(f"{BYTES}, in memory", "stages", at("dedupe", "memory")),
    "propose_bytes": Constant("bytes a proposed pair, in memory", "stages", at("dedupe", "proposal_memory")),
    "dedupe_worker_mb": Constant("MB a worker", "stages", at("dedupe", "worker_mb")),
    "choose_seconds": Constant(SECONDS, "stages", at("shard", "node_cpu_seconds")),
    "pack_seconds": Constant(SECONDS, "stages", at("shard", "cpu_seconds")),
    "shard_bytes": Constant(f"{BYTES}, in memory", "shard", at("bytes_per_pair")),
    "shard_worker_mb": Constant("MB a worker", "stages", at("shard", "worker_mb")),
    "records_bytes": Constant(BYTES, "stages", at("stored", "records")),
    "manifest_bytes": Constant(BYTES, "stages", at("stored", "manifest")),
    "edges_bytes": Constant(BYTES, "stages", at("stored", "edges")),
    "color_bytes": Constant(BYTES, "stages", at("stored", "color")),
    "line_bytes": Constant(f"{BYTES} and line style", "stages", at("stored", "line")),
    "compared_bytes": Constant(BYTES, "stages", at("stored", "compared")),
    "packed_bytes": Constant(f"{BYTES}, beside its pixels", "stages", at("stored", "packed")),
}


def machine() -> dict[str, Any]:
    """What the constants hold for."""
    info = Path("/proc/cpuinfo")
    names = [row.partition(":")[2].strip() for row in info.read_text().splitlines() if row.startswith("model name")]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return {"cpu": next(iter(names), platform.machine()), "cores": os.cpu_count(), "python": python}


def printed(benchmark: str) -> Told:
    """What a benchmark prints."""
    command = [sys.executable, "-m", f"tests.bench.{benchmark}", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))


def read(folder: Path, benchmark: str) -> Told:
    """What a benchmark printed into a folder."""
    return dict(json.loads((folder / f"{benchmark}.json").read_text("utf-8")))


def drawn(told: dict[str, Told]) -> dict[str, Any]:
    """The contents of costs.json, of what the benchmarks told by name."""
    constants = {
        name: {
            "value": float(f"{one.get(told[one.benchmark]):.{DIGITS}g}"),
            "unit": one.unit,
            "benchmark": f"tests/bench/{one.benchmark}.py",
        }
        for name, one in CONSTANTS.items()
    }
    return {"machine": machine(), "constants": constants}


@click.command()
@click.option("--from", "folder", type=click.Path(path_type=Path, exists=True), help="Of NAME.json: run nothing.")
@click.option("--json", "as_json", is_flag=True)
def main(folder: Path | None, as_json: bool) -> None:
    """Write curate/planning/costs.json."""
    needed = sorted({one.benchmark for one in CONSTANTS.values()})
    costs = drawn({name: read(folder, name) if folder else printed(name) for name in needed})
    COSTS.write_text(json.dumps(costs, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if as_json:
        click.echo(json.dumps(costs))
        return
    for name, one in costs["constants"].items():
        click.echo(f"{name:24} {one['value']:<10.4g} {one['unit']}, {one['benchmark']}")


if __name__ == "__main__":
    main()
