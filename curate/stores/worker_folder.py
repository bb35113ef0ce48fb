"""Where the workers of a stage read a dataset and write their results: its folder, or the store behind it.

A local folder may be the working copy of a dataset in a store. Local processes use the folder. Dask workers on other
hosts cannot see it, so they use the store: they read the parts that are there unchanged, and exchange other files with
this host through a staging folder in the store, which is empty before and after the stage.
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

STORE_BY_FOLDER: ContextVar[Mapping[Path, Path]] = ContextVar("stores", default={})  # noqa: B039  # never mutated
"""The path in a store by the local folder that is its working copy.

A context variable: the command line sets it, and only staging deep inside the stages reads it.
"""


def store_of(folder: Path) -> Path | None:
    """The path in a store whose working copy a local folder is; None if it is not one."""
    return STORE_BY_FOLDER.get().get(folder.absolute())


def folder_for_workers(folder: Path, workers: Workers) -> Path:
    """The path under which workers see a dataset or shard folder; absolute, as they may start in another folder."""
    store = None if isinstance(workers, int) else store_of(folder)
    return store or folder.absolute()


def pair_parts_for_workers(dataset: Path, workers: Workers, scratch: Path) -> dict[Path, Path]:
    """Where workers see each part of a dataset's pairs, by its local path.

    A part that the store does not have in the same version is uploaded to the folder `scratch`.
    """
    parts, worker_folder = parquet.part_paths(dataset / "pairs"), folder_for_workers(dataset, workers)
    if not storage.is_remote(worker_folder):
        return {path: path.absolute() for path in parts}
    listing, local_digests = read_listing(worker_folder), ledger.peek_ledger(dataset)["parts"]
    store_digests = listing.digests if listing else {}
    seen: dict[Path, Path] = {}
    for path in parts:
        name = path.relative_to(dataset).as_posix()
        if name in local_digests and store_digests.get(name) == local_digests[name]:
            seen[path] = worker_folder.joinpath(*name.split("/"))
        else:
            seen[path] = scratch / f"{uuid4().hex}.parquet"
            storage.write_bytes(seen[path], path.read_bytes())
    return seen


@contextmanager
def staging_folder(folder: Path, workers: Workers) -> Iterator[Path]:
    """Where workers leave files for `folder`: itself, or a folder in its store that exists only for the block."""
    worker_folder = folder_for_workers(folder, workers)
    if not storage.is_remote(worker_folder):
        yield worker_folder
        return
    storage.delete_folder(worker_folder / storage.STAGING_FOLDER)  # left by killed runs
    staging = worker_folder / storage.STAGING_FOLDER / uuid4().hex  # workers of a killed run still write to another one
    try:
        yield staging
    finally:
        with suppress(NurieError):  # do not hide the block's own error
            storage.delete_folder(staging)


def collect_file(staged: Path, path: Path) -> None:
    """Move a file that a worker staged in a store to its local path; a local file is left where it is."""
    if storage.is_remote(staged):
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.download(staged, path)
        storage.delete_file(staged)
