"""A plan of shards and the pairs parts -> TFRecord files and the tables of their records.

Two passes keep memory bounded and reads sequential: every pairs part is read once and its records are spilled by
target shard; then each shard is put in its shuffled order. Neither workers nor parts change a byte of the result.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from curate import engine, manifest, progress, tfrecord
from curate.contract import ShardFile, atomic_write, sha256
from curate.errors import DatasetError

SPILLS = ".spill"
SPILL = pa.schema([("position", pa.int64()), ("id", pa.string()), ("family", pa.string()), ("example", pa.binary())])


@dataclass(frozen=True)
class Slot:
    """Where a pair goes, and what goes with it besides its pixels."""

    shard: int
    """Number in the plan, over all splits."""
    position: int
    family: str
    group: str
    tags: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """Every shard's split and name, and every pair's slot by id."""

    shards: list[tuple[str, str]]
    slots: dict[str, Slot]
    vocabulary: list[str]


@dataclass(frozen=True)
class SpillTask:
    """Read one pairs part and spill its records by shard."""

    part: Path
    number: int
    slots: dict[str, Slot]
    spills: Path
    encoding: str


@dataclass(frozen=True)
class ShardTask:
    """Put the records spilled for one shard in order."""

    number: int
    split: str
    name: str
    spills: Path
    folder: Path


def pack(dataset: Path, shards: Path, plan: Plan, encoding: str, workers: int) -> dict[str, ShardFile]:
    """Write every planned shard into `shards`; returns its files by name.

    Raises DatasetError if the dataset has no pair of a planned picture.
    """
    spills = shards / SPILLS
    spills.mkdir()
    files: dict[str, ShardFile] = {}
    with progress.bar("shard", 2 * len(plan.slots)) as bar:
        missing = set(plan.slots)
        for written in engine.run(_spill, _spill_tasks(dataset, plan, spills, encoding), workers):
            missing.difference_update(written)
            bar.advance(len(written))
        if missing:
            lacking = f"{dataset} has no pair of {len(missing)} chosen pictures ({min(missing)})"
            raise DatasetError(f"{lacking}: choose from its own manifest")
        tasks = [ShardTask(n, split, name, spills, shards) for n, (split, name) in enumerate(plan.shards)]
        for made in engine.run(_assemble, tasks, workers):
            files |= made
            bar.advance(max(file.records for file in made.values()))
    shutil.rmtree(spills)
    return files


def _spill_tasks(dataset: Path, plan: Plan, spills: Path, encoding: str) -> Iterator[SpillTask]:
    for number, part in enumerate(manifest.parts(dataset / "pairs")):
        ids = manifest.read_table(part, ["id"])["id"].to_pylist()
        slots = {key: plan.slots[key] for key in ids if key in plan.slots}
        yield SpillTask(part, number, slots, spills, encoding)


def _spill(task: SpillTask) -> list[str]:
    by_shard: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for pair in manifest.read_table(task.part).to_pylist():
        if slot := task.slots.get(pair["id"]):
            row = {"position": slot.position, "id": pair["id"], "family": slot.family}
            by_shard[slot.shard].append(row | {"example": _example(pair, slot, task.encoding)})
    for shard_number, rows in by_shard.items():
        manifest.write_rows(task.spills / f"{shard_number:05d}-{task.number:05d}.parquet", rows, SPILL)
    return list(task.slots)


def _example(pair: dict[str, Any], slot: Slot, encoding: str) -> bytes:
    pixels = {name: value for name, value in pair.items() if name == "color" or name.startswith("line_")}
    if encoding == "raw":
        pixels = {name: _raw(value) for name, value in pixels.items()}
    texts = {"id": pair["id"].encode(), "family": slot.family.encode(), "group": slot.group.encode()}
    return tfrecord.example({**texts, **pixels, "content_box": pair["content_box"], "tags": slot.tags})


def _raw(png_bytes: bytes) -> bytes:
    """PNG -> pixels in rows, RGB or gray."""
    pixels = np.asarray(cv2.imdecode(np.frombuffer(png_bytes, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
    return (pixels[..., ::-1] if pixels.ndim > 2 else pixels).tobytes()


def _assemble(task: ShardTask) -> dict[str, ShardFile]:
    """Write one shard and the table of its records."""
    spilled = [manifest.read_table(path) for path in sorted(task.spills.glob(f"{task.number:05d}-*.parquet"))]
    table = pa.concat_tables(spilled).sort_by("position")
    examples = table["example"].to_pylist()
    path, listing = task.folder / task.name, (task.folder / task.name).with_suffix(".parquet")
    with atomic_write(path) as file:
        for one in examples:
            file.write(tfrecord.frame(one))
    places = tfrecord.spans(map(len, examples))
    columns = table.select(["id", "family"])
    columns = columns.append_column("offset", pa.array([place.offset for place in places], pa.int64()))
    columns = columns.append_column("length", pa.array([place.length for place in places], pa.int64()))
    manifest.write_table(listing, columns)
    return {one.name: described(one, task.split, len(examples)) for one in (path, listing)}


def described(path: Path, split: str, records: int) -> ShardFile:
    """A written file's entry in the index."""
    return ShardFile(split, records, path.stat().st_size, sha256(path))
