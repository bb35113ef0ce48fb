"""Some source files -> their records and pairs, staged: what one task of `extract` makes, wherever it runs.

A part may be made twice at once: on a cluster, by a worker that was given up as lost and by its replacement; or by a
worker that outlives a killed run, and by the next run. So a worker writes only files with random names, and never gives
one the name of a part. The run does that, once, to the files of the attempt whose result came back. Files of other
attempts stay under hidden names that nobody reads, until the end of this run or the next one deletes them. All attempts
make the same bytes, as a part depends on its files and options alone.
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

FILES_PER_PART = 512  # small enough to lose little when killed, large enough to keep the number of parts low


@dataclass(frozen=True)
class PartTask:
    """One part to make."""

    number: int
    files: tuple[SourceFile, ...]
    staging: Path
    """A folder as the worker sees it: holds the ledger and the opt-outs, and takes what is made."""
    options: ExtractOptions
    table_sidecars: tuple[Sidecar | None, ...]
    """What metadata tables say about each file."""
    isolated: bool = False
    """Read each file in a child process, because one of them has ended a worker."""


@dataclass(frozen=True)
class StagedPart:
    """A part that is made but not committed."""

    number: int
    staged_name: str
    """Name of its two files, in `pairs` and in `records`."""
    pair_ids: tuple[str, ...]
    file_count: int
    dropped_count: int
    sidecar_errors: int


def extract_part(task: PartTask) -> StagedPart:
    """Read the files of a part and stage its records and pairs under a hidden name of this attempt's own.

    Raises DatasetError if this host does not see the dataset's folder, SourceError if it sees none of the files.
    """
    _check_paths_visible(task)
    opted_out = opt_out.read(task.staging)
    with closing(IsolatedReader(_lock_folder(task.staging), task.options, opted_out)) as reader:
        results = [
            _extract(task, file, table_sidecar, opted_out, reader)
            for file, table_sidecar in zip(task.files, task.table_sidecars, strict=True)
        ]
    records = [record for record, _ in results]
    pairs = {pair.id: pair for _, pair in results if pair is not None}
    made_with = {"extract": task.options.to_json_dict()}
    staged_name = f".staged-{task.number:05d}-{uuid4().hex}.parquet"
    parquet.write_rows(
        task.staging / "pairs" / staged_name,
        [pair.to_columns() for pair in pairs.values()],
        with_options(pairs_schema(task.options.lines), made_with),
    )
    parquet.write_rows(task.staging / "records" / staged_name, records, with_options(MANIFEST_SCHEMA, made_with))
    dropped = sum(record["dropped"] is not None for record in records)
    bad_sidecars = sum(record["error"] is not None and record["dropped"] is None for record in records)
    return StagedPart(task.number, staged_name, tuple(pairs), len(records), dropped, bad_sidecars)


def _extract(
    task: PartTask, file: SourceFile, table_sidecar: Sidecar | None, opted_out: OptOut, reader: IsolatedReader
) -> RecordAndPair:
    """Read here, or in the child process: if memory is short here, a fresh process may have enough."""
    if not task.isolated:
        with suppress(MemoryError):
            return extract_file(file, task.options, table_sidecar, opted_out)
    return reader.read(file, table_sidecar)


def _lock_folder(dataset: Path) -> Path:
    """A folder on this host where the isolated readers of a dataset wait for one another."""
    if not storage.is_remote(dataset):
        return dataset
    digest = hashlib.sha256(str(dataset).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"nurie-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SourceError(f"{folder} belongs to another user: delete it, or set TMPDIR to another folder")
    for name in ("pairs", "records"):
        (folder / name).mkdir(exist_ok=True)
    return folder


def _check_paths_visible(task: PartTask) -> None:
    """Raise an error on a host without the disk, which would make unreadable records of all files."""
    host = f"on the host {socket.gethostname()}"
    if not storage.exists(task.staging / ledger.LEDGER_FILE):
        raise DatasetError(f"there is no dataset at {task.staging} {host}: mount its folder there by the same path")
    if not any(storage.exists(file.real_path) for file in task.files):
        missing = f"{task.files[0].real_path} and the files after it are not there {host}"
        raise SourceError(f"{missing}: mount the pictures there by the same path, and run this command again")
