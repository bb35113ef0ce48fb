"""The stage that reads every file once: bytes -> record and pair, in parts that are committed in order.

Parts are committed strictly one after another, so that after a kill the files still to do are cut into the very same
parts as in an unbroken run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate import engine, ledger, manifest, optout, progress, tag_table
from curate.contract import sync_folder
from curate.errors import DatasetError, SourceError
from curate.forecast import Forecast, Key, check, forecast
from curate.join import Join
from curate.record import Options, parse_lines, read_file
from curate.scan import Source, SourceFile, scan
from curate.sidecar import Sidecar
from curate.sweep import sweep

__all__ = ["Options", "Part", "Task", "extract", "extract_part", "parse_lines"]  # options lie with what they decide

LATER_OPTIONS = {"folder_tags": False}  # what a dataset was begun with before there was the option
PART = 512  # source files a part: small enough to lose little at a kill, large enough to keep folders short


@dataclass(frozen=True)
class Task:
    """One part to make."""

    number: int
    files: tuple[SourceFile, ...]
    dataset: Path
    options: Options
    told: tuple[Sidecar | None, ...]
    """What tables say of each file."""


@dataclass(frozen=True)
class Part:
    """A staged part: its number, the ids of its pairs, and what became of its files."""

    number: int
    ids: tuple[str, ...]
    files: int
    dropped: int
    sidecar_errors: int


def extract(
    sources: Sequence[Source],
    dataset: Path,
    options: Options,
    *,
    workers: int = 1,
    limit: int | None = None,
    fresh: bool = False,
    part_size: int = PART,
) -> dict[str, Any]:
    """Make or go on with a dataset folder; files it already has are not read again.

    Returns counts of the whole dataset (`in`, `kept`, `dropped`), `new`, the records added now, and `sidecar_errors`,
    the sidecars and entries of tables that could not be read now. Raises DatasetError if the folder was begun with
    other options, NurieError if another run is writing it or the disk is too small.
    """
    found = _foresee(sources, dataset, options, limit, fresh)
    check(found)
    dataset.mkdir(parents=True, exist_ok=True)
    with engine.alone(dataset), closing(Join()) as join:
        state = _open_dataset(dataset, sources, options, fresh)
        known, ids = _recorded(dataset), _pairs(dataset)
        files = (file for file in islice(scan(sources), limit) if (file.source, file.path, file.path_raw) not in known)
        first = len(manifest.parts(dataset / "records"))
        tasks = _tasks(files, join, first, part_size, dataset, options)
        new = sidecar_errors = dropped = 0
        with progress.bar("extract", found.files) as bar:
            bar.advance(len(known))
            for part in engine.run(extract_part, tasks, workers):
                _commit(dataset, part, ids)
                new, dropped = new + part.files, dropped + part.dropped
                sidecar_errors += part.sidecar_errors
                bar.advance(part.files, dropped=dropped)
        return {**_finish(dataset, state), "new": new, "sidecar_errors": sidecar_errors + join.errors}


def dry_run(
    sources: Sequence[Source], dataset: Path, options: Options, *, limit: int | None = None, fresh: bool = False
) -> dict[str, Any]:
    """What `extract` would read and make, told and not done; nothing is written. Raises DatasetError as `extract`."""
    return _foresee(sources, dataset, options, limit, fresh).told()


def _foresee(sources: Sequence[Source], dataset: Path, options: Options, limit: int | None, fresh: bool) -> Forecast:
    _check_apart(sources, dataset)
    recorded: set[Key] = set()
    if not fresh and (dataset / ledger.STATE).is_file():
        _check_options(dataset, ledger.peek_state(dataset), options)
        recorded = _recorded(dataset)
    return forecast(islice(scan(sources), limit), recorded, dataset, options, fresh=fresh)


def _check_apart(sources: Sequence[Source], dataset: Path) -> None:
    """A dataset among the pictures would be read as pictures at the next run."""
    for source in sources:
        if dataset.resolve().is_relative_to(source.root.resolve()):
            raise SourceError(f"{dataset} lies inside the source {source.root}: give a folder elsewhere")


def _open_dataset(dataset: Path, sources: Sequence[Source], options: Options, fresh: bool) -> dict[str, Any]:
    """The state of a dataset that may be written to: begun now, or begun before with the same options."""
    ours = (fresh and ledger.clear(dataset)) or (dataset / ledger.STATE).exists()
    if not ours and any(path.name not in {f".{ledger.STATE}.tmp", *ledger.LASTING} for path in dataset.iterdir()):
        raise DatasetError(f"{dataset} holds other files: give a new or empty folder for the dataset")
    if not (dataset / ledger.STATE).exists():
        ledger.write_state(dataset, {"version": manifest.SCHEMA_VERSION, "options": _stored(options), "sources": []})
    state = ledger.read_state(dataset)
    _check_options(dataset, state, options)
    manifest.check_recipe(dataset)
    ledger.clear_torn(dataset)
    for folder in ("records", "pairs"):
        (dataset / folder).mkdir(exist_ok=True)
    state["sources"] = list(dict.fromkeys([*state["sources"], *(source.name for source in sources)]))
    return state


def _stored(options: Options) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(options).items()}


def _check_options(dataset: Path, state: dict[str, Any], options: Options) -> None:
    begun = LATER_OPTIONS | state["options"]
    if different := [
        f"{name}={begun.get(name)}" for name, value in _stored(options).items() if begun.get(name) != value
    ]:
        was = ", ".join(different)
        raise DatasetError(f"{dataset} was begun with {was}: use the same options, or --fresh to start over")


def _recorded(dataset: Path) -> set[Key]:
    """Keys of the files already recorded."""
    table = manifest.read_parts(dataset / "records", manifest.KEY)
    return set(zip(*(table[name].to_pylist() for name in manifest.KEY), strict=True))


def _pairs(dataset: Path) -> set[str]:
    """Ids of the pairs already stored."""
    count = len(manifest.parts(dataset / "records"))
    ids: set[str] = set()
    for path in manifest.parts(dataset / "pairs")[:count]:  # a pairs part without its records is made again
        ids.update(manifest.read_table(path, ["id"])["id"].to_pylist())
    return ids


def _tasks(
    files: Iterable[SourceFile], join: Join, first: int, size: int, dataset: Path, options: Options
) -> Iterator[Task]:
    files = iter(files)
    number = first
    while chunk := tuple(islice(files, size)):
        yield Task(number, chunk, dataset, options, tuple(map(join.look_up, chunk)))
        number += 1


def _staged(folder: Path, number: int) -> Path:
    return folder / f".staged-{number:05d}.parquet"


def extract_part(task: Task) -> Part:
    """Read the files of a part and stage its records and pairs under hidden names."""
    removed = optout.read(task.dataset)
    told = zip(task.files, task.told, strict=True)
    results = [read_file(file, task.options, by_tables, removed) for file, by_tables in told]
    rows = [row for row, _ in results]
    pairs = {pair["id"]: pair for _, pair in results if pair is not None}
    schema = manifest.pairs_schema(task.options.lines)
    manifest.write_rows(_staged(task.dataset / "pairs", task.number), list(pairs.values()), schema)
    manifest.write_rows(_staged(task.dataset / "records", task.number), rows, manifest.SCHEMA)
    dropped = sum(row["dropped"] is not None for row in rows)
    bad_sidecars = sum(row["error"] is not None and row["dropped"] is None for row in rows)
    return Part(task.number, tuple(pairs), len(rows), dropped, bad_sidecars)


def _commit(dataset: Path, part: Part, ids: set[str]) -> None:
    """Give a staged part its name: pairs before records, whose presence says that the part is done."""
    staged = _staged(dataset / "pairs", part.number)
    if repeated := ids.intersection(part.ids):
        table = manifest.read_table(staged)
        first_seen = pa.array([key not in repeated for key in table["id"].to_pylist()], pa.bool_())
        manifest.write_table(staged, table.filter(first_seen))
    ids.update(part.ids)
    for folder in (dataset / "pairs", dataset / "records"):
        _staged(folder, part.number).rename(manifest.part(folder, part.number))
        sync_folder(folder)


def _finish(dataset: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Before dedupe the manifest equals the records; new records put it back to that."""
    sweep(dataset)  # a file read now may have told of a picture read before that it is an artist's who opted out
    state["parts"] = ledger.read_state(dataset)["parts"]
    if manifest.rows(dataset / "manifest") != manifest.rows(dataset / "records"):
        manifest.replace_manifest(dataset, manifest.iter_parts(dataset / "records"))
    counted = manifest.counts(manifest.read_parts(dataset / "manifest", ["dropped"]))
    state["counts"] = counted
    tag_table.write(dataset)  # also where a kill came between it and the manifest
    ledger.write_state(dataset, state, rehash=("manifest", ledger.TAG_TABLE))
    return counted
