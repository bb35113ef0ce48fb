"""Write curate/planning/costs.json, the constants of `curate plan`, from the figures of other benchmarks.

CONSTANTS says for each constant its unit, the benchmark that measures it, and where in its JSON the figure is. The file
also describes the machine: measure all constants on one machine, while it does nothing else.

Run: python -m tests.bench.costs [--from FOLDER] [--json]. Without a folder of NAME.json files, it runs the benchmarks.
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
DIGITS = 4  # significant digits of a constant; none is measured more exactly

Figures = dict[str, Any]
"""What a benchmark prints with --json."""


class Constant(NamedTuple):
    """A constant, and how to get it from a benchmark's figures."""

    unit: str
    benchmark: str
    get: Callable[[Figures], float]


def fit_line(figures: Figures, figure: str, styles: int) -> tuple[float, float]:
    """(constant, per megapixel) cost of reading a picture with `styles` line styles: a line through two sizes."""
    small, large = (reading for reading in figures["reading"] if reading["lines"] == styles)
    slope = (large[figure] - small[figure]) / (large["megapixels"] - small["megapixels"])
    return max(0.0, small[figure] - slope * small["megapixels"]), max(0.0, slope)


def further_style(figures: Figures, term: int) -> float:
    """CPU seconds of each line style after the first: the constant (`term` 0) or those per megapixel (1)."""
    with_one, with_three = (fit_line(figures, "cpu_seconds", styles)[term] for styles in (1, 3))
    return max(0.0, with_three - with_one) / 2


def million(figures: Figures, radius: int) -> Figures:
    """The figures of searching a million hashes."""
    [search] = [search for search in figures["ours"] if (search["hashes"], search["radius"]) == (10**6, radius)]
    return dict(search)


def at(*names: str) -> Callable[[Figures], float]:
    """A function that returns the figure at a path of keys."""

    def get(figures: Figures) -> float:
        for name in names:
            figures = figures[name]
        return float(figures)  # type: ignore[arg-type]  # a number is at the end

    return get


SECONDS, BYTES, PAIR = "CPU s a picture", "bytes a picture", "CPU s a proposed pair"
CONSTANTS: dict[str, Constant] = {
    "source_bytes": Constant(
        "bytes a pixel",
        "stages",
        lambda figures: (
            sum(reading["bytes"] / reading["megapixels"] for reading in figures["reading"])
            / len(figures["reading"])
            / 1e6
        ),
    ),
    "picture_seconds": Constant(SECONDS, "stages", lambda figures: fit_line(figures, "cpu_seconds", 1)[0]),
    "megapixel_seconds": Constant(
        "CPU s a megapixel", "stages", lambda figures: fit_line(figures, "cpu_seconds", 1)[1]
    ),
    "style_seconds": Constant(f"{SECONDS} and further line style", "stages", lambda figures: further_style(figures, 0)),
    "style_megapixel_seconds": Constant(
        "CPU s a megapixel and further line style", "stages", lambda figures: further_style(figures, 1)
    ),
    "extract_worker_mb": Constant("MB a worker", "stages", lambda figures: fit_line(figures, "peak_mb", 3)[0]),
    "megapixel_mb": Constant("MB a worker and megapixel", "stages", lambda figures: fit_line(figures, "peak_mb", 3)[1]),
    "list_seconds": Constant(SECONDS, "stages", at("extract", "node_cpu_seconds")),
    "commit_seconds": Constant("wall s a part", "stages", at("extract", "commit_seconds")),
    "extract_bytes": Constant(f"{BYTES}, in memory", "stages", at("extract", "memory")),
    "task_seconds": Constant("wall s a task", "cluster", lambda figures: figures["ms_a_task"] / 1e3),
    "alike": Constant("proposed pairs of one family a picture", "strangers", at("alike")),
    "unsifted": Constant("pairs found for one that passes", "strangers", at("unsifted")),
    "sift_seconds": Constant("CPU s a pair that is found", "strangers", at("sift_seconds")),
    "strangers": Constant("share of the pairs of two families", "strangers", at("strangers")),
    "search8_seconds": Constant("CPU s a million hashes", "search", lambda figures: million(figures, 8)["cpu_seconds"]),
    "search6_seconds": Constant("CPU s a million hashes", "search", lambda figures: million(figures, 6)["cpu_seconds"]),
    "search8_growth": Constant("power of the hashes, to a million", "search", at("growth", "8")),
    "search6_growth": Constant("power of the hashes, to a million", "search", at("growth", "6")),
    "search_bytes": Constant(
        "bytes a hash, in memory", "search", lambda figures: million(figures, 8)["more_mb"] * 1.048576
    ),
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
    """The machine that the constants were measured on."""
    info = Path("/proc/cpuinfo")
    names = [row.partition(":")[2].strip() for row in info.read_text().splitlines() if row.startswith("model name")]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return {"cpu": next(iter(names), platform.machine()), "cores": os.cpu_count(), "python": python}


def run_benchmark(benchmark: str) -> Figures:
    """Run a benchmark and return its figures."""
    command = [sys.executable, "-m", f"tests.bench.{benchmark}", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))


def read(folder: Path, benchmark: str) -> Figures:
    """Read the figures that a benchmark left in a folder."""
    return dict(json.loads((folder / f"{benchmark}.json").read_text("utf-8")))


def make_costs(figures: dict[str, Figures]) -> dict[str, Any]:
    """The contents of costs.json, from figures by benchmark."""
    constants = {
        name: {
            "value": float(f"{constant.get(figures[constant.benchmark]):.{DIGITS}g}"),
            "unit": constant.unit,
            "benchmark": f"tests/bench/{constant.benchmark}.py",
        }
        for name, constant in CONSTANTS.items()
    }
    return {"machine": machine(), "constants": constants}


@click.command()
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, exists=True),
    help="Read NAME.json from this folder; run nothing.",
)
@click.option("--json", "as_json", is_flag=True)
def main(folder: Path | None, as_json: bool) -> None:
    """Write curate/planning/costs.json."""
    benchmarks = sorted({constant.benchmark for constant in CONSTANTS.values()})
    costs = make_costs({name: read(folder, name) if folder else run_benchmark(name) for name in benchmarks})
    COSTS.write_text(json.dumps(costs, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if as_json:
        click.echo(json.dumps(costs))
        return
    for name, constant in costs["constants"].items():
        click.echo(f"{name:24} {constant['value']:<10.4g} {constant['unit']}, {constant['benchmark']}")


if __name__ == "__main__":
    main()
