"""The commands that are killed, what each starts from, and how its files are compared. Add a command to COMMANDS."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

PYTHON = (sys.executable, "-m")
PICTURES = 60
EXTRACT = ("extract", "art={art}", "dataset", "--size", "32", "--lines", "dilate")
DEDUPE = ("dedupe", "dataset", "--split", "0.6,0.2,0.2")
SHARD = ("shard", "dataset", "shards", "--shard-size", "10", "--min-count", "2")
TWO_WORKERS, ONE_WORKER = ("--workers", "2"), ("--workers", "1")
TINY = ("width=8", "levels=3", "tag_width=8", "discriminator_width=8", "batch_size=4", "jit=false", "log_every=1")
RECIPE = str(Path(__file__).with_name("recipe.toml"))
FIT = (
    "fit",
    "shards",
    "run",
    "--steps",
    "4",
    *(f"--set={setting}" for setting in (*TINY, "snapshot_every=1", "half_until=0")),
)
Contents = dict[str, bytes | None]
"""Path -> bytes of a file, or None for a folder."""


def bytes_below(folder: Path) -> Contents:
    """Contents of a folder, with hidden files."""
    paths = sorted(folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes() for path in paths}


def without_times(folder: Path) -> Contents:
    """Contents of a run folder without elapsed times and TensorBoard's logs, which differ between equal runs."""
    return {
        name: data if data is None else _without_times(name, data)
        for name, data in bytes_below(folder).items()
        if not name.startswith("run/logs/")
    }


def _without_times(name: str, data: bytes) -> bytes:
    if name.endswith(".npz"):
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {key: (file[key].dtype.str, file[key].shape, file[key].tobytes().hex()) for key in sorted(file)}
        return json.dumps({key: value for key, value in arrays.items() if key != "clock/elapsed"}).encode()
    if name.endswith("stats.jsonl"):
        rows = [{**json.loads(line), "elapsed": 0} for line in data.splitlines()]
        return json.dumps(rows, sort_keys=True).encode()
    if name.endswith(".keras"):
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            return b"".join(file.read(member) for member in sorted(file.namelist()) if member != "metadata.json")
    return data


@dataclass(frozen=True)
class Command:
    """A command line that runs in a folder of its own. `{art}` stands for the folder of pictures."""

    after: str
    """Name of the command whose files are in the folder at the start; empty for an empty folder."""
    line: tuple[str, ...]
    """The module and its arguments."""
    again: tuple[str, ...] | None = None
    """The module and arguments of the continued run, if they differ."""
    cluster: bool = False
    contents: Callable[[Path], Contents] = bytes_below
    """Reads the files that are compared."""

    @property
    def pooled(self) -> bool:
        """Whether it starts worker processes."""
        return TWO_WORKERS in pairwise(self.line)

    def arguments(self, art: Path, *, again: bool = False) -> list[str]:
        """Arguments of the process; with `again`, those of a continued run."""
        line = self.again if again and self.again else self.line
        return [*PYTHON, *(word.format(art=art) for word in line)]


COMMANDS: Mapping[str, Command] = {
    "sample": Command("", ("curate", "sample", "openmoji", "art", "--size", "32", "--limit", "70", *TWO_WORKERS)),
    "extract": Command("", ("curate", *EXTRACT, *TWO_WORKERS)),
    "extract-more": Command("dedupe-few", ("curate", *EXTRACT, *TWO_WORKERS)),
    "extract-fresh": Command(
        "extract", ("curate", *EXTRACT, *TWO_WORKERS, "--fresh"), ("curate", *EXTRACT, *TWO_WORKERS)
    ),
    "extract-dask": Command("", ("curate", *EXTRACT), cluster=True),
    "dedupe": Command("extract", ("curate", *DEDUPE, *TWO_WORKERS)),
    "dedupe-again": Command("dedupe", ("curate", *DEDUPE, "--max-distance", "4", "--mirror", *ONE_WORKER)),
    "dedupe-dask": Command("extract", ("curate", *DEDUPE), cluster=True),
    "remove": Command("dedupe", ("curate", "remove", "dataset", "0023-FE0F-20E3.png", "1F1E6-1F1F8.png")),
    "shard": Command("dedupe", ("curate", *SHARD, *TWO_WORKERS)),
    "shard-again": Command("shard", ("curate", *SHARD, *ONE_WORKER, "--seed", "1")),
    "shard-webdataset": Command("dedupe", ("curate", *SHARD, *ONE_WORKER, "--format", "webdataset")),
    "shard-imagefolder": Command("dedupe", ("curate", *SHARD, *ONE_WORKER, "--format", "imagefolder")),
    "shard-dask": Command("dedupe", ("curate", *SHARD), cluster=True),
    "copy": Command("shard", ("curate", "copy", "shards", "copy")),
    "copy-over": Command("copy", ("curate", "copy", "dataset", "copy", "--replace")),
    "run": Command("", ("curate", "run", RECIPE, "--set", "extract.sources=art={art}", *TWO_WORKERS)),
    "fit": Command("shard", ("train", *FIT), contents=without_times),
    "fit-fresh": Command("fit", ("train", *FIT, "--fresh"), ("train", *FIT), contents=without_times),
}

BEFORE: Mapping[str, Command] = {
    "extract-few": Command("", ("curate", *EXTRACT, *TWO_WORKERS, "--limit", "30")),
    "dedupe-few": Command("extract-few", ("curate", *DEDUPE, *TWO_WORKERS)),
}
"""Commands that others start from, and that are not killed themselves."""
