"""Move the pixels: the plan of a shard folder and the dataset's pairs in, every shard's files out.

Two passes keep memory bounded and reads sequential. The first reads each part of `pairs/` once and spills its rows into
a file per shard (per several shards where there are many). The second reads the spills of a shard, puts its rows in
their shuffled order and writes it. Neither the number of workers nor the parts' sizes change a byte of the result.

On a cluster, a worker that was given up as lost may still finish its task, so any task may run twice at once. Each
attempt therefore spills into a folder with a random name, only the folders of attempts that returned are read, and only
the parent process deletes spills.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate import storage, terminal
from curate.contract import SPLITS, VOCABULARY_FILE, ShardFile
from curate.dataset import ledger, parquet
from curate.shards import formats
from curate.shards.kept_rows import Int64Array
from curate.shards.shard_plan import ShardFormat, ShardPlan
from curate.stores import worker_folder
from curate.system.errors import DamagedError, DatasetError, NurieError, name_file_in_errors
from curate.workers import executor

SPILL_FOLDER = ".spill"
SPILL_BATCH_BYTES = 1 << 27  # bytes of pairs that one task spills


@dataclass(frozen=True)
class SpillTask:
    """Read some parts of `pairs/` and spill their rows by shard."""

    parts: dict[Path, str | None]
    """The SHA-256 of each part; None where `dataset.json` does not list it."""
    columns: list[str]
    rows: Int64Array
    """(pairs,) rows of the joined parts that go into shards, in the order of their shards."""
    placements: pa.Table
    """(pairs,) as ShardPlan.placements returns it."""
    shards_per_spill: int
    spill_folder: Path


@dataclass(frozen=True)
class AssembleTask:
    """Put the spilled rows of some shards in order and write the shards."""

    spill_number: int
    """Number of the spill file of these shards in every attempt's folder."""
    attempts: tuple[str, ...]
    """Names of the folders with complete spills."""
    pairs: int
    """Of all these shards together."""
    shards: dict[int, tuple[str, str]]
    """(split, name) by position in the plan."""
    folder: Path
    format: ShardFormat


def pack_shards(
    dataset: Path, shards: Path, plan: ShardPlan, shard_format: ShardFormat, workers: executor.Workers
) -> dict[str, ShardFile]:
    """Write every planned shard into the folder `shards`, which holds the vocabulary already; return files by name.

    Raises DatasetError if the dataset has no pair of a planned picture, NurieError for a format that workers cannot
    write into an object store.
    """
    with (
        worker_folder.staging_folder(shards, workers) as folder,
        terminal.ProgressBar("shard", 2 * len(plan.rows)) as bar,
    ):
        if storage.is_remote(folder):
            _check_format_for_store(shard_format)
            storage.write_bytes(folder / VOCABULARY_FILE, (shards / VOCABULARY_FILE).read_bytes())
        storage.make_folder(folder / SPILL_FOLDER)
        attempts = _spill_all(dataset, folder / SPILL_FOLDER, plan, shard_format, workers, bar)
        tasks = list(_assemble_tasks(folder, plan, shard_format, attempts))
        files: dict[str, ShardFile] = {}
        for task, (records, written) in zip(tasks, executor.run(_assemble, tasks, workers), strict=True):
            for name in written:
                worker_folder.collect_file(folder / name, shards / name)
            files |= written
            for path in _spill_paths(task):
                storage.delete_file(path)
            bar.advance(records)
        for split in SPLITS:
            files |= formats.merge_listings(shards, shards / SPILL_FOLDER, split)
        storage.delete_folder(folder / SPILL_FOLDER)  # a late attempt may still write there
    for leftover in [*shards.glob(".*.tmp"), *shards.glob("*/.*.tmp")]:
        leftover.unlink(missing_ok=True)  # of an attempt whose worker was lost
    return files


def _check_format_for_store(shard_format: ShardFormat) -> None:
    if shard_format.name == "imagefolder":
        problem = "--format imagefolder renames folders, which an object store cannot do"
        raise NurieError(f"{problem}: leave --scheduler out, or give folders that all hosts share")


def _spill_all(
    dataset: Path,
    spills: Path,
    plan: ShardPlan,
    shard_format: ShardFormat,
    workers: executor.Workers,
    bar: terminal.ProgressBar,
) -> tuple[str, ...]:
    """Spill every pair of the plan; return the names of the attempts' folders. Raises DatasetError as `pack_shards`."""
    missing = np.ones(len(plan.rows), bool)
    tasks = _spill_tasks(dataset, plan, spills, shard_format.lines, missing, workers)
    attempts = []
    for spilled, attempt in executor.run(_spill, tasks, workers):
        attempts.append(attempt)
        bar.advance(spilled)
    if missing.any():
        example = plan.rows.hex_id(int(missing.argmax()))
        raise DatasetError(
            f"{dataset} has no pair of {missing.sum()} chosen pictures ({example}): choose from its own manifest"
        )
    return tuple(attempts)


def _spill_tasks(
    dataset: Path,
    plan: ShardPlan,
    spills: Path,
    lines: Sequence[str],
    missing: npt.NDArray[np.bool_],
    workers: executor.Workers,
) -> Iterator[SpillTask]:
    """Yield a task per batch of parts, and set `missing` to False for the rows whose pairs are in it."""
    columns = ["id", "color", *(f"line_{method}" for method in lines), "content_box"]
    digests = ledger.peek_ledger(dataset)["parts"]
    worker_paths = worker_folder.pair_parts_for_workers(dataset, workers, spills)
    for batch in _part_batches(parquet.part_paths(dataset / "pairs"), columns):
        parts = {worker_paths[part]: digests.get(part.relative_to(dataset).as_posix()) for part in batch}
        ids = pa.concat_tables(parquet.read_table(part, ["id"]) for part in batch)["id"].cast(pa.string())
        kept = plan.rows.row_numbers(ids.combine_chunks())
        missing[kept[kept >= 0]] = False
        rows = np.flatnonzero(kept >= 0)
        rows = rows[plan.shard_numbers[kept[rows]].argsort(kind="stable")]
        yield SpillTask(parts, columns, rows, plan.placements(kept[rows]), plan.shards_per_spill, spills)


def _part_batches(parts: list[Path], columns: Collection[str]) -> Iterator[list[Path]]:
    """Yield the parts in their order, in batches of at most SPILL_BATCH_BYTES, or of one larger part."""
    batch: list[Path] = []
    total = 0
    for part in parts:
        size = parquet.uncompressed_bytes(part, columns)
        total += size
        if batch and total > SPILL_BATCH_BYTES:
            yield batch
            batch, total = [], size
        batch.append(part)
    if batch:
        yield batch


def _assemble_tasks(
    folder: Path, plan: ShardPlan, shard_format: ShardFormat, attempts: tuple[str, ...]
) -> Iterator[AssembleTask]:
    pairs = np.bincount(plan.shard_numbers, minlength=len(plan.shards))
    for first in range(0, len(plan.shards), plan.shards_per_spill):
        shards = dict(enumerate(plan.shards[first : first + plan.shards_per_spill], first))
        number = int(pairs[first : first + plan.shards_per_spill].sum())
        yield AssembleTask(first // plan.shards_per_spill, attempts, number, shards, folder, shard_format)


def _spill(task: SpillTask) -> tuple[int, str]:
    """Write pairs into this attempt's own folder, a file per spill number; return how many, and the folder's name."""
    for part, digest in task.parts.items():
        if digest is not None and storage.file_sha256(part) != digest:  # checked where the bytes are read anyway
            raise DamagedError(f"{part} has other bytes than {ledger.LEDGER_FILE} says: {ledger.AFRESH}")
    own_folder = task.spill_folder / uuid4().hex
    storage.make_folder(own_folder)
    pairs = pa.concat_tables(parquet.read_table(part, task.columns) for part in task.parts).take(task.rows)
    for name in task.placements.column_names:
        pairs = pairs.append_column(name, task.placements[name])
    numbers, starts = np.unique(task.placements["shard"].to_numpy() // task.shards_per_spill, return_index=True)
    for number, (start, end) in zip(numbers, pairwise([*starts, len(task.rows)]), strict=True):
        path = own_folder / f"{number:05d}.arrows"
        with _open_spill(path) as file, pa.ipc.new_stream(file, pairs.schema) as stream:
            stream.write_table(pairs.slice(start, end - start))
    return len(task.rows), own_folder.name


def _open_spill(path: Path) -> AbstractContextManager[BinaryIO]:
    """Open a spill for writing. A local one needs no atomic write: it counts only once its task has returned."""
    return storage.open_atomic(path) if storage.is_remote(path) else _open_local(path)


@contextmanager
def _open_local(path: Path) -> Iterator[BinaryIO]:
    with name_file_in_errors(path), path.open("wb") as file:
        yield file


def _spill_paths(task: AssembleTask) -> list[Path]:
    paths = [task.folder / SPILL_FOLDER / attempt / f"{task.spill_number:05d}.arrows" for attempt in task.attempts]
    return [path for path in paths if storage.exists(path)]


def _read_spill(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a spill; a local one is mapped, so that only what is used is read."""
    with pa.BufferReader(storage.read_bytes(path)) if storage.is_remote(path) else pa.memory_map(str(path)) as file:
        yield from pa.ipc.open_stream(file)


def _assemble(task: AssembleTask) -> tuple[int, dict[str, ShardFile]]:
    """Write some shards; return how many records they have, and their files by name.

    Raises DatasetError, before anything is written, if spills are missing: another attempt at this task has finished,
    and the parent process deletes them.
    """
    batches = [batch for path in _spill_paths(task) for batch in _read_spill(path)]
    if (found := sum(map(len, batches))) != task.pairs:
        raise DatasetError(f"{task.folder} holds {found} of {task.pairs} spilled pairs of a shard: run it again")
    rows = pa.Table.from_batches(batches)
    vocabulary = tuple(storage.read_bytes(task.folder / VOCABULARY_FILE).decode().splitlines())
    scratch, encoding, options_hash = task.folder / SPILL_FOLDER, task.format.encoding, task.format.options_hash
    files: dict[str, ShardFile] = {}
    for number, (split, name) in task.shards.items():
        target = formats.ShardTarget(task.folder, scratch, split, name, encoding, vocabulary, options_hash)
        shard_rows = rows if len(task.shards) == 1 else rows.filter(pc.equal(rows["shard"], number))
        files |= formats.SHARD_WRITERS[task.format.name](target, _pair_records(shard_rows, task.format.lines))
    return len(rows), files


def _pair_records(rows: pa.Table, lines: Sequence[str]) -> list[formats.PairRecord]:
    """Spilled rows of one shard as records, in their shuffled order."""
    pictures = ["color", *(f"line_{method}" for method in lines)]
    texts = ("id", "family", "group", "tags", "content_box")
    return [
        formats.PairRecord(**{name: row[name] for name in texts}, pictures={name: row[name] for name in pictures})
        for row in sorted(rows.to_pylist(), key=itemgetter("position"))
    ]
