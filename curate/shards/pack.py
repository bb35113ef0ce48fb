"""A plan of shards and the pairs parts -> the files of every shard, whatever its format.

Two passes keep memory bounded and reads sequential: every pairs part is read once and its rows are spilled by target
shard, some shards together where there are many; then each shard is put in its shuffled order. Neither workers nor
parts change a byte of the result.

Either may be done twice at once, on a cluster whose worker was given up as lost. So an attempt spills into a folder
that it has named at random, only those whose result came back are read, and spills are removed by the run alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
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
from curate.shards.kept_rows import Int64Array, KeptRows
from curate.stores import worker_folder
from curate.system.errors import DamagedError, DatasetError, NurieError, name_file_in_errors
from curate.workers import executor

SPILL_FOLDER = ".spill"
SPILL_BATCH_BYTES = 1 << 27  # bytes of pairs spilled at once
MAX_SPILL_FILES = 256  # most files that are spilled to at once: a spill of a row or two costs more than the row


@dataclass(frozen=True)
class ShardPlan:
    """Every shard's split and name, and every kept row's place."""

    shards: list[tuple[str, str]]
    rows: KeptRows
    shard_numbers: npt.NDArray[np.int32]
    """(rows,) number in `shards`."""
    positions: npt.NDArray[np.int32]
    """(rows,) in its shard."""
    vocabulary: list[str]

    @cached_property
    def vocabulary_numbers(self) -> Int64Array:
        """(texts of tags,) number in the vocabulary, -1 for one that it lacks."""
        known = {tag: number for number, tag in enumerate(self.vocabulary)}
        return np.array([known.get(str(text), -1) for text in self.rows.texts["tags"]], np.int64)

    def placements(self, rows: Int64Array) -> pa.Table:
        """Where the pairs of kept rows go, and what goes with them besides their pixels."""
        places = {"shard": self.shard_numbers[rows], "position": self.positions[rows]}
        family, group = self.rows.families_and_groups(rows)
        return pa.table(
            {**places, "family": family, "group": group, "tags": self.rows.tag_numbers(rows, self.vocabulary_numbers)}
        )

    @property
    def shards_per_spill(self) -> int:
        """Shards that are spilled together."""
        return -(-len(self.shards) // MAX_SPILL_FILES)


@dataclass(frozen=True)
class ShardFormat:
    """How pairs are written down."""

    name: str
    """Of formats.WRITERS."""
    encoding: str
    lines: Sequence[str]
    """Line-art methods."""
    options_hash: str
    """Of all that decides the bytes."""


@dataclass(frozen=True)
class SpillTask:
    """Read some pairs parts and spill their rows by shard."""

    parts: dict[Path, str | None]
    """With the SHA-256 of each, where `dataset.json` has it."""
    columns: list[str]
    rows: Int64Array
    """(pairs,) rows of all parts that go into shards, in the order of their shards."""
    placements: pa.Table
    """(pairs,) rows of Plan.slots."""
    shards_per_spill: int
    spill_folder: Path


@dataclass(frozen=True)
class AssembleTask:
    """Put the rows spilled for some shards in order, and write them."""

    spill_number: int
    """Number of their files of spills."""
    attempts: tuple[str, ...]
    """Folders of spills that are whole."""
    pairs: int
    """In all the shards."""
    shards: dict[int, tuple[str, str]]
    """Split and name by number in the plan."""
    folder: Path
    format: ShardFormat


def pack_shards(
    dataset: Path, shards: Path, plan: ShardPlan, form: ShardFormat, workers: executor.Workers
) -> dict[str, ShardFile]:
    """Write every planned shard into `shards`, which has the vocabulary already; returns their files by name.

    Raises DatasetError if the dataset has no pair of a planned picture, NurieError for a format that workers cannot
    leave in a store.
    """
    with (
        worker_folder.staging_folder(shards, workers) as folder,
        terminal.ProgressBar("shard", 2 * len(plan.rows)) as bar,
    ):
        if storage.is_remote(folder):
            _check_format_for_store(form)
            storage.write_bytes(folder / VOCABULARY_FILE, (shards / VOCABULARY_FILE).read_bytes())
        storage.make_folder(folder / SPILL_FOLDER)
        attempts = _spill_all(dataset, folder / SPILL_FOLDER, plan, form, workers, bar)
        tasks = list(_assemble_tasks(folder, plan, form, attempts))
        files: dict[str, ShardFile] = {}
        for task, (records, made) in zip(tasks, executor.run(_assemble, tasks, workers), strict=True):
            for name in made:
                worker_folder.collect_file(folder / name, shards / name)
            files |= made
            for path in _spill_paths(task):
                storage.delete_file(path)
            bar.advance(records)
        for split in SPLITS:
            files |= formats.merge_listings(shards, shards / SPILL_FOLDER, split)
        storage.delete_folder(folder / SPILL_FOLDER)  # an attempt that comes too late may still write there
    for torn in [*shards.glob(".*.tmp"), *shards.glob("*/.*.tmp")]:
        torn.unlink(missing_ok=True)  # of an attempt whose worker was lost
    return files


def _check_format_for_store(form: ShardFormat) -> None:
    if form.name == "imagefolder":
        told = "--format imagefolder is made of renamed folders, and a store has none"
        raise NurieError(f"{told}: leave --scheduler out, or give folders that all hosts see")


def _spill_all(
    dataset: Path,
    spills: Path,
    plan: ShardPlan,
    form: ShardFormat,
    workers: executor.Workers,
    bar: terminal.ProgressBar,
) -> tuple[str, ...]:
    """Spill every pair of the plan; returns the folders of those that came back. Raises DatasetError as `pack` does."""
    missing = np.ones(len(plan.rows), bool)
    tasks = _spill_tasks(dataset, plan, spills, form.lines, missing, workers)
    attempts = []
    for spilled, attempt in executor.run(_spill, tasks, workers):
        attempts.append(attempt)
        bar.advance(spilled)
    if missing.any():
        lacking = (
            f"{dataset} has no pair of {missing.sum()} chosen pictures ({plan.rows.hex_id(int(missing.argmax()))})"
        )
        raise DatasetError(f"{lacking}: choose from its own manifest")
    return tuple(attempts)


def _spill_tasks(
    dataset: Path,
    plan: ShardPlan,
    spills: Path,
    lines: Sequence[str],
    missing: npt.NDArray[np.bool_],
    workers: executor.Workers,
) -> Iterator[SpillTask]:
    """Tasks by the ids of the parts, whose rows are then not `missing` any more."""
    columns = ["id", "color", *(f"line_{method}" for method in lines), "content_box"]
    digests, seen = ledger.peek_ledger(dataset)["parts"], worker_folder.pair_parts_for_workers(dataset, workers, spills)
    for parts in _part_batches(parquet.part_paths(dataset / "pairs"), columns):
        told = {seen[part]: digests.get(part.relative_to(dataset).as_posix()) for part in parts}
        ids = pa.concat_tables(parquet.read_table(part, ["id"]) for part in parts)["id"].cast(pa.string())
        found = plan.rows.row_numbers(ids.combine_chunks())
        missing[found[found >= 0]] = False
        rows = np.flatnonzero(found >= 0)
        rows = rows[plan.shard_numbers[found[rows]].argsort(kind="stable")]
        yield SpillTask(told, columns, rows, plan.placements(found[rows]), plan.shards_per_spill, spills)


def _part_batches(parts: list[Path], columns: Collection[str]) -> Iterator[list[Path]]:
    """Parts in their order, as many at once as AT_ONCE holds."""
    held: list[Path] = []
    total = 0
    for part in parts:
        size = parquet.uncompressed_bytes(part, columns)
        total += size
        if held and total > SPILL_BATCH_BYTES:
            yield held
            held, total = [], size
        held.append(part)
    if held:
        yield held


def _assemble_tasks(
    folder: Path, plan: ShardPlan, form: ShardFormat, attempts: tuple[str, ...]
) -> Iterator[AssembleTask]:
    pairs = np.bincount(plan.shard_numbers, minlength=len(plan.shards))
    for first in range(0, len(plan.shards), plan.shards_per_spill):
        shards = dict(enumerate(plan.shards[first : first + plan.shards_per_spill], first))
        number = int(pairs[first : first + plan.shards_per_spill].sum())
        yield AssembleTask(first // plan.shards_per_spill, attempts, number, shards, folder, form)


def _spill(task: SpillTask) -> tuple[int, str]:
    """Write pairs to files of this attempt's own, by their shards; returns how many, and the files' folder."""
    for part, digest in task.parts.items():
        if digest is not None and storage.file_sha256(part) != digest:  # here, where what is read for it is read anyway
            raise DamagedError(f"{part} has other bytes than {ledger.LEDGER_FILE} says: {ledger.AFRESH}")
    own = task.spill_folder / uuid4().hex
    storage.make_folder(own)
    pairs = pa.concat_tables(parquet.read_table(part, task.columns) for part in task.parts).take(task.rows)
    for name in task.placements.column_names:
        pairs = pairs.append_column(name, task.placements[name])
    numbers, starts = np.unique(task.placements["shard"].to_numpy() // task.shards_per_spill, return_index=True)
    for number, (start, end) in zip(numbers, pairwise([*starts, len(task.rows)]), strict=True):
        path = own / f"{number:05d}.arrows"
        with _open_spill(path) as file, pa.ipc.new_stream(file, pairs.schema) as stream:
            stream.write_table(pairs.slice(start, end - start))
    return len(task.rows), own.name


def _open_spill(path: Path) -> AbstractContextManager[BinaryIO]:
    """A file whose attempt counts once its result is back: so it need not last, nor be whole until then."""
    return storage.open_atomic(path) if storage.is_remote(path) else _open_local(path)


@contextmanager
def _open_local(path: Path) -> Iterator[BinaryIO]:
    with name_file_in_errors(path), path.open("wb") as file:
        yield file


def _spill_paths(task: AssembleTask) -> list[Path]:
    paths = [task.folder / SPILL_FOLDER / attempt / f"{task.spill_number:05d}.arrows" for attempt in task.attempts]
    return [path for path in paths if storage.exists(path)]


def _read_spill(path: Path) -> Iterator[pa.RecordBatch]:
    """What a file of spills holds; of one on this host, only what is looked at is read."""
    with pa.BufferReader(storage.read_bytes(path)) if storage.is_remote(path) else pa.memory_map(str(path)) as file:
        yield from pa.ipc.open_stream(file)


def _assemble(task: AssembleTask) -> tuple[int, dict[str, ShardFile]]:
    """Write some shards; returns how many records they have, and their files.

    Raises DatasetError, before it writes, if spills are missing: another attempt is done, and the run removes them.
    """
    batches = [batch for path in _spill_paths(task) for batch in _read_spill(path)]
    if (found := sum(map(len, batches))) != task.pairs:
        raise DatasetError(f"{found} of {task.pairs} pairs are there to be written into {task.folder}: run it again")
    pairs = pa.Table.from_batches(batches)
    vocabulary = tuple(storage.read_bytes(task.folder / VOCABULARY_FILE).decode().splitlines())
    files: dict[str, ShardFile] = {}
    for number, (split, name) in task.shards.items():
        form, scratch = task.format, task.folder / SPILL_FOLDER
        target = formats.ShardTarget(task.folder, scratch, split, name, form.encoding, vocabulary, form.options_hash)
        table = pairs if len(task.shards) == 1 else pairs.filter(pc.equal(pairs["shard"], number))
        rows = sorted(table.to_pylist(), key=itemgetter("position"))
        files |= formats.SHARD_WRITERS[task.format.name](target, rows)
    return len(pairs), files
