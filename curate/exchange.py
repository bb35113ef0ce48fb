"""Where workers find what a stage works on, and leave what they make: its folder, or a store where they share none.

A folder of this host may stand for a place in a store, as the working copies of curate.away do. Local processes see the
folder. Workers on other hosts then see the store instead: whole files of a dataset where they lie there, and a place
below, empty at first and last, for what passes between them and this host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from curate import places
from curate.engine import Workers
from curate.errors import NurieError

STORES: ContextVar[Mapping[Path, Path]] = ContextVar("stores", default={})  # noqa: B039  # never written to
"""Places in stores by the folder of this host that stands for each."""


def seen(path: Path, workers: Workers) -> Path:
    """A whole file of a dataset, or a folder, as workers see it. Absolute, as they may start elsewhere."""
    path = path.absolute()
    if not isinstance(workers, int):
        for folder, place in STORES.get().items():
            if path.is_relative_to(folder):
                return place.joinpath(*path.relative_to(folder).parts)
    return path


@contextmanager
def staging(folder: Path, workers: Workers) -> Iterator[Path]:
    """Where workers leave files of a folder: there, or in a place of its store that is the block's own."""
    there = seen(folder, workers)
    if not places.remote(there):
        yield there
        return
    place = there / places.STAGING
    places.clear(place)  # of a run that was killed
    try:
        yield place
    finally:
        with suppress(NurieError):  # what ended the block is told
            places.clear(place)


def bring(made: Path, path: Path) -> None:
    """Take a file that a worker left to its path in a folder of this host, unless it lies there."""
    if places.remote(made):
        path.parent.mkdir(parents=True, exist_ok=True)
        places.bring(made, path)
        places.delete(made)
