"""The commands that are killed: what each starts from, and when what it made is the same. To add one is one entry."""

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
LOCAL, HERE = ("--workers", "2"), ("--workers", "1")
TINY = ("width=8", "levels=3", "tag_width=8", "discriminator_width=8", "batch_size=4", "jit=false", "log_every=1")
RECIPE = str(Path(__file__).with_name("recipe.toml"))
FIT = ("fit", "shards", "run", "--steps", "4", *(f"--set={one}" for one in (*TINY, "snapshot_every=1", "half_until=0")))
Made = dict[str, bytes | None]


def bytes_below(folder: Path) -> Made:
    """Every file below a folder with its bytes, every folder with None; hidden ones, too."""
    paths = sorted(folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes() for path in paths}


def without_time(folder: Path) -> Made:
    """As bytes_below of a run folder, but for what tells the time: clocks are left out, and TensorBoard's logs."""
    return {
        name: data if data is None else _timeless(name, data)
        for name, data in bytes_below(folder).items()
        if not name.startswith("run/logs/")
    }


def _timeless(name: str, data: bytes) -> bytes:
    if name.endswith(".npz"):
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            kept = {key: (file[key].dtype.str, file[key].shape, file[key].tobytes().hex()) for key in sorted(file)}
        return json.dumps({key: value for key, value in kept.items() if key != "clock/elapsed"}).encode()
    if name.endswith("stats.jsonl"):
        rows = [{**json.loads(line), "elapsed": 0} for line in data.splitlines()]
        return json.dumps(rows, sort_keys=True).encode()
    if name.endswith(".keras"):
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            return b"".join(file.read(one) for one in sorted(file.namelist()) if one != "metadata.json")
    return data


@dataclass(frozen=True)
class Command:
    """A command line below a folder of its own; `{art}` in it stands for the pictures."""

    after: str
    """The command whose work lies in the folder before, by its name; none if it is empty."""
    line: tuple[str, ...]
    """The module, and its arguments."""
    again: tuple[str, ...] | None = None
    """Arguments of the run that goes on, where they are others."""
    cluster: bool = False
    made: Callable[[Path], Made] = bytes_below

    @property
    def pooled(self) -> bool:
        """Whether it has workers that are processes of its own."""
        return LOCAL in pairwise(self.line)

    def arguments(self, art: Path, *, again: bool = False) -> list[str]:
        """Of the process."""
        line = self.again if again and self.again else self.line
        return [*PYTHON, *(one.format(art=art) for one in line)]


COMMANDS: Mapping[str, Command] = {
    "sample": Command("", ("curate", "sample", "openmoji", "art", "--size", "32", "--limit", "70", *LOCAL)),
    "extract": Command("", ("curate", *EXTRACT, *LOCAL)),
    "extract-more": Command("dedupe-few", ("curate", *EXTRACT, *LOCAL)),
    "extract-fresh": Command("extract", ("curate", *EXTRACT, *LOCAL, "--fresh"), ("curate", *EXTRACT, *LOCAL)),
    "extract-dask": Command("", ("curate", *EXTRACT), cluster=True),
    "dedupe": Command("extract", ("curate", *DEDUPE, *LOCAL)),
    "dedupe-again": Command("dedupe", ("curate", *DEDUPE, "--max-distance", "4", "--mirror", *HERE)),
    "dedupe-dask": Command("extract", ("curate", *DEDUPE), cluster=True),
    "remove": Command("dedupe", ("curate", "remove", "dataset", "0023-FE0F-20E3.png", "1F1E6-1F1F8.png")),
    "shard": Command("dedupe", ("curate", *SHARD, *LOCAL)),
    "shard-again": Command("shard", ("curate", *SHARD, *HERE, "--seed", "1")),
    "shard-webdataset": Command("dedupe", ("curate", *SHARD, *HERE, "--format", "webdataset")),
    "shard-imagefolder": Command("dedupe", ("curate", *SHARD, *HERE, "--format", "imagefolder")),
    "shard-dask": Command("dedupe", ("curate", *SHARD), cluster=True),
    "copy": Command("shard", ("curate", "copy", "shards", "copy")),
    "copy-over": Command("copy", ("curate", "copy", "dataset", "copy", "--replace")),
    "run": Command("", ("curate", "run", RECIPE, "--set", "extract.sources=art={art}", *LOCAL)),
    "fit": Command("shard", ("train", *FIT), made=without_time),
    "fit-fresh": Command("fit", ("train", *FIT, "--fresh"), ("train", *FIT), made=without_time),
}

BEFORE: Mapping[str, Command] = {
    "extract-few": Command("", ("curate", *EXTRACT, *LOCAL, "--limit", "30")),
    "dedupe-few": Command("extract-few", ("curate", *DEDUPE, *LOCAL)),
}
"""What others come after, and is not killed."""
