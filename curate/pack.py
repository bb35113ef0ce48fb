"""A plan of shards and the pairs parts -> the files of every shard, whatever its format.

Two passes keep memory bounded and reads sequential: every pairs part is read once and its rows are spilled by target
shard; then each shard is put in its shuffled order. Neither workers nor parts change a byte of the result.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curate import engine, formats, manifest, progress
from curate.contract import SPLITS, ShardFile, read_vocabulary
from curate.errors import DatasetError

SPILLS = ".spill"
SPILLED = (  # of a slot, beside the columns of its pair
    ("position", pa.int64()),
    ("family", pa.string()),
    ("group", pa.string()),
    ("tags", pa.list_(pa.int64())),
)


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
class Form:
    """How pairs are written down."""

    name: str
    """Of formats.WRITERS."""
    encoding: str
    lines: Sequence[str]
    """Line-art methods."""


@dataclass(frozen=True)
class SpillTask:
    """Read one pairs part and spill its rows by shard."""

    part: Path
    number: int
    columns: list[str]
    slots: dict[str, Slot]
    spills: Path


@dataclass(frozen=True)
class ShardTask:
    """Put the rows spilled for one shard in order, and write it."""

    number: int
    split: str
    name: str
    folder: Path
    form: str
    encoding: str


def pack(dataset: Path, shards: Path, plan: Plan, form: Form, workers: engine.Workers) -> dict[str, ShardFile]:
    """Write every planned shard into `shards`, which has the vocabulary already; returns their files by name.

    Raises DatasetError if the dataset has no pair of a planned picture.
    """
    spills = shards / SPILLS
    spills.mkdir()
    files: dict[str, ShardFile] = {}
    with progress.bar("shard", 2 * len(plan.slots)) as bar:
        missing = set(plan.slots)
        for written in engine.run(_spill, _spill_tasks(dataset, plan, spills, form.lines), workers):
            missing.difference_update(written)
            bar.advance(len(written))
        if missing:
            lacking = f"{dataset} has no pair of {len(missing)} chosen pictures ({min(missing)})"
            raise DatasetError(f"{lacking}: choose from its own manifest")
        tasks = [
            ShardTask(number, split, name, shards, form.name, form.encoding)
            for number, (split, name) in enumerate(plan.shards)
        ]
        for records, made in engine.run(_assemble, tasks, workers):
            files |= made
            bar.advance(records)
    for split in SPLITS:
        files |= formats.gather(shards, spills, split)
    shutil.rmtree(spills)
    return files


def _spill_tasks(dataset: Path, plan: Plan, spills: Path, lines: Sequence[str]) -> Iterator[SpillTask]:
    columns = ["id", "color", *(f"line_{method}" for method in lines), "content_box"]
    for number, part in enumerate(manifest.parts(dataset / "pairs")):
        ids = manifest.read_table(part, ["id"])["id"].to_pylist()
        slots = {key: plan.slots[key] for key in ids if key in plan.slots}
        yield SpillTask(part, number, columns, slots, spills)


def _spill(task: SpillTask) -> list[str]:
    table = manifest.read_table(task.part, task.columns)
    by_shard: dict[int, list[int]] = defaultdict(list)
    for row, key in enumerate(table["id"].to_pylist()):
        if slot := task.slots.get(key):
            by_shard[slot.shard].append(row)
    for shard_number, rows in by_shard.items():
        pairs = table.take(rows)
        for name, kind in SPILLED:
            values = [getattr(task.slots[key], name) for key in pairs["id"].to_pylist()]
            pairs = pairs.append_column(name, pa.array(values, kind))
        manifest.write_table(task.spills / f"{shard_number:05d}-{task.number:05d}.parquet", pairs)
    return list(task.slots)


def _assemble(task: ShardTask) -> tuple[int, dict[str, ShardFile]]:
    """Write one shard; returns how many records it has, and its files."""
    spills = task.folder / SPILLS
    spilled = [manifest.read_table(path) for path in sorted(spills.glob(f"{task.number:05d}-*.parquet"))]
    table = pa.concat_tables(spilled).sort_by("position")
    vocabulary = tuple(read_vocabulary(task.folder))
    target = formats.Target(task.folder, spills, task.split, task.name, task.encoding, vocabulary)
    return table.num_rows, formats.WRITERS[task.form](target, table)
