"""The stage that reads every source file once: its bytes become a record and a pair, in parts.

Parts are committed strictly in order. So after a kill, the files that remain are cut into the same parts as in an
unbroken run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate import storage, terminal
from curate.dataset import clear_dataset, ledger, parquet, tag_table
from curate.dataset.purge_opted_out import purge_opted_out
from curate.dataset.rows import FateCounts
from curate.dataset.schema import FILE_KEY, SCHEMA_VERSION
from curate.extraction.forecast import FileKey, Forecast, check_disk_space, make_forecast
from curate.extraction.options import ExtractOptions
from curate.extraction.part import FILES_PER_PART, PartTask, StagedPart, extract_part
from curate.extraction.record import parse_line_methods
from curate.sources.scan import Source, SourceFile, scan_sources
from curate.sources.table_lookup import TableLookup
from curate.stores import worker_folder
from curate.system import lock
from curate.system.errors import DatasetError, SourceError
from curate.system.files import options_hash, sync_folder
from curate.system.lock import LOCK_FILE
from curate.workers import executor

__all__ = ["ExtractOptions", "extract", "parse_line_methods"]

DEFAULTS_OF_NEWER_OPTIONS = {"folder_tags": False}
"""Options that older datasets do not record, with the value that they were begun with."""


def extract(
    sources: Sequence[Source],
    dataset: Path,
    options: ExtractOptions,
    *,
    workers: executor.Workers = 0,
    limit: int | None = None,
    fresh: bool = False,
    part_size: int = FILES_PER_PART,
) -> dict[str, Any]:
    """Create a dataset, or add the files it does not have yet.

    If a picture ends a worker, the files of its part are read again in a child process; if it ends that too, its record
    says so. With `workers=0` all files are read in this process, which such a picture would end: use it for pictures
    that are known to be sound. A part has `part_size` files.

    Returns the counts of the whole dataset (`in`, `kept`, `dropped`), `new`, the number of records added now, and
    `sidecar_errors`, the number of sidecars and table entries that could not be read now.
    Raises DatasetError if the folder was begun with other options or holds other files, SourceError if it lies inside a
    source, NurieError if another run is writing it or the disk is too small.
    """
    forecast = forecast_extract(sources, dataset, options, limit=limit, fresh=fresh)
    check_disk_space(forecast)
    dataset.mkdir(parents=True, exist_ok=True)
    with lock.exclusive(dataset), closing(TableLookup()) as table_lookup:
        state = _open_dataset(dataset, sources, options, fresh)
        recorded, pair_ids = _recorded_files(dataset), _stored_pair_ids(dataset)
        files = _files_to_read(sources, recorded, limit)
        new = sidecar_errors = dropped = 0
        with (
            terminal.ProgressBar("extract", forecast.files) as bar,
            _leftovers_deleted_on_error(dataset),
            _staging(dataset, workers) as staging,
            closing(
                _staged_parts(_tasks(files, table_lookup, dataset, part_size, staging, options), workers, part_size)
            ) as parts,
        ):
            bar.advance(len(recorded))
            for part in parts:
                _commit(dataset, part, pair_ids, staging)
                new, dropped = new + part.file_count, dropped + part.dropped_count
                sidecar_errors += part.sidecar_errors
                bar.advance(part.file_count, kept=new - dropped, dropped=dropped)
        return {**_finish(dataset, state), "new": new, "sidecar_errors": sidecar_errors + table_lookup.error_count}


@contextmanager
def _leftovers_deleted_on_error(dataset: Path) -> Iterator[None]:
    """Delete staged files if the block fails: perhaps it failed for the room that they take."""
    try:
        yield
    except BaseException:
        clear_dataset.delete_leftovers(dataset)
        raise


def forecast_extract(
    sources: Sequence[Source], dataset: Path, options: ExtractOptions, *, limit: int | None = None, fresh: bool = False
) -> Forecast:
    """What `extract` would read and make, by names and sizes. Raises DatasetError and SourceError as `extract` does."""
    _check_outside_sources(sources, dataset)
    recorded: set[FileKey] = set()
    if not fresh and (dataset / ledger.LEDGER_FILE).is_file():
        _check_options(dataset, ledger.peek_ledger(dataset), options)
        recorded = _recorded_files(dataset)
    return make_forecast(islice(scan_sources(sources), limit), recorded, dataset, options, fresh=fresh)


def _check_outside_sources(sources: Sequence[Source], dataset: Path) -> None:
    """Raise SourceError for a dataset among the pictures: the next run would read its files as pictures."""
    place = worker_folder.store_of(dataset)
    for source in sources:
        if storage.is_remote(source.root):
            inside = f"{place}/".startswith(f"{str(source.root).rstrip('/')}/")
        else:
            inside = dataset.resolve().is_relative_to(source.root.resolve())
        if inside:
            raise SourceError(f"{place or dataset} lies inside the source {source.root}: give a folder elsewhere")


def _open_dataset(dataset: Path, sources: Sequence[Source], options: ExtractOptions, fresh: bool) -> ledger.Ledger:
    """The ledger of a dataset that may be written to: a new one, or one that was begun with the same options."""
    is_dataset = (fresh and clear_dataset.delete_dataset(dataset)) or (dataset / ledger.LEDGER_FILE).exists()
    own_names = {LOCK_FILE, f".{ledger.LEDGER_FILE}.tmp", *ledger.PERMANENT_FOLDERS}
    if not is_dataset and any(path.name not in own_names for path in dataset.iterdir()):
        raise DatasetError(f"{dataset} holds other files: give a new or empty folder for the dataset")
    if not (dataset / ledger.LEDGER_FILE).exists():
        ledger.write_ledger(
            dataset, {"version": SCHEMA_VERSION, "options": options.to_json_dict(), "sources": [], "parts": {}}
        )
    state = ledger.read_ledger(dataset)
    ledger.check_files(dataset, state, ["records", "manifest", ledger.OPT_OUT_FOLDER])
    _check_options(dataset, state, options)
    parquet.check_hash_recipe(dataset)
    clear_dataset.delete_leftovers(dataset)
    for folder in ("records", "pairs"):
        (dataset / folder).mkdir(exist_ok=True)
    state["sources"] = list(dict.fromkeys([*state["sources"], *(source.name for source in sources)]))
    return state


def _check_options(dataset: Path, state: ledger.Ledger, options: ExtractOptions) -> None:
    begun_with = DEFAULTS_OF_NEWER_OPTIONS | state["options"]
    different = [name for name, value in options.to_json_dict().items() if begun_with.get(name) != value]
    if different:
        was = ", ".join(f"{name}={begun_with.get(name)}" for name in different)
        raise DatasetError(f"{dataset} was begun with {was}: use the same options, or --fresh to start over")


def _recorded_files(dataset: Path) -> set[FileKey]:
    table = parquet.read_parts(dataset / "records", FILE_KEY)
    return set(zip(*(table[name].to_pylist() for name in FILE_KEY), strict=True))


def _stored_pair_ids(dataset: Path) -> set[str]:
    committed = len(parquet.part_paths(dataset / "records"))
    ids: set[str] = set()
    for path in parquet.part_paths(dataset / "pairs")[:committed]:  # pairs without their records are made again
        ids.update(parquet.read_table(path, ["id"])["id"].to_pylist())
    return ids


def _files_to_read(sources: Sequence[Source], recorded: set[FileKey], limit: int | None) -> Iterator[SourceFile]:
    absolute = [replace(source, root=source.root.absolute()) for source in sources]  # workers may start elsewhere
    for file in islice(scan_sources(absolute), limit):
        if (file.source, file.path, file.path_raw) not in recorded:
            yield file


def _tasks(
    files: Iterator[SourceFile],
    table_lookup: TableLookup,
    dataset: Path,
    part_size: int,
    staging: Path,
    options: ExtractOptions,
) -> Iterator[PartTask]:
    for number in count(len(parquet.part_paths(dataset / "records"))):
        if not (part_files := tuple(islice(files, part_size))):
            return
        yield PartTask(number, part_files, staging, options, tuple(map(table_lookup.look_up, part_files)))


def _staged_parts(
    tasks: Iterable[PartTask], workers: executor.Workers, part_size: int
) -> Generator[StagedPart, None, None]:
    return executor.run(extract_part, tasks, workers, pictures_per_task=part_size, make_retry_tasks=_isolate)


def _isolate(tasks: Sequence[PartTask]) -> list[PartTask]:
    files = sum(len(task.files) for task in tasks)
    terminal.print_status(f"extract: a worker process died; {files:,} files are read again, one at a time")
    return [replace(task, isolated=True) for task in tasks]


@contextmanager
def _staging(dataset: Path, workers: executor.Workers) -> Iterator[Path]:
    """A folder that workers see: they find the ledger and the opt-outs there, and stage what they make."""
    with worker_folder.staging_folder(dataset, workers) as folder:
        if storage.is_remote(folder):
            for path in (dataset / ledger.LEDGER_FILE, *parquet.part_paths(dataset / ledger.OPT_OUT_FOLDER)):
                storage.write_bytes(folder.joinpath(*path.relative_to(dataset).parts), path.read_bytes())
        yield folder


def _commit(dataset: Path, part: StagedPart, pair_ids: set[str], staging: Path) -> None:
    """Rename a staged part's files: pairs first, then records, whose presence says that the part is done.

    Pairs that the dataset has already are left out; `pair_ids` grows by those of the part.
    """
    for name in ("pairs", "records"):
        worker_folder.collect_file(staging / name / part.staged_name, dataset / name / part.staged_name)
    staged_pairs = dataset / "pairs" / part.staged_name
    if repeated := pair_ids.intersection(part.pair_ids):
        table = parquet.read_table(staged_pairs)
        is_new = pa.array([pair_id not in repeated for pair_id in table["id"].to_pylist()], pa.bool_())
        parquet.write_table(staged_pairs, table.filter(is_new))
    pair_ids.update(part.pair_ids)
    for folder in (dataset / "pairs", dataset / "records"):
        (folder / part.staged_name).rename(parquet.part_path(folder, part.number))
        sync_folder(folder)


def _finish(dataset: Path, state: ledger.Ledger) -> FateCounts:
    """Write manifest, tag table and ledger; returns the counts.

    If there are new records, the manifest is a copy of the records until the next dedupe.
    """
    clear_dataset.delete_leftovers(dataset)  # of attempts that ended too late
    # a file read now may show that a picture read before is by an artist who opted out
    purge_opted_out(dataset)
    state["parts"] = ledger.read_ledger(dataset)["parts"]
    if parquet.count_rows(dataset / "manifest") != parquet.count_rows(dataset / "records"):
        ledger.forget_dedupe(state)
        ledger.forget_manifest_digests(dataset)
        records = parquet.iter_parts(dataset / "records")
        parquet.replace_manifest(dataset, records, {"extract": state["options"]})
    counts = parquet.count_fates(parquet.read_parts(dataset / "manifest", ["dropped"]))
    state["counts"] = counts
    state["hashes"] = state.get("hashes", {}) | {"extract": options_hash(state["options"])}
    tag_table.write(dataset)  # even without new records: a kill may have come between manifest and tag table
    ledger.write_ledger(dataset, state, rehash=("manifest", ledger.TAG_TABLE))
    return counts
