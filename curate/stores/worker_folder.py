"""Where workers find what a stage works on, and leave what they make: its folder, or a store where they share none.

A folder of this host may stand for a place in a store, as a working copy does. Local processes see the folder. Workers
on other hosts then see the store instead: whole files of a dataset where they lie there, and a place below, empty at
first and last, for what passes between them and this host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from uuid import uuid4

from curate import storage
from curate.dataset import ledger, parquet
from curate.stores.listing import read_listing
from curate.system.errors import NurieError
from curate.workers.executor import Workers

STORE_BY_FOLDER: ContextVar[Mapping[Path, Path]] = ContextVar("stores", default={})  # noqa: B039  # never written to
"""Places in stores by the folder of this host that stands for each."""


def store_of(folder: Path) -> Path | None:
    """The place in a store that a folder of this host stands for."""
    return STORE_BY_FOLDER.get().get(folder.absolute())


def folder_for_workers(folder: Path, workers: Workers) -> Path:
    """A dataset's or shards' folder as workers see it; absolute, as they may start elsewhere."""
    place = None if isinstance(workers, int) else store_of(folder)
    return place or folder.absolute()


def pair_parts_for_workers(dataset: Path, workers: Workers, scratch: Path) -> dict[Path, Path]:
    """Where workers see each part of a dataset's pairs, by where it lies here.

    What their store does not hold as it is here, as it was changed since or never sent, is put below `scratch`.
    """
    here, there = parquet.part_paths(dataset / "pairs"), folder_for_workers(dataset, workers)
    if not storage.is_remote(there):
        return {path: path.absolute() for path in here}
    told, known = read_listing(there), ledger.peek_ledger(dataset)["parts"]
    held = told.digests if told else {}
    found: dict[Path, Path] = {}
    for path in here:
        name = path.relative_to(dataset).as_posix()
        if name in known and held.get(name) == known[name]:
            found[path] = there.joinpath(*name.split("/"))
        else:
            found[path] = scratch / f"{uuid4().hex}.parquet"
            storage.write_bytes(found[path], path.read_bytes())
    return found


@contextmanager
def staging_folder(folder: Path, workers: Workers) -> Iterator[Path]:
    """Where workers leave files of a folder: there, or in a place of its store that is the block's own."""
    there = folder_for_workers(folder, workers)
    if not storage.is_remote(there):
        yield there
        return
    storage.delete_folder(there / storage.STAGING_FOLDER)  # of runs that were killed
    place = there / storage.STAGING_FOLDER / uuid4().hex  # of its own: what outlived those writes elsewhere
    try:
        yield place
    finally:
        with suppress(NurieError):  # what ended the block is told
            storage.delete_folder(place)


def collect_file(made: Path, path: Path) -> None:
    """Take a file that a worker left to its path in a folder of this host, unless it lies there."""
    if storage.is_remote(made):
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.download(made, path)
        storage.delete_file(made)
