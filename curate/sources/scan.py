"""Source folders -> files, their sidecars and tables, in an order that depends on names alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from curate import storage
from curate.system.errors import SourceError
from curate.system.paths import nfc_text
from curate.tags import metadata_tables

SIDECAR_SUFFIXES = (".json", ".txt")

_ScannedFile = tuple[Path, tuple[Path, ...], tuple[Path, ...], int | None]
"""A file, its sidecars, its tables, its size where listing told it."""


@dataclass(frozen=True)
class Source:
    """A folder to read, under the name its records carry; see curate.system.storage."""

    name: str
    root: Path


@dataclass(frozen=True)
class SourceFile:
    """A file that becomes a record. `file`, `sidecars` and `tables` are real paths; `path` is NFC and POSIX.

    Two names may be one in NFC; `path_raw` then tells the files apart. `tables` may speak of it: those of its folder
    and of the folders above, up to the source's root, the nearest first. `size`, in bytes, where listing told it.
    """

    source: str
    path: str
    path_raw: bytes | None
    real_path: Path
    sidecars: tuple[Path, ...]
    tables: tuple[Path, ...] = ()
    size: int | None = None


def parse_sources(arguments: Sequence[str]) -> list[Source]:
    """Read `[NAME=]FOLDER` arguments; the name defaults to the folder's own. An address, s3://bucket/art, is one too.

    Raises SourceError if a folder does not exist or two names are equal, NurieError if a store does not answer.
    """
    sources = [_parse(argument) for argument in arguments]
    names = [source.name for source in sources]
    for source in sources:
        if not storage.is_folder(source.root):
            raise SourceError(f"{source.root} is not a folder: give the folder that holds the pictures")
        if names.count(source.name) > 1:
            raise SourceError(f"two sources are called {source.name!r}: write NAME={source.root} to tell them apart")
    return sources


def _parse(argument: str) -> Source:
    name, equals, folder = argument.partition("=")
    if not equals or "://" in name or Path(argument).is_dir():
        name, folder = storage.parse_address(argument).resolve().name, argument
    if not name or not folder:
        raise SourceError(f"{argument!r} names no source: write NAME=FOLDER")
    return Source(nfc_text(os.fsencode(name)), storage.parse_address(folder))


def scan_sources(sources: Sequence[Source]) -> Iterator[SourceFile]:
    """Every file below each source but sidecars and tables: sources as given, folder by folder, by the names' bytes."""
    for source in sources:
        for file, sidecars, above, size in _walk(source.root, ()):
            raw = os.fsencode(file.relative_to(source.root).as_posix())
            path = nfc_text(raw)
            yield SourceFile(source.name, path, None if path.encode() == raw else raw, file, sidecars, above, size)


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[_ScannedFile]:
    """Links to folders are not followed: they may loop, and what they lead to can be named as a source itself."""
    ordered = storage.list_folder(folder)
    files = {entry.name for entry in ordered if not entry.is_folder}
    described = [
        entry.name for entry in ordered if entry.name in files and metadata_tables.table_kind(folder / entry.name)
    ]
    sidecars = {name: _sidecars(name, files) for name in files.difference(described)}
    taken = {sidecar for found in sidecars.values() for sidecar in found}
    found = tuple(folder / name for name in described if name not in taken)
    above, taken = (*found, *above), taken.union(described)
    for entry in ordered:
        if entry.is_folder and not entry.is_link:
            yield from _walk(folder / entry.name, above)
        elif entry.name in files and entry.name not in taken:
            beside = tuple(folder / name for name in sidecars[entry.name])
            yield folder / entry.name, beside, above, entry.size


def _sidecars(name: str, files: set[str]) -> list[str]:
    """`NAME.EXT.json` before `NAME.json` before the `.txt` of each; a lone `.json` or `.txt` is a file like others."""
    if name.lower().endswith(SIDECAR_SUFFIXES):
        return []
    stem = name.rpartition(".")[0] or name
    candidates = dict.fromkeys(base + suffix for suffix in SIDECAR_SUFFIXES for base in (name, stem))
    return [candidate for candidate in candidates if candidate in files]
