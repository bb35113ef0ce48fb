"""Some source files -> their records and pairs, staged: what one task of `extract` makes, wherever it runs.

A part may be made twice at once: on a cluster, by a worker that was given up as lost and by the one that took over; or
by a worker that outlives a killed run, and by the next run. So a worker only ever writes files whose names it has drawn
at random, and gives none of them a part's name. The run does that, once, to those of the attempt whose result came
back. What another attempt writes, and when, then touches nothing: its files are left over, under hidden names that
nobody reads, and cleared at the end, or by the next run. Attempts are equal to the byte, as a part depends on its files
and options alone.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from curate import storage
from curate.dataset import ledger, opt_out, parquet
from curate.dataset.opt_out import OptOut
from curate.dataset.schema import MANIFEST_SCHEMA, pairs_schema, with_options
from curate.extraction.isolated_reader import IsolatedReader
from curate.extraction.options import ExtractOptions
from curate.extraction.record import RecordAndPair, extract_file
from curate.sources.scan import SourceFile
from curate.system.errors import DatasetError, SourceError
from curate.tags.sidecar import Sidecar

FILES_PER_PART = 512  # source files a part: small enough to lose little at a kill, large enough to keep folders short


@dataclass(frozen=True)
class PartTask:
    """One part to make."""

    number: int
    files: tuple[SourceFile, ...]
    staging: Path
    """Where its state and who opted out are read, and what is made is staged."""
    options: ExtractOptions
    table_sidecars: tuple[Sidecar | None, ...]
    """What tables say of each file."""
    isolated: bool = False
    """Read each file in another process: one of them has ended a worker."""


@dataclass(frozen=True)
class StagedPart:
    """A staged part: its number, the name it is staged by, the ids of its pairs, and what became of its files."""

    number: int
    staged_name: str
    pair_ids: tuple[str, ...]
    file_count: int
    dropped_count: int
    sidecar_errors: int


def extract_part(task: PartTask) -> StagedPart:
    """Read the files of a part and stage its records and pairs under hidden names, another attempt's never.

    Raises NurieError where the dataset's folder, or every one of the files, cannot be seen: they are on another disk.
    """
    _check_paths_visible(task)
    removed = opt_out.read(task.staging)
    told = zip(task.files, task.table_sidecars, strict=True)
    with closing(IsolatedReader(_lock_folder(task.staging), task.options, removed)) as reader:
        results = [_result(task, file, by_tables, removed, reader) for file, by_tables in told]
    rows = [row for row, _ in results]
    pairs = {pair["id"]: pair for _, pair in results if pair is not None}
    made = {"extract": task.options.to_json_dict()}
    schema = with_options(pairs_schema(task.options.lines), made)
    staged = f".staged-{task.number:05d}-{uuid4().hex}.parquet"
    parquet.write_rows(task.staging / "pairs" / staged, list(pairs.values()), schema)
    parquet.write_rows(task.staging / "records" / staged, rows, with_options(MANIFEST_SCHEMA, made))
    dropped = sum(row["dropped"] is not None for row in rows)
    bad_sidecars = sum(row["error"] is not None and row["dropped"] is None for row in rows)
    return StagedPart(task.number, staged, tuple(pairs), len(rows), dropped, bad_sidecars)


def _result(
    task: PartTask, file: SourceFile, told: Sidecar | None, removed: OptOut, reader: IsolatedReader
) -> RecordAndPair:
    """Its record and pair, read here or apart: what is short of memory here may not be in a process of its own."""
    if not task.isolated:
        with suppress(MemoryError):
            return extract_file(file, task.options, told, removed)
    return reader.read(file, told)


def _lock_folder(dataset: Path) -> Path:
    """A folder of this host at which those wait who read pictures of the dataset apart."""
    if not storage.is_remote(dataset):
        return dataset
    here = Path(tempfile.gettempdir()) / f"nurie-{os.getuid()}-{hashlib.sha256(str(dataset).encode()).hexdigest()[:12]}"
    here.mkdir(mode=0o700, exist_ok=True)
    if here.stat().st_uid != os.getuid():
        raise SourceError(f"{here} is somebody else's: delete it, or set TMPDIR to another folder")
    for name in ("pairs", "records"):
        (here / name).mkdir(exist_ok=True)
    return here


def _check_paths_visible(task: PartTask) -> None:
    """A host without the disk would make unreadable records of all its files."""
    here = f"on the host {socket.gethostname()}"
    if not storage.exists(task.staging / ledger.LEDGER_FILE):
        raise DatasetError(f"there is no dataset at {task.staging} {here}: mount its folder there by the same path")
    if not any(storage.exists(file.real_path) for file in task.files):
        lacking = f"{task.files[0].real_path} and the files after it are not there {here}"
        raise SourceError(f"{lacking}: mount the pictures there by the same path, and run this command again")
