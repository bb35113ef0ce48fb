"""Compare extract's pictures per CPU second with img2dataset, fastdup and imagededup, on tests.bench.extract's JPEGs.

img2dataset shrinks local files to 128 px and packs them as webdataset; fastdup computes its features and finds pairs;
imagededup computes a PHash of each file. They run as their users run them, with one worker, in their own processes; the
first two see only the packages of their own folder. Each is reported with its long start-up and without: by the extra
time that 32 copies of the pictures take over one. Without --peers nothing is measured.

Run: python -m tests.bench.peers [--peers FOLDER] [--pictures 12] [--rounds 3] [--json]
Peers: pip install --target PEERS/img2dataset img2dataset, and likewise fastdup: one folder each, as they need
different versions of NumPy; imagededup as tests/peers.py says
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

COPIES = 32  # of every picture in the larger set

# -S hides nurie's own packages; standard modules come first, as img2dataset brings a `dataclasses` of Python 3.6
USE_PACKAGES = "import sys; sys.path.append(sys.argv[1])\n"
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
WITH_OWN_PACKAGES = {"imagededup"}  # also sees nurie's packages
QUIET = {"NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled", "SENTRY_OPT_OUT": "1", "OMP_NUM_THREADS": "1"}

Run = Callable[[Path, Path], float]
"""Pictures and an empty folder -> CPU seconds."""


def peer(name: str, packages: Path) -> Run:
    """A function that runs another program. It raises click.ClickException with the end of the output if that fails."""

    def run(art: Path, out: Path) -> float:
        before = _children()
        alone = name not in WITH_OWN_PACKAGES
        command = [
            sys.executable,
            *["-S"] * alone,
            "-c",
            USE_PACKAGES + SCRIPTS[name],
            *map(str, (packages / name, art, out)),
        ]
        environment = os.environ | QUIET | ({} if alone else {"PYTHONPATH": str(Path.cwd())})
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=out)
        outputs = [*out.rglob("*.tar"), *out.rglob("atrain_features.dat"), *out.rglob("hashes.txt")]
        if done.returncode or not outputs:
            raise click.ClickException(f"{name} produced nothing: {(done.stderr or done.stdout).strip()[-400:]}")
        return _children() - before

    return run


def _children() -> float:
    """CPU seconds of the ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def extracting(art: Path, out: Path) -> float:
    """CPU seconds of extract's worker: lines by dilate, and everything that dedupe and training need."""
    started = time.process_time()
    ours("dilate")(sorted(art.iterdir()), out)
    return time.process_time() - started


def report(folder: Path, packages: Path, count: int, rounds: int) -> dict[str, Any]:
    """Pictures per CPU second of each program, with and without its start-up, and how many times faster extract is."""
    cv2.setNumThreads(1)
    for name in ("few", "many"):
        (folder / name).mkdir()
    for path in pictures(folder / "few", count):
        for copy in range(COPIES):
            os.link(path, folder / "many" / f"{copy}-{path.name}")
    installed = [name for name in SCRIPTS if (packages / name).is_dir()]
    runs: dict[str, Run] = {"extract": extracting, **{name: peer(name, packages) for name in installed}}
    _fresh(extracting, folder, "few", "warm")
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(rounds):
        for name, run in runs.items():
            few, many = (_fresh(run, folder, art, f"{turn}-{name}") for art in ("few", "many"))
            spent[name].append((few, many))
    speeds = {
        name: {
            "with_start": COPIES * count / median(many for _, many in times),
            "without_start": (COPIES - 1) * count / median(many - few for few, many in times),
        }
        for name, times in spent.items()
    }
    extract_speed = speeds["extract"]["without_start"]
    return {
        "pictures": count,
        "per_cpu_second": speeds,
        "speed of extract": {name: extract_speed / speeds[name]["without_start"] for name in installed},
    }


def _fresh(run: Run, folder: Path, art: str, name: str) -> float:
    out = folder / f"{art}-{name}"
    out.mkdir()
    return run(folder / art, out)


@click.command()
@click.option(
    "--peers", type=click.Path(path_type=Path, exists=True), help="Folder with a folder of packages for each program."
)
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
    for name, speeds in result.get("per_cpu_second", {}).items():
        rates = "{without_start:7.1f} pictures per CPU second, {with_start:7.1f} with its start-up".format(**speeds)
        click.echo(f"{name:12} {rates}")
    for name, ratio in result.get("speed of extract", {}).items():
        click.echo(f"extract: {ratio:.2f} times {name}")


if __name__ == "__main__":
    main()
