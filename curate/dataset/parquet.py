"""A dataset's tables on the disk: the only file that reads or writes its Parquet."""

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

READ_BUFFER_BYTES = 1 << 20  # bytes read at once of a column; without, all of it is
WRITE_OPTIONS: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
"""Options of Parquet: Zstandard alone lets a flipped bit pass as other values."""
MIN_ROW_GROUP_ROWS = 1 << 13  # rows of a row group, at least, where a file is written from parts
PART_FILE_PATTERN = "part-*.parquet"
NEW_MANIFEST, OLD_MANIFEST = ".manifest.new", ".manifest.old"


def part_path(folder: Path, number: int) -> Path:
    """Path of part `number` in a records, pairs, manifest or edges folder."""
    return folder / f"part-{number:05d}.parquet"


def part_paths(folder: Path) -> list[Path]:
    """The parts of a folder in order; none if it does not exist."""
    if storage.is_remote(folder):
        named = [one.name for one in storage.list_folder(folder)] if storage.exists(folder) else []
        return [folder / name for name in named if fnmatch(name, PART_FILE_PATTERN)]
    return sorted(folder.glob(PART_FILE_PATTERN))


def write_table(path: Path, table: pa.Table) -> None:
    """Write one Parquet file atomically; equal tables give equal bytes."""
    with storage.open_atomic(path) as file:
        pq.write_table(table, file, **WRITE_OPTIONS)


def merge_files(path: Path, sources: Sequence[Path]) -> int:
    """Write the tables of one schema as one Parquet file, atomically, a row group each; returns the rows."""
    schema = pq.read_schema(sources[0])
    with atomic_write(path) as file, pq.ParquetWriter(file, schema, **WRITE_OPTIONS) as writer:
        for source in sources:
            writer.write_table(read_table(source))
    return int(pq.read_metadata(path).num_rows)


def write_table_stream(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write tables of one schema as one Parquet file, atomically, some thousand rows a row group; memory is theirs."""
    with atomic_write(path) as file, pq.ParquetWriter(file, schema, **WRITE_OPTIONS) as writer:
        held, groups = schema.empty_table(), 0
        for table in tables:
            held = pa.concat_tables([held, table.cast(schema)])
            if held.num_rows >= MIN_ROW_GROUP_ROWS:
                writer.write_table(held)
                held, groups = schema.empty_table(), groups + 1
        if held.num_rows or not groups:
            writer.write_table(held)


def write_rows(path: Path, rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> None:
    """Write dictionaries as one Parquet file, atomically; a missing key is null."""
    write_table(path, pa.Table.from_pylist(list(rows), schema=schema))


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one Parquet file. Raises DamagedError, naming the file, if it is none or lacks a column."""
    # a third of the time of pq.read_table, for small parts
    with (
        _raising_damaged(path),
        _opened(path) as source,
        pq.ParquetFile(source, page_checksum_verification=True) as file,
    ):
        wanted = file.schema_arrow.names if columns is None else list(columns)
        return _checked_table(path, file.read(wanted).select(wanted))


def _checked_table(path: Path, table: pa.Table) -> pa.Table:
    """The table itself. Raises ValueError if texts of it are none, or the part of a dataset is of another schema."""
    table.validate(full=True)
    for name, kind in (declared_types(path.parent.name) if path.name.startswith("part-") else {}).items():
        if name in table.column_names and table.schema.field(name).type != kind:
            raise ValueError(f"{name} is {table.schema.field(name).type}, not {kind}")
        if (
            name in NON_NULL_LIST_COLUMNS and name in table.column_names and table[name].null_count
        ):  # nobody's tags, and never written
            full = pa.array([tags or [] for tags in table[name].to_pylist()], kind)
            table = table.set_column(table.column_names.index(name), name, full)
    return table


def column_names(path: Path) -> list[str]:
    """Columns of one Parquet file, by its footer. Raises DamagedError as `read_table` does."""
    with _raising_damaged(path):
        return list(pq.read_schema(path).names)


def read_row_group(path: Path, number: int, columns: Sequence[str]) -> pa.Table:
    """Some columns of one row group. Raises DamagedError as `read_table` does."""
    with _raising_damaged(path), pq.ParquetFile(path) as file:
        return _checked_table(path, file.read_row_group(number, list(columns)).select(list(columns)))


def iter_row_groups(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some columns of one Parquet file, a row group at a time. Raises DamagedError as `read_table` does."""
    with _raising_damaged(path), pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield _checked_table(path, file.read_row_group(number, list(columns)).select(list(columns)))


def _opened(path: Path) -> AbstractContextManager[Any]:
    """What Arrow reads of a path: itself, or a store's file, opened."""
    return storage.open_file(path) if storage.is_remote(path) else nullcontext(path)


@contextmanager
def _raising_damaged(path: Path) -> Iterator[None]:
    # a pipe in a part's place would be waited for
    if not storage.is_remote(path) and (path.is_fifo() or path.is_char_device() or path.is_socket()):
        raise DamagedError(f"{path} is no file: run `curate verify`")
    try:
        yield
    except MemoryError:  # of Arrow, whose errors they are, too
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError, OverflowError) as error:
        message = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DamagedError(f"{path} cannot be read as Parquet ({message}): run `curate verify`") from None


def read_parts(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """All parts of a folder as one table."""
    tables = [read_table(path, columns) for path in part_paths(folder)]
    return (
        pa.concat_tables(tables) if tables else MANIFEST_SCHEMA.empty_table().select(columns or MANIFEST_SCHEMA.names)
    )


def read_selection(path: Path) -> pa.Table:
    """A filtered manifest, as `curate select` or pandas wrote it, back in the manifest's own types.

    Raises DatasetError if there is no such file, or a column is missing or holds something else.
    """
    return pa.concat_tables([MANIFEST_SCHEMA.empty_table(), *iter_selection(path, MANIFEST_SCHEMA.names)])


def iter_selection(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some columns of a filtered manifest, a batch of rows at a time; all are checked as by `read_chosen`."""
    if not path.exists():
        raise DatasetError(f"{path} does not exist: write it with `curate select` or pandas")
    with _raising_damaged(path):
        for source in pq.ParquetDataset(path, partitioning=None).files:
            with pq.ParquetFile(source) as file:
                read = _to_read(path, file.schema_arrow, columns)
                for batch in file.iter_batches(columns=read):
                    table = pa.Table.from_batches([batch]).select(read)
                    table.validate(full=True)
                    yield _cast(path, table).select(columns)


def _to_read(path: Path, held: pa.Schema, columns: Sequence[str]) -> list[str]:
    """Columns asked for, and those of another type than the manifest's: only their values tell whether they fit it."""
    if missing := [name for name in MANIFEST_SCHEMA.names if name not in held.names]:
        raise DatasetError(
            f"{path} lacks the column {missing[0]}: filter the rows of DATASET/manifest, keep its columns"
        )
    return [
        name
        for name in MANIFEST_SCHEMA.names
        if name in columns or held.field(name).type != MANIFEST_SCHEMA.field(name).type
    ]


def _cast(path: Path, table: pa.Table) -> pa.Table:
    try:
        return table.cast(
            pa.schema([MANIFEST_SCHEMA.field(name) for name in table.column_names], MANIFEST_SCHEMA.metadata)
        )
    except (pa.ArrowException, ValueError) as error:
        raise DatasetError(
            f"{path} does not have the manifest's types ({' '.join(str(error).split())}): keep the columns as they are"
        ) from None


def iter_parts(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The parts of a folder, one table at a time: memory stays that of one part."""
    for path in part_paths(folder):
        yield read_table(path, columns)


def iter_batches(path: Path, columns: Sequence[str] | None, rows: int) -> Iterator[pa.Table]:
    """Some columns of one Parquet file, or all, `rows` rows at a time: memory stays that of so many small values."""
    with _raising_damaged(path), pq.ParquetFile(path, buffer_size=READ_BUFFER_BYTES) as file:
        for batch in file.iter_batches(rows, columns=None if columns is None else list(columns)):
            yield pa.Table.from_batches([batch])


def check_hash_recipe(dataset: Path) -> None:
    """Raise DatasetError if records were hashed by another recipe than this one: they cannot be compared."""
    for path in part_paths(dataset / "records"):
        recipe = (_metadata(path).metadata or {}).get(b"nurie.hashes", b"").decode("utf-8", "replace")
        if recipe != HASH_RECIPE:
            told = f"{path} was hashed as {recipe!r}, this nurie hashes as {HASH_RECIPE!r}"
            raise DatasetError(f"{told}: run `curate extract` with --fresh")


def count_rows(folder: Path) -> int:
    """Rows of all parts of a folder, by their footers; -1 if it does not exist."""
    return sum(_metadata(path).num_rows for path in part_paths(folder)) if folder.exists() else -1


def uncompressed_bytes(path: Path, columns: Collection[str]) -> int:
    """What columns of a part take in memory, by its footer: without compression, which may be by any factor."""
    metadata = _metadata(path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    held = [group.column(number) for group in groups for number in range(group.num_columns)]
    return sum(one.total_uncompressed_size for one in held if one.path_in_schema.partition(".")[0] in columns)


def _metadata(path: Path) -> Any:
    with _raising_damaged(path):
        return pq.read_metadata(path)


def replace_manifest(dataset: Path, tables: Iterator[pa.Table], options: Mapping[str, object]) -> None:
    """Derive the manifest anew, part by part, and swap it in by rename; the files tell the `options`."""
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
        shutil.rmtree(new, ignore_errors=True)  # it may take the very room that it lacked
        raise
    if (dataset / "manifest").exists():
        (dataset / "manifest").rename(old)
    new.rename(dataset / "manifest")
    sync_folder(dataset)
    shutil.rmtree(old, ignore_errors=True)


def count_fates(table: pa.Table) -> FateCounts:
    """`in`, `kept` and `dropped` by reason of a manifest's `dropped` column; they always add up."""
    reasons = table.column("dropped").value_counts().to_pylist()
    dropped = {entry["values"]: entry["counts"] for entry in reasons if entry["values"] is not None}
    kept = table.num_rows - sum(dropped.values())
    return {"in": table.num_rows, "kept": kept, "dropped": dict(sorted(dropped.items()))}
