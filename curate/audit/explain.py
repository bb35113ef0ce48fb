"""One picture's fate, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.contract import ENDING_BY_FORMAT, read_index
from curate.dataset import decisions, filtered_manifest, ledger, parquet
from curate.dataset.opt_out import REMOVED_REASON
from curate.dataset.rows import DecisionRow
from curate.dataset.schema import MANIFEST_SCHEMA
from curate.system.errors import NurieError
from curate.system.paths import recorded_path

Row = dict[str, Any]

NOT_IN_SHARDS = "not in them"
EXPLAIN_COLUMNS = [
    name for name in MANIFEST_SCHEMA.names if name not in {"path_raw", "color_grid"}
]  # bytes; 192 numbers
DROP_REASON_TEXTS = {
    "unreadable": "it could not be read",
    "too_large": "it has more pixels than --max-pixels",
    "too_small": "its shorter side is below --min-side",
    "too_long": "it is longer than --max-aspect allows",
    "monochrome": "it has no colour, and --keep-monochrome was not given",
    "duplicate": "another picture is kept in its stead",
    "alternate": "it is a recolour and --drop-alternates was given",
    "straddles": "it would join look-alikes of two splits",
    "in_other": "the dataset given as --against has it already",
    "decision": "people left it out",
    "removed": "it was removed by request, and stays out",
}


def why(dataset: Path, key: str, *, manifest: Path | None = None, shards: Path | None = None) -> list[dict[str, Any]]:
    """What each stage did with the picture whose path or id is `key`; one dictionary a record, with its story in lines.

    Raises NurieError if no record has that path or id.
    """
    ledger.read_ledger(dataset, "manifest", ledger.DECISIONS_FOLDER)
    key = recorded_path(key)
    rows = _having(dataset, id=[key], path=[key]).to_pylist()
    if not rows:
        raise NurieError(f"no record has the path or id {key!r}: paths are relative to their source folder")
    named = {one for row in rows for one in (row["id"], row["duplicate_of"]) if one}
    table = _having(dataset, id=sorted(named), group=sorted({row["group"] for row in rows if row["group"]}))
    people = decisions.read(dataset)
    return [{**row, "story": list(story_lines(row, table, people, manifest, shards))} for row in rows]


def _having(dataset: Path, **values: list[str]) -> pa.Table:
    """The rows of a manifest that have one of some values in one of some columns."""
    found = []
    for table in parquet.iter_parts(dataset / "manifest", EXPLAIN_COLUMNS):
        masks = [pc.is_in(table[name], value_set=pa.array(wanted, pa.string())) for name, wanted in values.items()]
        found.append(table.filter(pc.or_(*masks)))
    return pa.concat_tables([MANIFEST_SCHEMA.empty_table().select(EXPLAIN_COLUMNS), *found])


def story_lines(
    row: Row, table: pa.Table, people: Sequence[DecisionRow], manifest: Path | None = None, shards: Path | None = None
) -> Iterator[str]:
    """Lines on a row of the manifest `table`, which may lack the columns that SHOWN does; `people` decided so."""
    yield f"extract: {_extracted(row)}"
    for told in decisions.rows_in_force(people):
        if row["id"] is not None and row["id"] in (told["a"], told["b"]):
            yield f"decision {told['sequence']}: {_decided(row, told)}"
    if row["role"]:
        yield f"dedupe: {_deduped(row, table)}"
        yield from (f"tags: {', '.join(tags)} from {path}" for path, tags in _given(row, table))
    yield "manifest: kept" if row["dropped"] is None else f"manifest: dropped as {row['dropped']}: {_reason(row)}"
    if manifest is not None:
        ids = filtered_manifest.read(manifest)["id"].to_pylist()
        yield f"{manifest.name}: {'chosen' if row['id'] in ids else 'not chosen'}"
    if shards is not None:
        place = _place_in_shards(shards, row["id"])
        stale = row["dropped"] == REMOVED_REASON and place != NOT_IN_SHARDS
        yield f"shards: {place}{', made before it was removed: make them again' if stale else ''}"


def _extracted(row: Row) -> str:
    if row["dropped"] == REMOVED_REASON:
        return f"{row['path']} of {row['source']}, of which nothing else is known any more"
    if row["error"] and row["dropped"]:
        return f"{row['path']} of {row['source']} could not be read ({row['error']})"
    said = (
        f"{row['path']} of {row['source']}, {row['format']} {row['width']}x{row['height']}, {len(row['own_tags'])} tags"
    )
    return f"{said}; sidecar left out ({row['error']})" if row["error"] else said


def _decided(row: Row, told: DecisionRow) -> str:
    other = told["b"] if told["a"] == row["id"] else told["a"]
    told_tags = ", ".join(told["tags"] or ())
    return " ".join(part for part in (told["kind"], other if told["b"] else "", told_tags) if part)


def _deduped(row: Row, table: pa.Table) -> str:
    others = ""
    if row["duplicate_of"] == row["id"]:
        others = f" of {_best_path(table, row['id'])}, byte for byte"
    elif row["duplicate_of"]:
        path = _best_path(table, row["duplicate_of"]) or "a picture of the other dataset"
        others = f" of {path} ({row['duplicate_of']}), {row['distance']} bits away"
    return f"{row['role']}{others}, family {row['family']}, split {row['split']}"


def _best_path(table: pa.Table, key: str) -> str | None:
    """Of the best of the files that are this picture: its copies are duplicates of it."""
    rows = table.filter(pc.equal(table["id"], key))
    best = [path for path, role in zip(*_lists(rows, "path", "role"), strict=True) if role != "duplicate"]
    return str([*best, *rows["path"].to_pylist()][0]) if rows.num_rows else None


def _given(row: Row, table: pa.Table) -> Iterator[tuple[str, list[str]]]:
    """Tags that a survivor has of its duplicates, by the path of each."""
    missing = set(row["tags"]) - set(row["own_tags"])
    star = table.filter(pc.equal(table["group"], row["group"]))
    for path, own in zip(*_lists(star, "path", "own_tags"), strict=True):
        if path != row["path"] and (given := sorted(missing & set(own))):
            yield path, given


def _lists(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]


def _reason(row: Row) -> str:
    return DROP_REASON_TEXTS.get(row["dropped"], "no longer known")


def _place_in_shards(shards: Path, key: str | None) -> str:
    index = read_index(shards)
    for name in index.files:
        if name.endswith(".parquet"):
            table = parquet.read_table(shards / name)
            found = table.filter(pc.equal(table["id"], key)).to_pylist()
            if found and "file_name" in found[0]:
                return str(PurePosixPath(name).parent / found[0]["file_name"])
            if found:
                shard = PurePosixPath(PurePosixPath(name).name).with_suffix(ENDING_BY_FORMAT[index.format])
                return f"{shard} at byte {found[0]['offset']:,}"
    return NOT_IN_SHARDS
