"""Peak memory of every command at n, 4 n and 16 n pictures, and what ten million would take.

Each command runs in a process of its own. What counts is the anonymous memory of it and of all that it started, looked
at fifty times a second: pages of mapped files are the system's to take back. The slope between 4 n and 16 n is what a
picture more takes. Datasets are the given one's records and pairs many times over, shrunk to 16 px for the disk's sake;
extract, sample and colorize are given so many files of real art, a hundredth as many. `run` is its stages, and `ladder`
many a `fit`. `browse` and `serve` are visited: pages of pictures and families, by filters too, with all their squares;
drawings coloured.

Run: python -m tests.faults.memory [ART] [DATASET] [--pictures N] [--only NAME]... [--json]; minutes, on Linux
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
from tests.faults.grown import grown
from tests.faults.watching import Peak, peak

SIDE = 16  # px
TIMES = (1, 4, 16)
FORECAST = 10_000_000
FEWER = 100  # times fewer files than rows, where pixels have to be read
SMALL = ("width=8", "levels=3", "tag_width=16", "discriminator_width=8", "batch_size=4", "jit=false", "half_until=0")
OF_A_RUN = {"evaluate", "export", "show", "colorize", "serve"}
FILTERS = ("", "group:*", "-role:duplicate width:>=128", "face|animal", "id:0*")
PAGE = 60  # pictures
DRAWINGS = 20
Command = tuple[object, ...]
Visit = Callable[[str], None]


def run(program: str, command: Sequence[object], visit: Visit | None = None) -> Peak:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    quietly = () if visit else ("--quiet",)  # the address would not be told
    told = [sys.executable, "-m", program, *map(str, command), *quietly]
    return peak(told, visit, cwd=ROOT, env=environment)


def look(address: str) -> None:
    """Visit `browse`: by each filter some pages from start to end, and every square on them."""
    with httpx2.Client(base_url=f"{address}api/", timeout=60) as page:
        for text in FILTERS:
            total = _told(page.get("pictures", params={"filter": text}))["total"]
            for start in range(0, total, max(PAGE, total // 5)):
                for row in _told(page.get("pictures", params={"filter": text, "start": start, "count": PAGE}))["rows"]:
                    page.get(f"pictures/{row['id']}/color").raise_for_status()
                    _told(page.get(f"pictures/{row['id']}"))
            _told(page.get("families", params={"filter": text}))
            _told(page.get("tags", params={"start": text[:1]}))


def draw(drawing: Path, address: str) -> None:
    """Visit `serve`: the drawing coloured again and again."""
    with httpx2.Client(base_url=f"{address}api/", timeout=60, headers={"origin": address.rstrip("/")}) as page:
        for _ in range(DRAWINGS):
            page.post("colorize", content=drawing.read_bytes()).raise_for_status()


def _told(answer: httpx2.Response) -> Any:
    return answer.raise_for_status().json()


def linked(files: Path, out: Path, number: int, ending: str) -> Path:
    """A folder of links to some files, more than once where they are few."""
    out.mkdir()
    found = sorted(files.glob(f"*{ending}"))
    for place in range(number):
        one = found[place % len(found)]
        (out / f"{place // len(found)}-{one.name}").symlink_to(one.resolve())
    return out


def of_pictures(art: Path, home: Path, number: int) -> dict[str, tuple[str, Command]]:
    """Commands that read files."""
    files = linked(art, home / "art", number, ".png")
    return {
        "sample": ("curate", ("sample", "openmoji", home / "sample", "--limit", number)),
        "extract": ("curate", ("extract", files, home / "extracted")),
    }


def of_rows(dataset: Path, home: Path) -> dict[str, tuple[str, Command]]:
    """Commands that read a dataset, in an order in which each finds what it needs."""
    picture = str(parquet.read_table(parquet.part_path(dataset / "manifest", 0), ["path"])["path"][0])
    shards, fitted = home / "shards", home / "run"
    sets = [word for one in SMALL for word in ("--set", one)]
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


def of_drawings(lines: Path, home: Path, number: int) -> dict[str, tuple[str, Command]]:
    drawings = linked(lines, home / "lines", number, ".png")
    return {
        "colorize": ("train", ("colorize", home / "run", drawings, home / "coloured")),
        "serve": ("train", ("serve", home / "run", "--port", 0)),
    }


def measured(
    commands: dict[str, tuple[str, Command]], pictures: int, only: Callable[[str], bool], visits: dict[str, Visit]
) -> dict[str, dict[int, Peak]]:
    found = {}
    for name, (program, command) in commands.items():
        if only(name):
            found[name] = {pictures: run(program, command, visits.get(name))}
            print(f"# {name} of {pictures:,}: {found[name][pictures].own / 1e6:,.0f} MB", file=sys.stderr, flush=True)
    return found


def report(art: Path, dataset: Path, pictures: int, only: Sequence[str]) -> dict[str, Any]:
    """Peaks by command and size, and their slopes."""

    def asked(name: str) -> bool:
        return not only or name in only or (name in {"shard", "fit"} and bool(OF_A_RUN & set(only)))

    peaks: dict[str, dict[int, Peak]] = {}
    lines = Path(f"{art}.lines")
    visits: dict[str, Visit] = {"browse": look, "serve": partial(draw, min(lines.glob("*.png")))}
    for times in TIMES:
        with tempfile.TemporaryDirectory() as folder:
            home, files = Path(folder), max(1, pictures // FEWER) * times
            found = measured(of_pictures(art, home, files), files, asked, visits)
            made = grown(dataset, home / "dataset", pictures * times, SIDE)
            found |= measured(of_rows(made, home), pictures * times, asked, visits)
            found |= measured(of_drawings(lines, home, files), files, asked, visits)
        for name, one in found.items():
            peaks.setdefault(name, {}).update(one)
    return {name: told(one) for name, one in peaks.items()}


def told(peaks: dict[int, Peak]) -> dict[str, Any]:
    _, (middle, low), (most, high) = peaks.items()
    slope = (high.own - low.own) / (most - middle)
    return {
        "megabytes": {str(count): round(one.own / 1e6) for count, one in peaks.items()},
        "resident_megabytes": {str(count): round(one.resident / 1e6) for count, one in peaks.items()},
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
        at = ", ".join(f"{one:,} MB at {int(count):,}" for count, one in islice(figures["megabytes"].items(), 3))
        more = f"{figures['bytes_per_picture']:,} bytes a picture more, {figures['gigabytes_at_10_million']} GB at 10 M"
        click.echo(f"{name:14} {at}; {more}")


if __name__ == "__main__":
    main()
