"""Look up what metadata tables say about each source file.

A table is read once, when the first file that it may describe is looked up, into an SQLite index in a temporary file.
So memory does not grow with the tables, and tasks carry only the rows of their files.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from curate import storage
from curate.sources.scan import SourceFile
from curate.system.errors import NurieError
from curate.system.files import canonical_json
from curate.tags import metadata_tables
from curate.tags.sidecar import Sidecar, merge_sidecars, read_table_entry

INDEX_SQL = """
CREATE TABLE entries (number INTEGER PRIMARY KEY, content BLOB);
CREATE TABLE keys (table_number INTEGER, key TEXT, entry INTEGER, PRIMARY KEY (table_number, key)) WITHOUT ROWID;
"""
SQLITE_CACHE_KIB = 1 << 16  # KiB of the index in memory: MD5s come in random order
# the later of two entries with one key wins; but if two of kohya's absolute paths end alike, neither is used
INSERT_KEY_SQL = """
INSERT INTO keys VALUES (?, ?, ?)
ON CONFLICT (table_number, key) DO UPDATE SET entry = CASE WHEN ? THEN -1 ELSE excluded.entry END
"""
FIND_ENTRY_SQL = "SELECT content FROM keys JOIN entries ON number = entry WHERE table_number = ? AND key = ?"


class TableLookup:
    """An index of the metadata tables of some sources."""

    def __init__(self) -> None:
        self.error_count = 0
        """Entries, or whole tables, that could not be read."""
        self._index = sqlite3.connect("")  # a temporary file that is deleted with the connection
        self._index.execute(f"PRAGMA cache_size = -{SQLITE_CACHE_KIB}")
        self._index.executescript(INDEX_SQL)
        self._kinds: dict[Path, str] = {}
        self._numbers: dict[Path, int] = {}
        self._tables_with_md5: set[Path] = set()

    def close(self) -> None:
        """Delete the index."""
        self._index.close()

    def look_up(self, file: SourceFile) -> Sidecar | None:
        """What the tables say about a file, merged with the nearest table first; None if they do not name it."""
        entries = [entry for table in file.tables if (entry := self._look_up_in(table, file)) is not None]
        return merge_sidecars(entries) if entries else None

    def _look_up_in(self, table: Path, file: SourceFile) -> Sidecar | None:
        if table not in self._numbers:
            self._read_table(table)
        for key in self._lookup_keys(table, file):
            row = self._index.execute(FIND_ENTRY_SQL, (self._numbers[table], key)).fetchone()
            if row is not None:
                return read_table_entry(row[0])
        return None

    def _lookup_keys(self, table: Path, file: SourceFile) -> Iterator[str]:
        """The keys that a table may have for a file, the most reliable first."""
        path = _nfc(file.real_path.relative_to(table.parent).as_posix())
        if self._kinds[table] == "files":
            yield f"path:{path}"
        elif self._kinds[table] == "kohya":
            stem = _stem(path)
            yield from (f"path:{path}", f"path:{stem}", f"tail:{'/'.join(stem.split('/')[-2:])}")
            yield from (f"name:{stem.rpartition('/')[2]}", f"last:{stem.rpartition('/')[2]}")
        else:
            stem = _stem(path).rpartition("/")[2].lower()
            if md5_in_name := re.search(r"(?:^|[_-])([0-9a-f]{32})$", stem):
                yield f"md5:{md5_in_name[1]}"
            if re.fullmatch("[0-9]{1,19}", stem):
                yield f"id:{stem.lstrip('0') or '0'}"
            if table in self._tables_with_md5 and (digest := _file_md5(file.real_path)):
                yield f"md5:{digest}"

    def _read_table(self, table: Path) -> None:
        try:
            self._index_table(table)
        except sqlite3.OperationalError as error:
            problem = f"the index of {table} does not fit in the folder for temporary files ({error})"
            remedy = "make room there, or set SQLITE_TMPDIR to a folder on another disk, then run this command again"
            raise NurieError(f"{problem}: {remedy}") from None

    def _index_table(self, table: Path) -> None:
        self._numbers[table] = len(self._numbers)
        self._kinds[table] = kind = metadata_tables.table_kind(table) or "posts"
        try:
            for entry in metadata_tables.read_entries(table):
                self._add(table, _entry_keys(kind, entry) if entry else [], entry)
        except metadata_tables.TABLE_ERRORS:
            self.error_count += 1
        self._index.commit()

    def _add(self, table: Path, keys: list[str], entry: metadata_tables.TableEntry | None) -> None:
        if entry is None or not keys:
            self.error_count += 1
            return
        content = canonical_json(entry["value"] if self._kinds[table] == "kohya" else entry)
        number = self._index.execute("INSERT INTO entries (content) VALUES (?)", (content,)).lastrowid
        if any(key.startswith("md5:") for key in keys):
            self._tables_with_md5.add(table)
        for key in keys:
            is_ambiguous = key.startswith(("tail:", "last:"))
            self._index.execute(INSERT_KEY_SQL, (self._numbers[table], key, number, is_ambiguous))


def _entry_keys(kind: str, entry: metadata_tables.TableEntry) -> list[str]:
    """The keys under which an entry is found; empty if it names no file."""
    if kind == "files":
        name = entry.get("file_name")
        return [f"path:{_posix_path(name)}"] if isinstance(name, str) and name else []
    if kind == "kohya":
        return _kohya_keys(entry["key"])
    keys = {"md5": metadata_tables.entry_md5(entry), "id": metadata_tables.entry_id(entry)}
    return [f"{name}:{value}" for name, value in keys.items() if value]


def _kohya_keys(key: object) -> list[str]:
    """Keys of an entry in kohya's metadata.

    A name without a folder stands for every picture of that name. An absolute path was written on another machine, so
    only its end is compared.
    """
    if not isinstance(key, str) or not key:
        return []
    if PurePosixPath(key).is_absolute() or PureWindowsPath(key).is_absolute():
        parts = _stem(_posix_path(key)).split("/")
        return [f"tail:{'/'.join(parts[-2:])}", f"last:{parts[-1]}"]
    path = _posix_path(key)
    return [f"path:{path}"] if "/" in path else [f"path:{path}", f"name:{path}", f"name:{_stem(path)}"]


def _posix_path(name: str) -> str:
    return _nfc(PurePosixPath(name.replace("\\", "/")).as_posix())


def _stem(path: str) -> str:
    """The path without the extension of its last name."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def _nfc(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _file_md5(path: Path) -> str | None:
    """MD5 of a file, which Danbooru names files by (not a safeguard); None if it is too large or cannot be read."""
    try:
        with storage.open_file(path) as file:
            if file.seek(0, os.SEEK_END) > storage.MAX_FILE_BYTES:
                return None
            file.seek(0)
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError:
        return None
