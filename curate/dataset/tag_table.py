"""The manifest's tags as a long table, a row an id and tag: what SQL and pandas join best."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import ledger, parquet

# (name, type, meaning); manifests/columns.md is made from this table, too
TAG_TABLE_COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("id", pa.string(), "a kept picture's id"),
    ("tag", pa.string(), "one of its tags"),
)
TAG_TABLE_SCHEMA = pa.schema([(name, kind) for name, kind, _ in TAG_TABLE_COLUMNS])
CODED = pa.schema([("id", pa.large_string()), ("tags", pa.large_list(pa.int32()))])
PICTURES_PER_TABLE = 1 << 14  # of which texts are held at once
OPTION_METADATA_KEYS = (b"nurie.options", b"nurie.options_hash")


def write(dataset: Path) -> None:
    """Derive `tags.parquet` from the manifest, with the options of that: equal manifests give equal bytes."""
    first = next(parquet.iter_parts(dataset / "manifest", ["id"]), TAG_TABLE_SCHEMA.empty_table())
    told = {name: value for name, value in (first.schema.metadata or {}).items() if name in OPTION_METADATA_KEYS}
    parquet.write_table_stream(
        dataset / ledger.TAG_TABLE, derive(dataset), TAG_TABLE_SCHEMA.with_metadata(told or None)
    )


def derive(dataset: Path) -> Iterator[pa.Table]:
    """The kept rows' (id, tag), sorted, each once: before dedupe, byte copies are kept and share their id.

    Some thousand pictures a table. Meanwhile an id and four bytes a tag are held of each picture, not its texts.
    """
    names: dict[str, int] = {}
    coded = [_coded(table, names) for table in parquet.iter_parts(dataset / "manifest", ["id", "tags", "dropped"])]
    whole = pa.concat_tables([CODED.empty_table(), *coded]).combine_chunks()
    del coded
    known, order = pa.array(names, pa.string()), pc.sort_indices(whole["id"])
    for start, stop in _cuts(whole["id"], order):
        some = whole.take(order[start:stop])
        ids = some["id"].take(pc.list_parent_indices(some["tags"])).cast(pa.string())
        table = pa.Table.from_arrays([ids, known.take(pc.list_flatten(some["tags"]))], schema=TAG_TABLE_SCHEMA)
        yield (
            table.group_by(TAG_TABLE_SCHEMA.names)
            .aggregate([])
            .sort_by([(name, "ascending") for name in TAG_TABLE_SCHEMA.names])
        )


def _coded(table: pa.Table, names: dict[str, int]) -> pa.Table:
    """The kept rows, with each tag as its place in `names`, to which new ones are added."""
    kept = table.filter(pc.is_null(table["dropped"])).combine_chunks()
    tags = kept["tags"].chunk(0) if kept.num_rows else pa.array([], pa.list_(pa.string()))
    told = pc.dictionary_encode(tags.flatten())
    places = np.array([names.setdefault(name, len(names)) for name in told.dictionary.to_pylist()], np.int32)
    offsets = np.concatenate(
        [[0], np.cumsum(pc.list_value_length(tags).to_numpy(zero_copy_only=False), dtype=np.int64)]
    )
    codes = pa.LargeListArray.from_arrays(offsets, places[told.indices.to_numpy()])
    return pa.Table.from_arrays([kept["id"].cast(pa.large_string()), codes], schema=CODED)


def _cuts(ids: pa.ChunkedArray, order: pa.Array) -> Iterator[tuple[int, int]]:
    """Where to part the sorted rows: after so many, and then only between two ids."""
    start = 0
    while start < len(order):
        stop = min(start + PICTURES_PER_TABLE, len(order))
        while stop < len(order) and ids[order[stop].as_py()] == ids[order[stop - 1].as_py()]:
            stop += 1
        yield start, stop
        start = stop


def faults(dataset: Path) -> list[str]:
    """What is wrong with `tags.parquet`, in a line; none if it says what the manifest says."""
    path = dataset / ledger.TAG_TABLE
    if path.is_file() and _same(parquet.iter_batches(path, None, parquet.MIN_ROW_GROUP_ROWS), derive(dataset)):
        return []
    state = "has other tags than the manifest" if path.is_file() else "is missing"
    return [f"{path} {state}: run `curate dedupe` again"]


def _same(found: Iterator[pa.Table], expected: Iterator[pa.Table]) -> bool:
    """Whether two tables are equal, each of which comes in parts of its own."""
    held = TAG_TABLE_SCHEMA.empty_table()
    for table in expected:
        while held.num_rows < table.num_rows and (more := next(found, None)) is not None:
            if more.schema != TAG_TABLE_SCHEMA:
                return False
            held = pa.concat_tables([held, more])
        if not held.slice(0, table.num_rows).equals(table):
            return False
        held = held.slice(table.num_rows)
    return not held.num_rows and all(not more.num_rows for more in found)
