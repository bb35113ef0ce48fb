"""Tables and source files -> what the tables say of each file.

Tables are read once, when the first file that they may speak of is asked for, into an index that SQLite keeps in a
temporary file of its own: memory does not grow with the tables, and tasks carry the few rows they need.
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
CREATE TABLE entries (number INTEGER PRIMARY KEY, told BLOB);
CREATE TABLE keys (place INTEGER, key TEXT, entry INTEGER, PRIMARY KEY (place, key)) WITHOUT ROWID;
"""
SQLITE_CACHE_KIB = 1 << 16  # KiB of the index held in memory: MD5s come in no order
# the later entry of two with one key holds, but where two of kohya's absolute paths end alike, neither is believed
INSERT_KEY_SQL = """
INSERT INTO keys VALUES (?, ?, ?)
ON CONFLICT (place, key) DO UPDATE SET entry = CASE WHEN ? THEN -1 ELSE excluded.entry END
"""


class TableLookup:
    """What the tables above a file say of it. `errors` counts what in them could not be read."""

    def __init__(self) -> None:
        self.error_count = 0
        self._index = sqlite3.connect("")  # a temporary file, gone with the connection
        self._index.execute(f"PRAGMA cache_size = -{SQLITE_CACHE_KIB}")
        self._index.executescript(INDEX_SQL)
        self._kinds: dict[Path, str] = {}
        self._places: dict[Path, int] = {}
        self._hashed: set[Path] = set()

    def close(self) -> None:
        """Let go of the index."""
        self._index.close()

    def look_up(self, file: SourceFile) -> Sidecar | None:
        """What its tables say of a file, the nearest one first; None if nothing."""
        found = [told for table in file.tables if (told := self._look_in(table, file)) is not None]
        return merge_sidecars(found) if found else None

    def _look_in(self, table: Path, file: SourceFile) -> Sidecar | None:
        if table not in self._places:
            self._read(table)
        for key in self._lookup_keys(table, file):
            row = self._index.execute(
                "SELECT told FROM keys JOIN entries ON number = entry WHERE place = ? AND key = ?",
                (self._places[table], key),
            ).fetchone()
            if row is not None:
                return read_table_entry(row[0])
        return None

    def _lookup_keys(self, table: Path, file: SourceFile) -> Iterator[str]:
        """The keys under which a table may know a file, the surest first."""
        path = _text(file.real_path.relative_to(table.parent).as_posix())
        if self._kinds[table] == "files":
            yield f"path:{path}"
        elif self._kinds[table] == "kohya":
            stem = _stem(path)
            yield from (f"path:{path}", f"path:{stem}", f"tail:{'/'.join(stem.split('/')[-2:])}")
            yield from (f"name:{stem.rpartition('/')[2]}", f"last:{stem.rpartition('/')[2]}")
        else:
            stem = _stem(path).rpartition("/")[2].lower()
            if named := re.search(r"(?:^|[_-])([0-9a-f]{32})$", stem):
                yield f"md5:{named[1]}"
            if re.fullmatch("[0-9]{1,19}", stem):
                yield f"id:{stem.lstrip('0') or '0'}"
            if table in self._hashed and (digest := _md5(file.real_path)):
                yield f"md5:{digest}"

    def _read(self, table: Path) -> None:
        try:
            self._read_in(table)
        except sqlite3.OperationalError as error:
            remedy = "make room there, or set SQLITE_TMPDIR to a folder on another disk, then run this command again"
            told = f"what {table} says cannot be kept in the folder for temporary files ({error})"
            raise NurieError(f"{told}: {remedy}") from None

    def _read_in(self, table: Path) -> None:
        self._places[table] = place = len(self._places)
        self._kinds[table] = kind = metadata_tables.table_kind(table) or "posts"
        try:
            for entry in metadata_tables.read_entries(table):
                self._add(place, table, _entry_keys(kind, entry) if entry else [], entry)
        except metadata_tables.TABLE_ERRORS:
            self.error_count += 1
        self._index.commit()

    def _add(self, place: int, table: Path, keys: list[str], entry: metadata_tables.TableEntry | None) -> None:
        if entry is None or not keys:
            self.error_count += 1
            return
        told = entry["value"] if self._kinds[table] == "kohya" else entry
        number = self._index.execute("INSERT INTO entries (told) VALUES (?)", (canonical_json(told),)).lastrowid
        if any(key.startswith("md5:") for key in keys):
            self._hashed.add(table)
        for key in keys:
            self._index.execute(INSERT_KEY_SQL, (place, key, number, key.startswith(("tail:", "last:"))))


def _entry_keys(kind: str, entry: metadata_tables.TableEntry) -> list[str]:
    """The keys under which an entry is found; none if it names no file."""
    if kind == "files":
        name = entry.get("file_name")
        return [f"path:{_relative(name)}"] if isinstance(name, str) and name else []
    if kind == "kohya":
        return _kohya_keys(entry["key"])
    told = {"md5": metadata_tables.entry_md5(entry), "id": metadata_tables.entry_id(entry)}
    return [f"{name}:{value}" for name, value in told.items() if value]


def _kohya_keys(key: object) -> list[str]:
    """A bare stem names every picture so called; an absolute path, written on another machine, is known by its end."""
    if not isinstance(key, str) or not key:
        return []
    if PurePosixPath(key).is_absolute() or PureWindowsPath(key).is_absolute():
        parts = _stem(_relative(key)).split("/")
        return [f"tail:{'/'.join(parts[-2:])}", f"last:{parts[-1]}"]
    path = _relative(key)
    return [f"path:{path}"] if "/" in path else [f"path:{path}", f"name:{path}", f"name:{_stem(path)}"]


def _relative(name: str) -> str:
    return _text(PurePosixPath(name.replace("\\", "/")).as_posix())


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def _text(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _md5(path: Path) -> str | None:
    """MD5 of a file's bytes: what Danbooru names its files by, no safeguard."""
    try:
        with storage.open_file(path) as file:
            if file.seek(0, os.SEEK_END) > storage.MAX_FILE_BYTES:
                return None
            file.seek(0)
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError:
        return None
