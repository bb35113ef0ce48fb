"""Find the files of source folders with their sidecars and tables, in an order that depends on names alone."""

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


@dataclass(frozen=True)
class Source:
    """A folder of pictures, local or in a store (`curate.storage`), and its name in records."""

    name: str
    root: Path


@dataclass(frozen=True)
class SourceFile:
    """A file that becomes a record."""

    source: str
    """Name of the source."""
    path: str
    """Path below the source, with `/`, normalised to NFC. Two files may have the same; `path_raw` tells them apart."""
    path_raw: bytes | None
    """The bytes of the path on disk, if they differ from `path`."""
    real_path: Path
    sidecars: tuple[Path, ...]
    tables: tuple[Path, ...] = ()
    """Tables that may describe the file: in its folder and those above, up to the source's root, nearest first."""
    size: int | None = None
    """In bytes, if the listing of the folder says it."""


def parse_sources(arguments: Sequence[str]) -> list[Source]:
    """Parse `[NAME=]FOLDER` arguments, where FOLDER may be an address (s3://bucket/art); NAME defaults to the folder's.

    Raises SourceError if a folder does not exist or two names are equal, NurieError if a store does not answer.
    """
    sources = [_parse_source(argument) for argument in arguments]
    names = [source.name for source in sources]
    for source in sources:
        if not storage.is_folder(source.root):
            raise SourceError(f"{source.root} is not a folder: give the folder that holds the pictures")
        if names.count(source.name) > 1:
            raise SourceError(f"two sources are called {source.name!r}: write NAME={source.root} to tell them apart")
    return sources


def _parse_source(argument: str) -> Source:
    name, equals, folder = argument.partition("=")
    if not equals or "://" in name or Path(argument).is_dir():
        name, folder = storage.parse_address(argument).resolve().name, argument
    if not name or not folder:
        raise SourceError(f"{argument!r} names no source: write NAME=FOLDER")
    return Source(nfc_text(os.fsencode(name)), storage.parse_address(folder))


def scan_sources(sources: Sequence[Source]) -> Iterator[SourceFile]:
    """All files of the sources but sidecars and tables: sources in the given order, names sorted by their bytes."""
    for source in sources:
        yield from _walk(source, source.root, ())


def _walk(source: Source, folder: Path, tables_above: tuple[Path, ...]) -> Iterator[SourceFile]:
    """Links to folders are not followed: they may loop, and a user can name their target as a source."""
    entries = storage.list_folder(folder)
    files = {entry.name for entry in entries if not entry.is_folder}
    table_names = [
        entry.name for entry in entries if entry.name in files and metadata_tables.table_kind(folder / entry.name)
    ]
    sidecars = {name: _sidecar_names(name, files) for name in files.difference(table_names)}
    all_sidecars = {sidecar for names in sidecars.values() for sidecar in names}
    tables = (*(folder / name for name in table_names if name not in all_sidecars), *tables_above)
    skipped = all_sidecars.union(table_names)
    for entry in entries:
        if entry.is_folder and not entry.is_link:
            yield from _walk(source, folder / entry.name, tables)
        elif entry.name in files and entry.name not in skipped:
            paths = tuple(folder / name for name in (entry.name, *sidecars[entry.name]))
            yield _source_file(source, paths[0], paths[1:], tables, entry.size)


def _source_file(
    source: Source, real_path: Path, sidecars: tuple[Path, ...], tables: tuple[Path, ...], size: int | None
) -> SourceFile:
    raw = os.fsencode(real_path.relative_to(source.root).as_posix())
    path = nfc_text(raw)
    path_raw = None if path.encode() == raw else raw
    return SourceFile(source.name, path, path_raw, real_path, sidecars, tables, size)


def _sidecar_names(name: str, files: set[str]) -> list[str]:
    """Sidecars of a file: `NAME.EXT.json`, `NAME.json`, `NAME.EXT.txt`, `NAME.txt`, as far as they exist.

    A `.json` or `.txt` file has none itself; without a picture beside it, it is a file like any other.
    """
    if name.lower().endswith(SIDECAR_SUFFIXES):
        return []
    stem = name.rpartition(".")[0] or name
    candidates = dict.fromkeys(base + suffix for suffix in SIDECAR_SUFFIXES for base in (name, stem))
    return [candidate for candidate in candidates if candidate in files]
