"""Measure the peak memory of every command at n, 4 n and 16 n pictures, and forecast it for ten million.

Each command runs in a process of its own. The figure is the anonymous memory of that process and its children, sampled
fifty times a second; pages of mapped files do not count, because the system can take them back. The slope between 4 n
and 16 n gives the bytes per picture. Datasets repeat the records and pairs of the given one, shrunk to 16 px to save
disk space. extract, sample and colorize read a hundredth as many files of real art. `run` and `ladder` are left out:
they consist of other commands. `browse` is visited (pages of pictures and families, also filtered, with their squares),
and `serve` colours drawings.

Run: python -m tests.faults.memory [ART] [DATASET] [--pictures N] [--only NAME]... [--json]; takes minutes, on Linux
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click
import httpx2

from curate.dataset import parquet
from tests import ROOT
from tests.faults.large_dataset import make_large_dataset
from tests.faults.process_usage import PeakMemory, measure_command

SIDE = 16  # px
TIMES = (1, 4, 16)
FORECAST = 10_000_000
FILES_DIVISOR = 100  # rows per file, for commands that read pixels
SMALL = ("width=8", "levels=3", "tag_width=16", "discriminator_width=8", "batch_size=4", "jit=false", "half_until=0")
COMMANDS_ON_A_RUN = {"evaluate", "export", "show", "colorize", "serve"}
FILTERS = ("", "group:*", "-role:duplicate width:>=128", "face|animal", "id:0*")
PAGE = 60  # pictures
DRAWINGS = 20
Command = tuple[object, ...]
Visit = Callable[[str], None]


def run(program: str, command: Sequence[object], visit: Visit | None = None) -> PeakMemory:
    """Peak memory of a command of `curate` or `train`. A server is visited and then stopped."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    quietly = () if visit else ("--quiet",)  # a quiet server would not print its address
    words = [sys.executable, "-m", program, *map(str, command), *quietly]
    return measure_command(words, visit, cwd=ROOT, env=environment)


def visit_browse(address: str) -> None:
    """Visit `browse`: for each filter some pages of pictures, with every square on them."""
    with httpx2.Client(base_url=f"{address}api/", timeout=60) as page:
        for text in FILTERS:
            total = _json(page.get("pictures", params={"filter": text}))["total"]
            for start in range(0, total, max(PAGE, total // 5)):
                for row in _json(page.get("pictures", params={"filter": text, "start": start, "count": PAGE}))["rows"]:
                    page.get(f"pictures/{row['id']}/color").raise_for_status()
                    _json(page.get(f"pictures/{row['id']}"))
            _json(page.get("families", params={"filter": text}))
            _json(page.get("tags", params={"start": text[:1]}))


def visit_serve(drawing: Path, address: str) -> None:
    """Visit `serve`: colour the drawing several times."""
    with httpx2.Client(base_url=f"{address}api/", timeout=60, headers={"origin": address.rstrip("/")}) as page:
        for _ in range(DRAWINGS):
            page.post("colorize", content=drawing.read_bytes()).raise_for_status()


def _json(answer: httpx2.Response) -> Any:
    return answer.raise_for_status().json()


def link_files(files: Path, out: Path, number: int, ending: str) -> Path:
    """Make a folder of `number` links to files, which are repeated if there are fewer."""
    out.mkdir()
    paths = sorted(files.glob(f"*{ending}"))
    for index in range(number):
        path = paths[index % len(paths)]
        (out / f"{index // len(paths)}-{path.name}").symlink_to(path.resolve())
    return out


def commands_on_files(art: Path, home: Path, number: int) -> dict[str, tuple[str, Command]]:
    """Commands that read picture files: name -> (program, words)."""
    files = link_files(art, home / "art", number, ".png")
    return {
        "sample": ("curate", ("sample", "openmoji", home / "sample", "--limit", number)),
        "extract": ("curate", ("extract", files, home / "extracted")),
    }


def commands_on_a_dataset(dataset: Path, home: Path) -> dict[str, tuple[str, Command]]:
    """Commands that start from a dataset, in an order in which each finds its input."""
    picture = str(parquet.read_table(parquet.part_path(dataset / "manifest", 0), ["path"])["path"][0])
    shards, fitted = home / "shards", home / "run"
    sets = [word for setting in SMALL for word in ("--set", setting)]
    return {
        "tags": ("curate", ("tags", dataset)),
        "select": ("curate", ("select", dataset, home / "smaller.parquet", "--where", "width >= 128")),
        "why": ("curate", ("why", dataset, picture)),
        "verify": ("curate", ("verify", dataset)),
        "browse": ("curate", ("browse", dataset, "--port", 0)),
        "shard": ("curate", ("shard", dataset, shards)),
        "verify shards": ("curate", ("verify", shards)),
        "fit": ("train", ("fit", shards, fitted, "--steps", 4, *sets)),
        "evaluate": ("train", ("evaluate", fitted, shards, "--split", "train", "--most", 256)),
        "export": ("train", ("export", fitted, home / "model")),
        "show": ("train", ("show", fitted)),
        "dedupe": ("curate", ("dedupe", dataset)),
        "report": ("curate", ("report", dataset, home / "report.html")),
        "decide": ("curate", ("decide", dataset, "keep", picture)),
        "remove": ("curate", ("remove", dataset, picture)),
    }


def commands_on_drawings(lines: Path, home: Path, number: int) -> dict[str, tuple[str, Command]]:
    drawings = link_files(lines, home / "lines", number, ".png")
    return {
        "colorize": ("train", ("colorize", home / "run", drawings, home / "coloured")),
        "serve": ("train", ("serve", home / "run", "--port", 0)),
    }


def measure(
    commands: dict[str, tuple[str, Command]], pictures: int, only: Callable[[str], bool], visits: dict[str, Visit]
) -> dict[str, dict[int, PeakMemory]]:
    peaks = {}
    for name, (program, command) in commands.items():
        if only(name):
            peaks[name] = {pictures: run(program, command, visits.get(name))}
            print(f"# {name} of {pictures:,}: {peaks[name][pictures].own / 1e6:,.0f} MB", file=sys.stderr, flush=True)
    return peaks


def report(art: Path, dataset: Path, pictures: int, only: Sequence[str]) -> dict[str, Any]:
    """Summaries of the peaks at all sizes, by command."""

    def is_wanted(name: str) -> bool:
        return not only or name in only or (name in {"shard", "fit"} and bool(COMMANDS_ON_A_RUN & set(only)))

    peaks: dict[str, dict[int, PeakMemory]] = {}
    lines = Path(f"{art}.lines")
    visits: dict[str, Visit] = {"browse": visit_browse, "serve": partial(visit_serve, min(lines.glob("*.png")))}
    for times in TIMES:
        with tempfile.TemporaryDirectory() as folder:
            home, files = Path(folder), max(1, pictures // FILES_DIVISOR) * times
            peaks_by_name = measure(commands_on_files(art, home, files), files, is_wanted, visits)
            large = make_large_dataset(dataset, home / "dataset", pictures * times, SIDE)
            peaks_by_name |= measure(commands_on_a_dataset(large, home), pictures * times, is_wanted, visits)
            peaks_by_name |= measure(commands_on_drawings(lines, home, files), files, is_wanted, visits)
        for name, peaks_by_size in peaks_by_name.items():
            peaks.setdefault(name, {}).update(peaks_by_size)
    return {name: summarize(peaks_by_size) for name, peaks_by_size in peaks.items()}


def summarize(peaks: dict[int, PeakMemory]) -> dict[str, Any]:
    _, (middle, low), (most, high) = peaks.items()
    slope = (high.own - low.own) / (most - middle)
    return {
        "megabytes": {str(count): round(peak.own / 1e6) for count, peak in peaks.items()},
        "resident_megabytes": {str(count): round(peak.resident / 1e6) for count, peak in peaks.items()},
        "bytes_per_picture": round(slope),
        "gigabytes_at_10_million": round((high.own + max(0.0, slope) * (FORECAST - most)) / 1e9, 2),
    }


@click.command()
@click.argument("art", type=click.Path(path_type=Path, exists=True), default="demo/art")
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), default="demo/dataset")
@click.option("--pictures", type=click.IntRange(1), default=4000, show_default=True, help="n")
@click.option("--only", multiple=True, metavar="NAME", help="Measure this command; repeatable.")
@click.option("--json", "as_json", is_flag=True)
def main(art: Path, dataset: Path, pictures: int, only: tuple[str, ...], as_json: bool) -> None:
    """Print peak memory at n, 4 n and 16 n pictures, by command."""
    result = report(art, dataset, pictures, only)
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, figures in result.items():
        at = ", ".join(f"{peak:,} MB at {int(count):,}" for count, peak in islice(figures["megabytes"].items(), 3))
        slope = f"{figures['bytes_per_picture']:,} bytes per picture, {figures['gigabytes_at_10_million']} GB at 10 M"
        click.echo(f"{name:14} {at}; {slope}")


if __name__ == "__main__":
    main()
