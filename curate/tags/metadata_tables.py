"""Read metadata tables, which describe many pictures: Danbooru posts, Hugging Face metadata, kohya's metadata.

Tables are read as streams: memory stays that of one entry, whatever the file contains. A file is a table if its name
and one of its first entries fit:

    *.jsonl, *.parquet, posts.json       posts: an `md5` or a whole-number `id`, and tags; posts.json may be an array
    metadata.jsonl, .csv, .parquet       files: a `file_name`, relative to the table's folder
    meta*.json                           kohya: an object of objects with `tags` or `caption`, by path or stem
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from curate import storage

MAX_ENTRY_SIZE = 1 << 20  # bytes (lines) or characters (JSON members); longer entries count as malformed
SNIFFED_ENTRIES = 64  # one of the first entries must fit the kind of table
PARQUET_BATCH_ROWS = 1024
TableEntry = dict[str, Any]
# what the readers below raise for hostile or truncated tables
TABLE_ERRORS = (OSError, ValueError, RecursionError, OverflowError, csv.Error, pa.ArrowException)


def table_kind(path: Path) -> str | None:
    """Return `posts`, `files` or `kohya`, by the name and the first entries; None for a file that is not a table."""
    if not _is_table_name(path.name.lower()):
        return None
    try:
        if not storage.is_regular_file(path):
            return None
        if path.suffix.lower() == ".parquet":
            with storage.open_file(path) as file:
                return _kind_of_schema(path.name.lower(), pq.read_schema(file))
        entries = (entry for entry in islice(read_entries(path), SNIFFED_ENTRIES) if entry is not None)
        kinds = (_kind_of_entry(path.name.lower(), entry) for entry in entries)
        return next((kind for kind in kinds if kind), None)
    except TABLE_ERRORS:
        return None


def _is_table_name(name: str) -> bool:
    return name.endswith((".jsonl", ".parquet")) or name in {"posts.json", "metadata.csv"} or _is_kohya(name)


def _is_kohya(name: str) -> bool:
    return name.startswith("meta") and name.endswith(".json")


def _kind_of_entry(name: str, entry: TableEntry) -> str | None:
    if _is_kohya(name):
        return "kohya" if {"tags", "caption"} & entry["value"].keys() else None
    if name.startswith("metadata.") and isinstance(entry.get("file_name"), str):
        return "files"
    return "posts" if (entry_md5(entry) or entry_id(entry)) and has_tags(entry) else None


def _kind_of_schema(name: str, schema: pa.Schema) -> str | None:
    types = dict(zip(schema.names, schema.types, strict=True))
    if name == "metadata.parquet" and _is_text(types.get("file_name", pa.null())):
        return "files"
    has_key = _is_text(types.get("md5", pa.null())) or pa.types.is_integer(types.get("id", pa.null()))
    return "posts" if has_key and has_tags(types) else None


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def has_tags(entry: Mapping[str, object]) -> bool:
    """Whether the keys of an entry, or the columns of a table, include tags as any of the boorus spells them."""
    return any(key == "tags" or key.startswith(("tag_string", "tags_")) for key in entry)


def entry_md5(entry: TableEntry) -> str | None:
    """Return an entry's MD5 in lower case hex, or None."""
    md5 = entry.get("md5")
    return md5.lower() if isinstance(md5, str) and re.fullmatch("[0-9a-fA-F]{32}", md5) else None


def entry_id(entry: TableEntry) -> str | None:
    """Return an entry's id as decimal text without leading zeros, or None if it is not a whole number."""
    number = entry.get("id")
    text = str(number) if isinstance(number, int) and not isinstance(number, bool) and abs(number) < 1 << 63 else number
    return text.lstrip("0") or "0" if isinstance(text, str) and re.fullmatch("[0-9]{1,19}", text) else None


def read_entries(path: Path) -> Iterator[TableEntry | None]:
    """Yield the entries of a table, None for a malformed one; kohya's as {"key", "value"}.

    Raises one of TABLE_ERRORS if the rest cannot be read.
    """
    name = path.name.lower()
    if name.endswith(".parquet"):
        return _read_parquet(path)
    if name.endswith(".csv"):
        return _read_csv(path)
    if _is_kohya(name):
        return _read_json_members(path, keyed=True)
    if name == "posts.json" and _is_array(path):
        return _read_json_members(path, keyed=False)
    return _read_json_lines(path)


def _read_json_lines(path: Path) -> Iterator[TableEntry | None]:
    with storage.open_file(path) as file:
        while line := file.readline(MAX_ENTRY_SIZE):
            complete = line.endswith(b"\n") or len(line) < MAX_ENTRY_SIZE
            while not complete:  # skip the rest of a long line; `{` counts as one malformed entry
                rest = file.readline(MAX_ENTRY_SIZE)
                complete, line = rest.endswith(b"\n") or len(rest) < MAX_ENTRY_SIZE, b"{"
            if text := line.removeprefix(b"\xef\xbb\xbf").strip():
                yield _parse_json_line(text)


def _parse_json_line(text: bytes) -> TableEntry | None:
    try:
        entry = json.loads(text.decode(), parse_constant=lambda _: None)  # NaN is not JSON, but Python writes it
    except (ValueError, RecursionError):
        return None
    suspect = rb"\ud" in text.lower()  # in UTF-8, only an escape can be a lone surrogate
    return entry if isinstance(entry, dict) and not (suspect and not _is_storable(entry)) else None


def _is_storable(value: object) -> bool:
    """Whether a text column can hold the value as JSON: lone surrogates cannot be encoded."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
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
    """Yield rows of the columns that hold text, numbers or lists of text; others, for example pixels, are not read."""
    with storage.open_file(path) as file, pq.ParquetFile(file) as table:
        columns = [field.name for field in table.schema_arrow if _is_plain_type(field.type)]
        for batch in table.iter_batches(PARQUET_BATCH_ROWS, columns=columns):
            for row in batch.to_pylist():
                yield {key: value for key, value in row.items() if value is not None}


def _is_plain_type(type_: pa.DataType) -> bool:
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _is_text(type_.value_type)
    return bool(
        _is_text(type_) or pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_)
    )


def _is_array(path: Path) -> bool:
    """Whether a `posts.json` is one array, as from Danbooru's API; dumps of that name often have a post per line."""
    with storage.open_file(path) as file:
        return file.read(1 << 10).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _read_json_members(path: Path, *, keyed: bool) -> Iterator[TableEntry | None]:
    """Yield the values of one JSON array, or of one object as {"key", "value"}, with one member at a time in memory.

    ijson does not fit: NaN ends its reading, lone surrogates become `?`, and it keeps a string of any length in memory.
    """
    opening, closing = (r"\{", r"\}") if keyed else (r"\[", r"\]")
    with TextIOWrapper(storage.open_file(path), encoding="utf-8-sig") as file:
        text = _JsonScanner(file)
        text.skip(rf"\s*{opening}\s*")
        while not text.is_at(closing[-1]):
            key = text.next_value() if keyed else None
            if keyed:
                text.skip(r"\s*:\s*")
            value = text.next_value()
            text.skip(rf"\s*(,\s*(?!{closing})|(?={closing}))")
            if not isinstance(value, dict) or not _is_storable([key, value]):
                yield None
            else:
                yield {"key": key, "value": value} if keyed else value


class _JsonScanner:
    """Parses JSON values and marks from a text file, keeping only a window of it in memory."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._window = file, ""
        self._decoder = json.JSONDecoder(parse_constant=lambda _: None)

    def _fill(self, size: int) -> None:
        while len(self._window) < size and (text := self._file.read(1 << 16)):
            self._window += text

    def is_at(self, mark: str) -> bool:
        self._fill(1)
        return self._window.startswith(mark)

    def skip(self, pattern: str) -> None:
        """Skip what `pattern` matches. Raises ValueError if it does not match."""
        self._fill(1 << 10)
        match = re.match(pattern, self._window)
        if match is None:
            raise ValueError("not JSON")
        self._window = self._window[match.end() :]

    def next_value(self) -> Any:
        """Return the next JSON value. Raises ValueError if there is none, or if it is longer than MAX_ENTRY_SIZE."""
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
