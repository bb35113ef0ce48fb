"""What img2dataset, fastdup and imagededup do a CPU second, beside extract, with the JPEGs of tests/bench/extract.py.

img2dataset shrinks local files to 128 px and packs them as webdataset; fastdup makes its features and finds the pairs;
imagededup makes a PHash of each. They run as their users run them, on one worker, in processes of their own; the first
two see their own folder alone, not nurie's packages. Each is told with its start, which is long, and without: by what
the pictures 32 times over take beyond what they take once. Without --peers there is nothing to tell.

Run: python -m tests.bench.peers [--peers FOLDER] [--pictures 12] [--rounds 3] [--json]
Peers: pip install --target PEERS/img2dataset img2dataset, and likewise fastdup: a folder each, for other NumPys;
imagededup as tests/peers.py says
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click
import cv2

from tests.bench.extract import ours, pictures

TIMES = 32  # that every picture is there in the larger set

# -S hides nurie's own packages; standard modules come first, as img2dataset brings a `dataclasses` of Python 3.6
SEES = "import sys; sys.path.append(sys.argv[1])\n"
IMG2DATASET = """
from pathlib import Path
from img2dataset import download
out = Path(sys.argv[3])
(out / "urls.txt").write_text("".join(f"{path.as_uri()}\\n" for path in sorted(Path(sys.argv[2]).iterdir())))
download(url_list=str(out / "urls.txt"), output_folder=str(out / "shards"), output_format="webdataset", image_size=128,
         resize_mode="border", processes_count=1, thread_count=1, disallowed_header_directives=[])
"""
FASTDUP = """
import fastdup
fastdup.create(input_dir=sys.argv[2], work_dir=sys.argv[3]).run(num_threads=1, overwrite=True)
"""
IMAGEDEDUP = """
from pathlib import Path
from tests.peers import encoded
Path(sys.argv[3], "hashes.txt").write_text(str(encoded(Path(sys.argv[1]), Path(sys.argv[2]))[1]))
"""
SCRIPTS = {"img2dataset": IMG2DATASET, "fastdup": FASTDUP, "imagededup": IMAGEDEDUP}
BESIDE = {"imagededup"}  # what sees nurie's packages, too
QUIET = {"NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled", "SENTRY_OPT_OUT": "1", "OMP_NUM_THREADS": "1"}

Run = Callable[[Path, Path], float]
"""Pictures and an empty folder -> CPU seconds."""


def peer(name: str, packages: Path) -> Run:
    """One run of another program. Raises click.ClickException if it fails, with the end of what it said."""

    def run(art: Path, out: Path) -> float:
        before = _children()
        alone = name not in BESIDE
        command = [sys.executable, *["-S"] * alone, "-c", SEES + SCRIPTS[name], *map(str, (packages / name, art, out))]
        environment = os.environ | QUIET | ({} if alone else {"PYTHONPATH": str(Path.cwd())})
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=out)
        made = [*out.rglob("*.tar"), *out.rglob("atrain_features.dat"), *out.rglob("hashes.txt")]
        if done.returncode or not made:
            raise click.ClickException(f"{name} made nothing: {(done.stderr or done.stdout).strip()[-400:]}")
        return _children() - before

    return run


def _children() -> float:
    """CPU seconds of processes that this one started, and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def extracting(art: Path, out: Path) -> float:
    """What extract's worker does: lines by dilate, everything that dedupe and training need."""
    started = time.process_time()
    ours("dilate")(sorted(art.iterdir()), out)
    return time.process_time() - started


def report(folder: Path, packages: Path, count: int, rounds: int) -> dict[str, Any]:
    """Pictures a CPU second of each, with its start and without, and how many times that speed extract has."""
    cv2.setNumThreads(1)
    for name in ("some", "many"):
        (folder / name).mkdir()
    for path in pictures(folder / "some", count):
        for copy in range(TIMES):
            os.link(path, folder / "many" / f"{copy}-{path.name}")
    found = [name for name in SCRIPTS if (packages / name).is_dir()]
    runs: dict[str, Run] = {"extract": extracting, **{name: peer(name, packages) for name in found}}
    _fresh(extracting, folder, "some", "warm")
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(rounds):
        for name, run in runs.items():
            few, many = (_fresh(run, folder, art, f"{turn}-{name}") for art in ("some", "many"))
            spent[name].append((few, many))
    told = {
        name: {
            "with_start": TIMES * count / median(many for _, many in times),
            "without_start": (TIMES - 1) * count / median(many - few for few, many in times),
        }
        for name, times in spent.items()
    }
    mine = told["extract"]["without_start"]
    return {
        "pictures": count,
        "per_cpu_second": told,
        "speed of extract": {name: mine / told[name]["without_start"] for name in found},
    }


def _fresh(run: Run, folder: Path, art: str, name: str) -> float:
    out = folder / f"{art}-{name}"
    out.mkdir()
    return run(folder / art, out)


@click.command()
@click.option("--peers", type=click.Path(path_type=Path, exists=True), help="They are installed here, a folder each.")
@click.option("--pictures", "count", type=click.IntRange(1), default=12, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(peers: Path | None, count: int, rounds: int, as_json: bool) -> None:
    """Time other programs and extract on COUNT pictures, in turns."""
    result: dict[str, Any] = {}
    if peers:
        with tempfile.TemporaryDirectory() as folder:
            result = report(Path(folder), peers.absolute(), count, rounds)
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, one in result.get("per_cpu_second", {}).items():
        click.echo(
            f"{name:12} {one['without_start']:7.1f} pictures a CPU second, {one['with_start']:7.1f} with its start"
        )
    for name, ratio in result.get("speed of extract", {}).items():
        click.echo(f"extract: {ratio:.2f} times {name}")


if __name__ == "__main__":
    main()
