"""Tables that describe many pictures: Danbooru posts, Hugging Face metadata, kohya's metadata. Read as streams.

A file is such a table by its name and by what one of its first entries holds:

    *.jsonl, *.parquet, posts.json       posts: an `md5` or a whole-number `id`, and tags; posts.json may be an array
    metadata.jsonl, .csv, .parquet       files: a `file_name`, relative to the table's folder
    meta*.json                           kohya: an object of objects with `tags` or `caption`, by path or stem
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from curate import storage

MAX_ENTRY_SIZE = (
    1 << 20
)  # longest entry read, in bytes or characters: memory stays that of an entry, whatever the table holds
SNIFFED_ENTRIES = 64  # entries of which one must be as it should
PARQUET_BATCH_ROWS = 1024  # rows of Parquet at a time
TableEntry = dict[str, Any]
# what a hostile or torn table makes the readers below raise
TABLE_ERRORS = (OSError, ValueError, RecursionError, OverflowError, csv.Error, pa.ArrowException)


def table_kind(path: Path) -> str | None:
    """`posts`, `files` or `kohya` by name and first entries; None for a file that is no table."""
    if not _is_table_name(path.name.lower()):
        return None
    try:
        if not storage.is_regular_file(path):
            return None
        if path.suffix.lower() == ".parquet":
            with storage.open_file(path) as file:
                return _kind_of_schema(path.name.lower(), pq.read_schema(file))
        told = (
            _kind_of_entry(path.name.lower(), entry)
            for entry in islice(read_entries(path), SNIFFED_ENTRIES)
            if entry is not None
        )
        return next((found for found in told if found), None)
    except TABLE_ERRORS:
        return None


def _is_table_name(name: str) -> bool:
    return name.endswith((".jsonl", ".parquet")) or name in {"posts.json", "metadata.csv"} or _is_kohya(name)


def _is_kohya(name: str) -> bool:
    return name.startswith("meta") and name.endswith(".json")


def _kind_of_entry(name: str, entry: TableEntry) -> str | None:
    if _is_kohya(name):
        told = entry["value"]
        return "kohya" if isinstance(told, dict) and {"tags", "caption"} & told.keys() else None
    if name.startswith("metadata.") and isinstance(entry.get("file_name"), str):
        return "files"
    return "posts" if (entry_md5(entry) or entry_id(entry)) and has_tags(entry) else None


def _kind_of_schema(name: str, schema: pa.Schema) -> str | None:
    types = dict(zip(schema.names, schema.types, strict=True))
    if name == "metadata.parquet" and _is_text(types.get("file_name", pa.null())):
        return "files"
    named = _is_text(types.get("md5", pa.null())) or pa.types.is_integer(types.get("id", pa.null()))
    return "posts" if named and has_tags(types) else None


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def has_tags(entry: Mapping[str, object]) -> bool:
    """Whether an entry, a post or the columns of a table has tags, in any of the boorus' ways."""
    return any(key == "tags" or key.startswith(("tag_string", "tags_")) for key in entry)


def entry_md5(entry: TableEntry) -> str | None:
    """An entry's MD5 in lower case, if it has one."""
    told = entry.get("md5")
    return told.lower() if isinstance(told, str) and re.fullmatch("[0-9a-fA-F]{32}", told) else None


def entry_id(entry: TableEntry) -> str | None:
    """An entry's id as a decimal number without leading zeros, if it is one."""
    told = entry.get("id")
    text = str(told) if isinstance(told, int) and not isinstance(told, bool) and abs(told) < 1 << 63 else told
    return text.lstrip("0") or "0" if isinstance(text, str) and re.fullmatch("[0-9]{1,19}", text) else None


def read_entries(path: Path) -> Iterator[TableEntry | None]:
    """Entries of a table, None for one that is malformed; kohya's as {"key", "value"}.

    Raises one of FAULTS where no more can be read.
    """
    name = path.name.lower()
    readers: list[tuple[bool, Callable[[Path], Iterator[TableEntry | None]]]] = [
        (name.endswith(".parquet"), _read_parquet),
        (name.endswith(".csv"), _read_csv),
        (_is_kohya(name), _read_json_object),
        (name == "posts.json" and _is_array(path), _read_json_array),
    ]
    return next((reader for fits, reader in readers if fits), _read_json_lines)(path)


def _read_json_lines(path: Path) -> Iterator[TableEntry | None]:
    with storage.open_file(path) as file:
        while line := file.readline(MAX_ENTRY_SIZE):
            whole = line.endswith(b"\n") or len(line) < MAX_ENTRY_SIZE
            while not whole:  # a line too long is skipped to its end
                more = file.readline(MAX_ENTRY_SIZE)
                whole, line = more.endswith(b"\n") or len(more) < MAX_ENTRY_SIZE, b"{"
            if text := line.removeprefix(b"\xef\xbb\xbf").strip():
                yield _parse_json_line(text)


def _parse_json_line(text: bytes) -> TableEntry | None:
    try:
        told = json.loads(text.decode(), parse_constant=lambda _: None)  # NaN is no JSON
    except (ValueError, RecursionError):
        return None
    half = rb"\ud" in text.lower()  # only an escape can be half a surrogate pair: the bytes are UTF-8
    return told if isinstance(told, dict) and not (half and not _is_storable(told)) else None


def _is_storable(told: object) -> bool:
    """Half a surrogate pair is what no text column can hold."""
    try:
        json.dumps(told, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _read_csv(path: Path) -> Iterator[TableEntry | None]:
    with TextIOWrapper(storage.open_file(path), encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, restkey="", strict=True)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error:
                yield None
                continue
            yield None if "" in row or None in row.values() else row


def _read_parquet(path: Path) -> Iterator[TableEntry | None]:
    """Only text, numbers and lists of text: pixels and other types say nothing here."""
    with storage.open_file(path) as opened, pq.ParquetFile(opened) as file:
        columns = [field.name for field in file.schema_arrow if _is_plain_type(field.type)]
        for batch in file.iter_batches(PARQUET_BATCH_ROWS, columns=columns):
            for row in batch.to_pylist():
                yield {key: value for key, value in row.items() if value is not None}


def _is_plain_type(type_: pa.DataType) -> bool:
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _is_text(type_.value_type)
    return bool(
        _is_text(type_) or pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_)
    )


def _read_json_object(path: Path) -> Iterator[TableEntry | None]:
    def member(text: _JsonScanner) -> TableEntry | None:
        key = text.next_value()
        text.skip(r"\s*:\s*")
        value = text.next_value()
        return {"key": key, "value": value} if isinstance(value, dict) and _is_storable([key, value]) else None

    return _read_json_members(path, r"\{", r"\}", member)


def _read_json_array(path: Path) -> Iterator[TableEntry | None]:
    def member(text: _JsonScanner) -> TableEntry | None:
        value = text.next_value()
        return value if isinstance(value, dict) and _is_storable(value) else None

    return _read_json_members(path, r"\[", r"\]", member)


def _is_array(path: Path) -> bool:
    """Danbooru's own `posts.json` is one array, a dump of that name often a post a line."""
    with storage.open_file(path) as file:
        return file.read(1 << 10).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _read_json_members(
    path: Path, opening: str, closing: str, member: Callable[[_JsonScanner], TableEntry | None]
) -> Iterator[TableEntry | None]:
    """Members of one JSON object or array, one after another: the whole never lies in memory."""
    with TextIOWrapper(storage.open_file(path), encoding="utf-8-sig") as file:
        text = _JsonScanner(file)
        text.skip(rf"\s*{opening}\s*")
        while not text.is_at(closing[-1]):
            told = member(text)
            text.skip(rf"\s*(,\s*(?!{closing})|(?={closing}))")
            yield told


class _JsonScanner:
    """A text file through a window that slides on as it is parsed."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._window = file, ""
        self._decoder = json.JSONDecoder(parse_constant=lambda _: None)

    def _fill(self, least: int) -> None:
        while len(self._window) < least and (more := self._file.read(1 << 16)):
            self._window += more

    def is_at(self, mark: str) -> bool:
        self._fill(1)
        return self._window.startswith(mark)

    def skip(self, pattern: str) -> None:
        """Pass what `pattern` matches. Raises ValueError if it does not."""
        self._fill(1 << 10)
        found = re.match(pattern, self._window)
        if found is None:
            raise ValueError("not JSON")
        self._window = self._window[found.end() :]

    def next_value(self) -> Any:
        """The next JSON value. Raises ValueError if there is none, or it is longer than an entry may be."""
        size = 1 << 12
        while True:
            self._fill(size)
            try:
                value, end = self._decoder.raw_decode(self._window)
            except ValueError:
                if len(self._window) < size or size >= MAX_ENTRY_SIZE:
                    raise
                size *= 2
            else:
                self._window = self._window[end:]
                return value
