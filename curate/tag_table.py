"""The manifest's tags as a long table, a row an id and tag: what SQL and pandas join best."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curate import ledger, manifest

# (name, type, meaning); manifests/columns.md is made from this table, too
COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("id", pa.string(), "a kept picture's id"),
    ("tag", pa.string(), "one of its tags"),
)
SCHEMA = pa.schema([(name, kind) for name, kind, _ in COLUMNS])
STAMP = (b"nurie.options", b"nurie.options_hash")


def write(dataset: Path) -> None:
    """Derive `tags.parquet` from the manifest, with the options of that: equal manifests give equal bytes."""
    first = next(manifest.iter_parts(dataset / "manifest", ["id"]), SCHEMA.empty_table())
    told = {name: value for name, value in (first.schema.metadata or {}).items() if name in STAMP}
    manifest.write_table(dataset / ledger.TAG_TABLE, derive(dataset).replace_schema_metadata(told or None))


def derive(dataset: Path) -> pa.Table:
    """The kept rows' (id, tag), sorted, each once: before dedupe, byte copies are kept and share their id."""
    tables = [_long(table) for table in manifest.iter_parts(dataset / "manifest", ["id", "tags", "dropped"])]
    whole = pa.concat_tables([SCHEMA.empty_table(), *tables])
    return whole.group_by(SCHEMA.names).aggregate([]).sort_by([(name, "ascending") for name in SCHEMA.names])


def _long(table: pa.Table) -> pa.Table:
    kept = table.filter(pc.is_null(table["dropped"]))
    ids = kept["id"].take(pc.list_parent_indices(kept["tags"]))
    return pa.Table.from_arrays([ids, pc.list_flatten(kept["tags"])], schema=SCHEMA)


def faults(dataset: Path) -> list[str]:
    """What is wrong with `tags.parquet`, in a line; none if it says what the manifest says."""
    path = dataset / ledger.TAG_TABLE
    if path.is_file() and manifest.read_table(path).equals(derive(dataset)):
        return []
    state = "has other tags than the manifest" if path.is_file() else "is missing"
    return [f"{path} {state}: run `curate dedupe` again"]
