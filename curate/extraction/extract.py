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

from curate.dataset import ledger, parquet, tag_table
from curate.dataset.purge import sweep
from curate.dataset.schema import KEY, SCHEMA_VERSION
from curate.extraction.forecast import Forecast, Key, check, forecast
from curate.extraction.part import PART, Part, Task, extract_part
from curate.extraction.record import Options, parse_lines
from curate.sources.scan import Source, SourceFile, scan
from curate.sources.table_lookup import Join
from curate.stores import worker_folder
from curate.system import lock, storage
from curate.system.errors import DatasetError, SourceError
from curate.system.files import options_hash, sync_folder
from curate.system.lock import LOCK
from curate.workers import executor, progress

__all__ = ["Options", "extract", "parse_lines"]  # options lie with what they decide

LATER_OPTIONS = {"folder_tags": False}  # what a dataset was begun with before there was the option


def extract(
    sources: Sequence[Source],
    dataset: Path,
    options: Options,
    *,
    workers: executor.Workers = 0,
    limit: int | None = None,
    fresh: bool = False,
    part_size: int = PART,
) -> dict[str, Any]:
    """Make or go on with a dataset folder; files it already has are not read again.

    A picture that ends a worker is read apart from the others, and if it ends that process too, it is a record with an
    error. With 0 workers, in this process, it would end this one: all the pictures should be known to be sound.
    Returns counts of the whole dataset (`in`, `kept`, `dropped`), `new`, the records added now, and `sidecar_errors`,
    the sidecars and entries of tables that could not be read now. Raises DatasetError if the folder was begun with
    other options, NurieError if another run is writing it or the disk is too small.
    """
    found = foresee(sources, dataset, options, limit=limit, fresh=fresh)
    check(found)
    dataset.mkdir(parents=True, exist_ok=True)
    with lock.alone(dataset), closing(Join()) as join:
        state = _open_dataset(dataset, sources, options, fresh)
        known, ids = _recorded(dataset), _pairs(dataset)
        everywhere = [replace(source, root=source.root.absolute()) for source in sources]  # a worker starts elsewhere
        files = (
            file for file in islice(scan(everywhere), limit) if (file.source, file.path, file.path_raw) not in known
        )
        first = len(parquet.parts(dataset / "records"))
        new = sidecar_errors = dropped = 0
        with (
            progress.bar("extract", found.files) as bar,
            _nothing_torn(dataset),
            _staging(dataset, workers) as staging,
            closing(_made(_tasks(files, join, first, part_size, staging, options), workers, part_size)) as made,
        ):
            bar.advance(len(known))
            for part in made:
                _commit(dataset, part, ids, staging)
                new, dropped = new + part.files, dropped + part.dropped
                sidecar_errors += part.sidecar_errors
                bar.advance(part.files, kept=new - dropped, dropped=dropped)
        return {**_finish(dataset, state), "new": new, "sidecar_errors": sidecar_errors + join.errors}


@contextmanager
def _nothing_torn(dataset: Path) -> Iterator[None]:
    """Of a block that fails: what is staged may take the very room that it lacked."""
    try:
        yield
    except BaseException:
        ledger.clear_torn(dataset)
        raise


def foresee(
    sources: Sequence[Source], dataset: Path, options: Options, *, limit: int | None = None, fresh: bool = False
) -> Forecast:
    """What `extract` would read and make, by names and sizes. Raises DatasetError as `extract` does."""
    _check_apart(sources, dataset)
    recorded: set[Key] = set()
    if not fresh and (dataset / ledger.STATE).is_file():
        _check_options(dataset, ledger.peek_state(dataset), options)
        recorded = _recorded(dataset)
    return forecast(islice(scan(sources), limit), recorded, dataset, options, fresh=fresh)


def _check_apart(sources: Sequence[Source], dataset: Path) -> None:
    """A dataset among the pictures would be read as pictures at the next run."""
    for source in sources:
        place = worker_folder.place_of(dataset)
        if storage.remote(source.root):
            inside = f"{place}/".startswith(f"{str(source.root).rstrip('/')}/")
        else:
            inside = dataset.resolve().is_relative_to(source.root.resolve())
        if inside:
            raise SourceError(f"{place or dataset} lies inside the source {source.root}: give a folder elsewhere")


def _open_dataset(dataset: Path, sources: Sequence[Source], options: Options, fresh: bool) -> dict[str, Any]:
    """The state of a dataset that may be written to: begun now, or begun before with the same options."""
    ours = (fresh and ledger.clear(dataset)) or (dataset / ledger.STATE).exists()
    if not ours and any(path.name not in {LOCK, f".{ledger.STATE}.tmp", *ledger.LASTING} for path in dataset.iterdir()):
        raise DatasetError(f"{dataset} holds other files: give a new or empty folder for the dataset")
    if not (dataset / ledger.STATE).exists():
        ledger.write_state(dataset, {"version": SCHEMA_VERSION, "options": options.stored(), "sources": []})
    state = ledger.read_state(dataset)
    ledger.check(dataset, state, ["records", "manifest", ledger.REMOVED])
    _check_options(dataset, state, options)
    parquet.check_recipe(dataset)
    ledger.clear_torn(dataset)
    for folder in ("records", "pairs"):
        (dataset / folder).mkdir(exist_ok=True)
    state["sources"] = list(dict.fromkeys([*state["sources"], *(source.name for source in sources)]))
    return state


def _check_options(dataset: Path, state: dict[str, Any], options: Options) -> None:
    begun = LATER_OPTIONS | state["options"]
    if different := [
        f"{name}={begun.get(name)}" for name, value in options.stored().items() if begun.get(name) != value
    ]:
        was = ", ".join(different)
        raise DatasetError(f"{dataset} was begun with {was}: use the same options, or --fresh to start over")


def _recorded(dataset: Path) -> set[Key]:
    """Keys of the files already recorded."""
    table = parquet.read_parts(dataset / "records", KEY)
    return set(zip(*(table[name].to_pylist() for name in KEY), strict=True))


def _pairs(dataset: Path) -> set[str]:
    """Ids of the pairs already stored."""
    count = len(parquet.parts(dataset / "records"))
    ids: set[str] = set()
    for path in parquet.parts(dataset / "pairs")[:count]:  # a pairs part without its records is made again
        ids.update(parquet.read_table(path, ["id"])["id"].to_pylist())
    return ids


def _tasks(
    files: Iterable[SourceFile], join: Join, first: int, size: int, dataset: Path, options: Options
) -> Iterator[Task]:
    files = iter(files)
    number = first
    while chunk := tuple(islice(files, size)):
        yield Task(number, chunk, dataset, options, tuple(map(join.look_up, chunk)))
        number += 1


def _made(tasks: Iterable[Task], workers: executor.Workers, part_size: int) -> Generator[Part, None, None]:
    return executor.run(extract_part, tasks, workers, pictures=part_size, again=_apart)


def _apart(tasks: Sequence[Task]) -> list[Task]:
    files = sum(len(task.files) for task in tasks)
    progress.say(f"extract: a worker process died; {files:,} files are read again, each apart from the others")
    return [replace(task, apart=True) for task in tasks]


@contextmanager
def _staging(dataset: Path, workers: executor.Workers) -> Iterator[Path]:
    """Where workers read what they need of a dataset that is written, and stage what they make."""
    with worker_folder.staging(dataset, workers) as folder:
        if storage.remote(folder):
            for path in (dataset / ledger.STATE, *parquet.parts(dataset / ledger.REMOVED)):
                storage.write(folder.joinpath(*path.relative_to(dataset).parts), path.read_bytes())
        yield folder


def _commit(dataset: Path, part: Part, ids: set[str], staging: Path) -> None:
    """Give a staged part its name: pairs before records, whose presence says that the part is done."""
    for name in ("pairs", "records"):
        worker_folder.bring(staging / name / part.staged, dataset / name / part.staged)
    staged = dataset / "pairs" / part.staged
    if repeated := ids.intersection(part.ids):
        table = parquet.read_table(staged)
        first_seen = pa.array([key not in repeated for key in table["id"].to_pylist()], pa.bool_())
        parquet.write_table(staged, table.filter(first_seen))
    ids.update(part.ids)
    for folder in (dataset / "pairs", dataset / "records"):
        (folder / part.staged).rename(parquet.part(folder, part.number))
        sync_folder(folder)


def _finish(dataset: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Before dedupe the manifest equals the records; new records put it back to that."""
    ledger.clear_torn(dataset)  # of attempts that came too late
    sweep(dataset)  # a file read now may have told of a picture read before that it is an artist's who opted out
    state["parts"] = ledger.read_state(dataset)["parts"]
    if parquet.rows(dataset / "manifest") != parquet.rows(dataset / "records"):
        for told in (state, state.get("hashes", {})):
            told.pop("dedupe", None)
        ledger.forget_manifest(dataset)
        records = parquet.iter_parts(dataset / "records")
        parquet.replace_manifest(dataset, records, {"extract": state["options"]})
    counted = parquet.counts(parquet.read_parts(dataset / "manifest", ["dropped"]))
    state["counts"] = counted
    state["hashes"] = state.get("hashes", {}) | {"extract": options_hash(state["options"])}
    tag_table.write(dataset)  # also where a kill came between it and the manifest
    ledger.write_state(dataset, state, rehash=("manifest", ledger.TAG_TABLE))
    return counted
