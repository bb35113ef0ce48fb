"""Read and write the Parquet tables of a dataset. No other module of `dataset` opens its Parquet files."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate import storage
from curate.dataset.rows import FateCounts
from curate.dataset.schema import HASH_RECIPE, MANIFEST_SCHEMA, NON_NULL_LIST_COLUMNS, declared_types, with_options
from curate.system.errors import DamagedError, DatasetError, name_file_in_errors
from curate.system.files import atomic_write, sync_folder

READ_BUFFER_BYTES = 1 << 20  # bytes of a column read at once; without a limit, the whole column is
WRITE_OPTIONS: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
"""Options of every file. The checksums are needed: Zstandard decodes some flipped bits to other values."""
MIN_ROW_GROUP_ROWS = 1 << 13  # rows of a row group in a file that is written as a stream
PART_FILE_PATTERN = "part-*.parquet"
NEW_MANIFEST, OLD_MANIFEST = ".manifest.new", ".manifest.old"


def part_path(folder: Path, number: int) -> Path:
    """Path of part `number` in a folder of parts."""
    return folder / f"part-{number:05d}.parquet"


def part_paths(folder: Path) -> list[Path]:
    """The parts of a folder in order; empty if the folder does not exist."""
    if storage.is_remote(folder):
        names = [entry.name for entry in storage.list_folder(folder)] if storage.exists(folder) else []
        return [folder / name for name in names if fnmatch(name, PART_FILE_PATTERN)]
    return sorted(folder.glob(PART_FILE_PATTERN))


def write_table(path: Path, table: pa.Table) -> None:
    """Write one Parquet file atomically; equal tables give equal bytes."""
    with storage.open_atomic(path) as file:
        pq.write_table(table, file, **WRITE_OPTIONS)


def write_rows(path: Path, rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> None:
    """Write rows as one Parquet file, atomically; a missing key is null."""
    write_table(path, pa.Table.from_pylist(list(rows), schema=schema))


def write_table_stream(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write tables as one Parquet file, atomically, in row groups of at least MIN_ROW_GROUP_ROWS rows.

    Memory is that of one row group and one table.
    """
    with atomic_write(path) as file, pq.ParquetWriter(file, schema, **WRITE_OPTIONS) as writer:
        group, groups = schema.empty_table(), 0
        for table in tables:
            group = pa.concat_tables([group, table.cast(schema)])
            if group.num_rows >= MIN_ROW_GROUP_ROWS:
                writer.write_table(group)
                group, groups = schema.empty_table(), groups + 1
        if group.num_rows or not groups:
            writer.write_table(group)


def merge_files(path: Path, sources: Sequence[Path]) -> int:
    """Merge files of one schema into one Parquet file, atomically, a row group per file; returns the rows."""
    schema = pq.read_schema(sources[0])
    with atomic_write(path) as file, pq.ParquetWriter(file, schema, **WRITE_OPTIONS) as writer:
        for source in sources:
            writer.write_table(read_table(source))
    return int(pq.read_metadata(path).num_rows)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one Parquet file. Raises DamagedError, with the path, if it cannot be read or lacks a column."""
    # ParquetFile takes a third of the time of pq.read_table for small parts
    with (
        raising_damaged(path),
        _opened(path) as source,
        pq.ParquetFile(source, page_checksum_verification=True) as file,
    ):
        names = file.schema_arrow.names if columns is None else list(columns)
        return _checked_table(path, file.read(names).select(names))


def read_parts(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """All parts of a folder as one table; without parts, an empty table with the manifest's columns."""
    tables = list(iter_parts(folder, columns))
    return (
        pa.concat_tables(tables) if tables else MANIFEST_SCHEMA.empty_table().select(columns or MANIFEST_SCHEMA.names)
    )


def iter_parts(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The parts of a folder, one table at a time: memory stays that of one part."""
    for path in part_paths(folder):
        yield read_table(path, columns)


def iter_batches(path: Path, columns: Sequence[str] | None, rows: int) -> Iterator[pa.Table]:
    """Columns of one Parquet file (all for None), `rows` rows at a time: memory stays that of one batch."""
    with raising_damaged(path), pq.ParquetFile(path, buffer_size=READ_BUFFER_BYTES) as file:
        for batch in file.iter_batches(rows, columns=None if columns is None else list(columns)):
            yield pa.Table.from_batches([batch])


def iter_row_groups(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Columns of one Parquet file, one row group at a time. Raises DamagedError as `read_table` does."""
    with raising_damaged(path), pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield _checked_table(path, file.read_row_group(number, list(columns)).select(list(columns)))


def read_row_group(path: Path, number: int, columns: Sequence[str]) -> pa.Table:
    """Columns of one row group. Raises DamagedError as `read_table` does."""
    with raising_damaged(path), pq.ParquetFile(path) as file:
        return _checked_table(path, file.read_row_group(number, list(columns)).select(list(columns)))


def column_names(path: Path) -> list[str]:
    """Columns of one Parquet file, from its footer. Raises DamagedError as `read_table` does."""
    with raising_damaged(path):
        return list(pq.read_schema(path).names)


def count_rows(folder: Path) -> int:
    """Rows of all parts of a folder, from their footers; -1 if the folder does not exist."""
    return sum(_metadata(path).num_rows for path in part_paths(folder)) if folder.exists() else -1


def uncompressed_bytes(path: Path, columns: Collection[str]) -> int:
    """Bytes that columns of a part take in memory, from its footer; the compressed file may be far smaller."""
    metadata = _metadata(path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.partition(".")[0] in columns)


def _metadata(path: Path) -> Any:
    with raising_damaged(path):
        return pq.read_metadata(path)


def _checked_table(path: Path, table: pa.Table) -> pa.Table:
    """The table, with null lists of tags made empty. Raises ValueError for invalid text or a type not in the schema."""
    table.validate(full=True)
    for name, kind in (declared_types(path.parent.name) if path.name.startswith("part-") else {}).items():
        if name in table.column_names and table.schema.field(name).type != kind:
            raise ValueError(f"{name} is {table.schema.field(name).type}, not {kind}")
        if name in NON_NULL_LIST_COLUMNS and name in table.column_names and table[name].null_count:
            full = pa.array([tags or [] for tags in table[name].to_pylist()], kind)
            table = table.set_column(table.column_names.index(name), name, full)
    return table


def _opened(path: Path) -> AbstractContextManager[Any]:
    """What Arrow reads: a local path, or an open file of a store."""
    return storage.open_file(path) if storage.is_remote(path) else nullcontext(path)


@contextmanager
def raising_damaged(path: Path) -> Iterator[None]:
    """Turn the errors of reading `path` as Parquet into a DamagedError that names it."""
    # a pipe instead of a part would block for ever
    if not storage.is_remote(path) and (path.is_fifo() or path.is_char_device() or path.is_socket()):
        raise DamagedError(f"{path} is not a regular file: run `curate verify`")
    try:
        yield
    except MemoryError:  # ArrowMemoryError is an ArrowException too
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError, OverflowError) as error:
        message = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DamagedError(f"{path} cannot be read as Parquet ({message}): run `curate verify`") from None


def check_hash_recipe(dataset: Path) -> None:
    """Raise DatasetError if records were hashed by another recipe than this one: their hashes are not comparable."""
    for path in part_paths(dataset / "records"):
        recipe = (_metadata(path).metadata or {}).get(b"nurie.hashes", b"").decode("utf-8", "replace")
        if recipe != HASH_RECIPE:
            recipes = f"was hashed as {recipe!r}, this nurie hashes as {HASH_RECIPE!r}"
            raise DatasetError(f"{path} {recipes}: run `curate extract` with --fresh")


def replace_manifest(dataset: Path, tables: Iterator[pa.Table], options: Mapping[str, object]) -> None:
    """Write a new manifest, one part per table, and swap it in by rename; its files carry the `options`."""
    new, old = dataset / NEW_MANIFEST, dataset / OLD_MANIFEST
    schema = with_options(MANIFEST_SCHEMA, options)
    for stale in (new, old):
        shutil.rmtree(stale, ignore_errors=True)
    try:
        with name_file_in_errors(dataset / "manifest"):
            new.mkdir()
        write_table(part_path(new, 0), schema.empty_table())  # an empty manifest has its columns too
        for number, table in enumerate(tables):
            write_table(part_path(new, number), table.select(MANIFEST_SCHEMA.names).cast(schema))
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)  # the disk may be full
        raise
    if (dataset / "manifest").exists():
        (dataset / "manifest").rename(old)
    new.rename(dataset / "manifest")
    sync_folder(dataset)
    shutil.rmtree(old, ignore_errors=True)


def count_fates(table: pa.Table) -> FateCounts:
    """Count a manifest's rows by its `dropped` column; `in` = `kept` + the sum of `dropped`."""
    reasons = table.column("dropped").value_counts().to_pylist()
    dropped = {entry["values"]: entry["counts"] for entry in reasons if entry["values"] is not None}
    kept = table.num_rows - sum(dropped.values())
    return {"in": table.num_rows, "kept": kept, "dropped": dict(sorted(dropped.items()))}
