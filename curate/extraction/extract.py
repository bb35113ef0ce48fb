"""The stage that reads every file once: bytes -> record and pair, in parts that are committed in order.

Parts are committed strictly one after another, so that after a kill the files still to do are cut into the very same
parts as in an unbroken run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate import storage, terminal
from curate.dataset import deletion, ledger, parquet, tag_table
from curate.dataset.purge import purge_opted_out
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

DEFAULTS_OF_NEWER_OPTIONS = {"folder_tags": False}  # what a dataset was begun with before there was the option


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
    """Make or go on with a dataset folder; files it already has are not read again.

    A picture that ends a worker is read apart from the others, and if it ends that process too, it is a record with an
    error. With 0 workers, in this process, it would end this one: all the pictures should be known to be sound.
    Returns counts of the whole dataset (`in`, `kept`, `dropped`), `new`, the records added now, and `sidecar_errors`,
    the sidecars and entries of tables that could not be read now. Raises DatasetError if the folder was begun with
    other options, NurieError if another run is writing it or the disk is too small.
    """
    found = forecast_extract(sources, dataset, options, limit=limit, fresh=fresh)
    check_disk_space(found)
    dataset.mkdir(parents=True, exist_ok=True)
    with lock.exclusive(dataset), closing(TableLookup()) as join:
        state = _open_dataset(dataset, sources, options, fresh)
        known, ids = _recorded(dataset), _pairs(dataset)
        everywhere = [replace(source, root=source.root.absolute()) for source in sources]  # a worker starts elsewhere
        files = (
            file
            for file in islice(scan_sources(everywhere), limit)
            if (file.source, file.path, file.path_raw) not in known
        )
        first = len(parquet.part_paths(dataset / "records"))
        new = sidecar_errors = dropped = 0
        with (
            terminal.ProgressBar("extract", found.files) as bar,
            _clear_staged_on_error(dataset),
            _staging(dataset, workers) as staging,
            closing(_staged_parts(_tasks(files, join, first, part_size, staging, options), workers, part_size)) as made,
        ):
            bar.advance(len(known))
            for part in made:
                _commit(dataset, part, ids, staging)
                new, dropped = new + part.file_count, dropped + part.dropped_count
                sidecar_errors += part.sidecar_errors
                bar.advance(part.file_count, kept=new - dropped, dropped=dropped)
        return {**_finish(dataset, state), "new": new, "sidecar_errors": sidecar_errors + join.error_count}


@contextmanager
def _clear_staged_on_error(dataset: Path) -> Iterator[None]:
    """Of a block that fails: what is staged may take the very room that it lacked."""
    try:
        yield
    except BaseException:
        deletion.delete_leftovers(dataset)
        raise


def forecast_extract(
    sources: Sequence[Source], dataset: Path, options: ExtractOptions, *, limit: int | None = None, fresh: bool = False
) -> Forecast:
    """What `extract` would read and make, by names and sizes. Raises DatasetError as `extract` does."""
    _check_outside_sources(sources, dataset)
    recorded: set[FileKey] = set()
    if not fresh and (dataset / ledger.LEDGER_FILE).is_file():
        _check_options(dataset, ledger.peek_ledger(dataset), options)
        recorded = _recorded(dataset)
    return make_forecast(islice(scan_sources(sources), limit), recorded, dataset, options, fresh=fresh)


def _check_outside_sources(sources: Sequence[Source], dataset: Path) -> None:
    """A dataset among the pictures would be read as pictures at the next run."""
    for source in sources:
        place = worker_folder.store_of(dataset)
        if storage.is_remote(source.root):
            inside = f"{place}/".startswith(f"{str(source.root).rstrip('/')}/")
        else:
            inside = dataset.resolve().is_relative_to(source.root.resolve())
        if inside:
            raise SourceError(f"{place or dataset} lies inside the source {source.root}: give a folder elsewhere")


def _open_dataset(dataset: Path, sources: Sequence[Source], options: ExtractOptions, fresh: bool) -> ledger.Ledger:
    """The state of a dataset that may be written to: begun now, or begun before with the same options."""
    ours = (fresh and deletion.delete_dataset(dataset)) or (dataset / ledger.LEDGER_FILE).exists()
    if not ours and any(
        path.name not in {LOCK_FILE, f".{ledger.LEDGER_FILE}.tmp", *ledger.PERMANENT_FOLDERS}
        for path in dataset.iterdir()
    ):
        raise DatasetError(f"{dataset} holds other files: give a new or empty folder for the dataset")
    if not (dataset / ledger.LEDGER_FILE).exists():
        ledger.write_ledger(
            dataset, {"version": SCHEMA_VERSION, "options": options.to_json_dict(), "sources": [], "parts": {}}
        )
    state = ledger.read_ledger(dataset)
    ledger.check_files(dataset, state, ["records", "manifest", ledger.OPT_OUT_FOLDER])
    _check_options(dataset, state, options)
    parquet.check_hash_recipe(dataset)
    deletion.delete_leftovers(dataset)
    for folder in ("records", "pairs"):
        (dataset / folder).mkdir(exist_ok=True)
    state["sources"] = list(dict.fromkeys([*state["sources"], *(source.name for source in sources)]))
    return state


def _check_options(dataset: Path, state: ledger.Ledger, options: ExtractOptions) -> None:
    begun = DEFAULTS_OF_NEWER_OPTIONS | state["options"]
    if different := [
        f"{name}={begun.get(name)}" for name, value in options.to_json_dict().items() if begun.get(name) != value
    ]:
        was = ", ".join(different)
        raise DatasetError(f"{dataset} was begun with {was}: use the same options, or --fresh to start over")


def _recorded(dataset: Path) -> set[FileKey]:
    """Keys of the files already recorded."""
    table = parquet.read_parts(dataset / "records", FILE_KEY)
    return set(zip(*(table[name].to_pylist() for name in FILE_KEY), strict=True))


def _pairs(dataset: Path) -> set[str]:
    """Ids of the pairs already stored."""
    count = len(parquet.part_paths(dataset / "records"))
    ids: set[str] = set()
    for path in parquet.part_paths(dataset / "pairs")[:count]:  # a pairs part without its records is made again
        ids.update(parquet.read_table(path, ["id"])["id"].to_pylist())
    return ids


def _tasks(
    files: Iterable[SourceFile], join: TableLookup, first: int, size: int, dataset: Path, options: ExtractOptions
) -> Iterator[PartTask]:
    files = iter(files)
    number = first
    while chunk := tuple(islice(files, size)):
        yield PartTask(number, chunk, dataset, options, tuple(map(join.look_up, chunk)))
        number += 1


def _staged_parts(
    tasks: Iterable[PartTask], workers: executor.Workers, part_size: int
) -> Generator[StagedPart, None, None]:
    return executor.run(extract_part, tasks, workers, pictures_per_task=part_size, make_retry_tasks=_isolate)


def _isolate(tasks: Sequence[PartTask]) -> list[PartTask]:
    files = sum(len(task.files) for task in tasks)
    terminal.print_status(f"extract: a worker process died; {files:,} files are read again, each apart from the others")
    return [replace(task, isolated=True) for task in tasks]


@contextmanager
def _staging(dataset: Path, workers: executor.Workers) -> Iterator[Path]:
    """Where workers read what they need of a dataset that is written, and stage what they make."""
    with worker_folder.staging_folder(dataset, workers) as folder:
        if storage.is_remote(folder):
            for path in (dataset / ledger.LEDGER_FILE, *parquet.part_paths(dataset / ledger.OPT_OUT_FOLDER)):
                storage.write_bytes(folder.joinpath(*path.relative_to(dataset).parts), path.read_bytes())
        yield folder


def _commit(dataset: Path, part: StagedPart, ids: set[str], staging: Path) -> None:
    """Give a staged part its name: pairs before records, whose presence says that the part is done."""
    for name in ("pairs", "records"):
        worker_folder.collect_file(staging / name / part.staged_name, dataset / name / part.staged_name)
    staged = dataset / "pairs" / part.staged_name
    if repeated := ids.intersection(part.pair_ids):
        table = parquet.read_table(staged)
        first_seen = pa.array([key not in repeated for key in table["id"].to_pylist()], pa.bool_())
        parquet.write_table(staged, table.filter(first_seen))
    ids.update(part.pair_ids)
    for folder in (dataset / "pairs", dataset / "records"):
        (folder / part.staged_name).rename(parquet.part_path(folder, part.number))
        sync_folder(folder)


def _finish(dataset: Path, state: ledger.Ledger) -> FateCounts:
    """Before dedupe the manifest equals the records; new records put it back to that."""
    deletion.delete_leftovers(dataset)  # of attempts that came too late
    purge_opted_out(
        dataset
    )  # a file read now may have told of a picture read before that it is an artist's who opted out
    state["parts"] = ledger.read_ledger(dataset)["parts"]
    if parquet.count_rows(dataset / "manifest") != parquet.count_rows(dataset / "records"):
        ledger.forget_dedupe(state)
        ledger.forget_manifest_digests(dataset)
        records = parquet.iter_parts(dataset / "records")
        parquet.replace_manifest(dataset, records, {"extract": state["options"]})
    counted = parquet.count_fates(parquet.read_parts(dataset / "manifest", ["dropped"]))
    state["counts"] = counted
    state["hashes"] = state.get("hashes", {}) | {"extract": options_hash(state["options"])}
    tag_table.write(dataset)  # also where a kill came between it and the manifest
    ledger.write_ledger(dataset, state, rehash=("manifest", ledger.TAG_TABLE))
    return counted
