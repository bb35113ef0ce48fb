"""`tags.parquet`: the manifest's tags as a long table, one row per (id, tag), which SQL and pandas join best."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import ledger, parquet
from curate.dataset.schema import OPTIONS_HASH_METADATA_KEY, OPTIONS_METADATA_KEY, TAG_TABLE_SCHEMA

ENCODED_SCHEMA = pa.schema([("id", pa.large_string()), ("tags", pa.large_list(pa.int32()))])
PICTURES_PER_TABLE = 1 << 14  # pictures whose tags are text at one time


def write(dataset: Path) -> None:
    """Derive `tags.parquet` from the manifest, with the manifest's options: equal manifests give equal bytes."""
    first = next(parquet.iter_parts(dataset / "manifest", ["id"]), TAG_TABLE_SCHEMA.empty_table())
    keys = {OPTIONS_METADATA_KEY, OPTIONS_HASH_METADATA_KEY}
    options = {key: value for key, value in (first.schema.metadata or {}).items() if key in keys}
    parquet.write_table_stream(
        dataset / ledger.TAG_TABLE, derive(dataset), TAG_TABLE_SCHEMA.with_metadata(options or None)
    )


def derive(dataset: Path) -> Iterator[pa.Table]:
    """The (id, tag) rows of the kept pictures, sorted, in tables of some thousand pictures.

    Each row is there once: before dedupe, files with equal bytes are all kept and share their id. Memory is an id and
    four bytes per tag for each picture.
    """
    numbers: dict[str, int] = {}
    parts = [_encoded(table, numbers) for table in parquet.iter_parts(dataset / "manifest", ["id", "tags", "dropped"])]
    whole = pa.concat_tables([ENCODED_SCHEMA.empty_table(), *parts]).combine_chunks()
    del parts
    names, order = pa.array(numbers, pa.string()), pc.sort_indices(whole["id"])
    for start, stop in _chunks(whole["id"], order):
        pictures = whole.take(order[start:stop])
        ids = pictures["id"].take(pc.list_parent_indices(pictures["tags"])).cast(pa.string())
        table = pa.Table.from_arrays([ids, names.take(pc.list_flatten(pictures["tags"]))], schema=TAG_TABLE_SCHEMA)
        yield (
            table.group_by(TAG_TABLE_SCHEMA.names)
            .aggregate([])
            .sort_by([(name, "ascending") for name in TAG_TABLE_SCHEMA.names])
        )


def _encoded(table: pa.Table, numbers: dict[str, int]) -> pa.Table:
    """The kept rows, each tag as its number in `numbers`, which grows by the new tags."""
    kept = table.filter(pc.is_null(table["dropped"])).combine_chunks()
    tags = kept["tags"].chunk(0) if kept.num_rows else pa.array([], pa.list_(pa.string()))
    local = pc.dictionary_encode(tags.flatten())
    renumbered = np.array([numbers.setdefault(name, len(numbers)) for name in local.dictionary.to_pylist()], np.int32)
    offsets = np.concatenate(
        [[0], np.cumsum(pc.list_value_length(tags).to_numpy(zero_copy_only=False), dtype=np.int64)]
    )
    codes = pa.LargeListArray.from_arrays(offsets, renumbered[local.indices.to_numpy()])
    return pa.Table.from_arrays([kept["id"].cast(pa.large_string()), codes], schema=ENCODED_SCHEMA)


def _chunks(ids: pa.ChunkedArray, order: pa.Array) -> Iterator[tuple[int, int]]:
    """Cut the sorted rows into chunks of PICTURES_PER_TABLE or a few more, never between rows of one id."""
    start = 0
    while start < len(order):
        stop = min(start + PICTURES_PER_TABLE, len(order))
        while stop < len(order) and ids[order[stop].as_py()] == ids[order[stop - 1].as_py()]:
            stop += 1
        yield start, stop
        start = stop


def faults(dataset: Path) -> list[str]:
    """A line about `tags.parquet` if it differs from what the manifest says; else an empty list."""
    path = dataset / ledger.TAG_TABLE
    if path.is_file() and _are_equal(parquet.iter_batches(path, None, parquet.MIN_ROW_GROUP_ROWS), derive(dataset)):
        return []
    problem = "has other tags than the manifest" if path.is_file() else "is missing"
    return [f"{path} {problem}: run `curate dedupe` again"]


def _are_equal(stored: Iterator[pa.Table], expected: Iterator[pa.Table]) -> bool:
    """Whether two streams of tables hold the same rows, wherever each is cut."""
    pending = TAG_TABLE_SCHEMA.empty_table()
    for table in expected:
        while pending.num_rows < table.num_rows and (more := next(stored, None)) is not None:
            if more.schema != TAG_TABLE_SCHEMA:
                return False
            pending = pa.concat_tables([pending, more])
        if not pending.slice(0, table.num_rows).equals(table):
            return False
        pending = pending.slice(table.num_rows)
    return not pending.num_rows and all(not more.num_rows for more in stored)
