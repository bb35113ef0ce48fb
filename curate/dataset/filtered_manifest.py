"""Read a filtered manifest: one Parquet file, or a folder of them, that `curate select` or pandas wrote.

Pandas changes types (a column of integers with nulls becomes floats), so every column is cast back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.dataset.parquet import raising_damaged
from curate.dataset.schema import MANIFEST_SCHEMA
from curate.system.errors import DatasetError


def read(path: Path) -> pa.Table:
    """The whole table, in the manifest's own types.

    Raises DatasetError if the file does not exist, lacks a column, or a value does not fit the column's type.
    """
    return pa.concat_tables([MANIFEST_SCHEMA.empty_table(), *iter_tables(path, MANIFEST_SCHEMA.names)])


def iter_tables(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some columns, a batch of rows at a time. All columns are checked; raises DatasetError as `read` does."""
    if not path.exists():
        raise DatasetError(f"{path} does not exist: write it with `curate select` or pandas")
    with raising_damaged(path):
        for source in pq.ParquetDataset(path, partitioning=None).files:
            with pq.ParquetFile(source) as file:
                names = _columns_to_read(path, file.schema_arrow, columns)
                for batch in file.iter_batches(columns=names):
                    table = pa.Table.from_batches([batch]).select(names)
                    table.validate(full=True)
                    yield _cast(path, table).select(columns)


def _columns_to_read(path: Path, schema: pa.Schema, columns: Sequence[str]) -> list[str]:
    """The wanted columns, and those of another type than the manifest's: only a cast tells whether they fit it."""
    if missing := [name for name in MANIFEST_SCHEMA.names if name not in schema.names]:
        raise DatasetError(
            f"{path} lacks the column {missing[0]}: filter the rows of DATASET/manifest, keep its columns"
        )
    return [
        name
        for name in MANIFEST_SCHEMA.names
        if name in columns or schema.field(name).type != MANIFEST_SCHEMA.field(name).type
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
