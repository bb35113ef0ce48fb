"""`curate why`: tell the story of one picture, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.contract import ENDING_BY_FORMAT, read_index
from curate.dataset import decisions, filtered_manifest, ledger, parquet
from curate.dataset.opt_out import REMOVED_REASON
from curate.dataset.rows import DecisionRow, ManifestRow
from curate.dataset.schema import MANIFEST_SCHEMA
from curate.system.errors import NurieError
from curate.system.paths import recorded_path

NOT_IN_SHARDS = "not in them"
EXPLAIN_COLUMNS = [
    name
    for name in MANIFEST_SCHEMA.names
    if name not in {"path_raw", "color_grid"}  # bytes, and 192 numbers
]
DROP_REASON_TEXTS = {
    "unreadable": "it could not be read",
    "too_large": "it has more pixels than --max-pixels",
    "too_small": "its shorter side is below --min-side",
    "too_long": "it is longer than --max-aspect allows",
    "monochrome": "it has no colour, and --keep-monochrome was not given",
    "duplicate": "another picture is kept in its place",
    "alternate": "it is a recolour and --drop-alternates was given",
    "straddles": "it would join look-alikes of two splits",
    "in_other": "the dataset given as --against has it already",
    "decision": "people left it out",
    "removed": "it was removed by request, and stays out",
}


def why(dataset: Path, key: str, *, manifest: Path | None = None, shards: Path | None = None) -> list[dict[str, Any]]:
    """The records whose path or id is `key`, each with its `story`: a line for what each stage did with it.

    manifest, shards: also say whether the picture is in them.
    Raises NurieError if no record has that path or id.
    """
    ledger.read_ledger(dataset, "manifest", ledger.DECISIONS_FOLDER)
    key = recorded_path(key)
    rows = _rows_with(dataset, id=[key], path=[key]).to_pylist()
    if not rows:
        raise NurieError(f"no record has the path or id {key!r}: paths are relative to their source folder")
    ids = {key for row in rows for key in (row["id"], row["duplicate_of"]) if key}
    related = _rows_with(dataset, id=sorted(ids), group=sorted({row["group"] for row in rows if row["group"]}))
    decided = decisions.read(dataset)
    return [{**row, "story": list(story_lines(row, related, decided, manifest, shards))} for row in rows]


def _rows_with(dataset: Path, **values: list[str]) -> pa.Table:
    """The manifest's rows that have, in at least one of the named columns, one of the values given for it."""
    tables = []
    for table in parquet.iter_parts(dataset / "manifest", EXPLAIN_COLUMNS):
        masks = [pc.is_in(table[name], value_set=pa.array(wanted, pa.string())) for name, wanted in values.items()]
        tables.append(table.filter(pc.or_(*masks)))
    return pa.concat_tables([MANIFEST_SCHEMA.empty_table().select(EXPLAIN_COLUMNS), *tables])


def story_lines(
    row: ManifestRow,
    related: pa.Table,
    decided: Sequence[DecisionRow],
    manifest: Path | None = None,
    shards: Path | None = None,
) -> Iterator[str]:
    """Yield the story of a manifest row, a line for each stage.

    related: the manifest's rows of its group, its copies and its survivor, with at least EXPLAIN_COLUMNS.
    decided: all rows of `decisions/`.
    """
    yield f"extract: {_extracted(row)}"
    for decision in decisions.rows_in_force(decided):
        if row["id"] is not None and row["id"] in (decision["a"], decision["b"]):
            yield f"decision {decision['sequence']}: {_decided(row, decision)}"
    if row["role"]:
        yield f"dedupe: {_deduped(row, related)}"
        yield from (f"tags: {', '.join(tags)} from {path}" for path, tags in _merged_tags(row, related))
    yield (
        "manifest: kept"
        if row["dropped"] is None
        else f"manifest: dropped as {row['dropped']}: {DROP_REASON_TEXTS.get(row['dropped'], 'unknown reason')}"
    )
    if manifest is not None:
        ids = filtered_manifest.read(manifest)["id"].to_pylist()
        yield f"{manifest.name}: {'chosen' if row['id'] in ids else 'not chosen'}"
    if shards is not None:
        place = _place_in_shards(shards, row["id"])
        stale = row["dropped"] == REMOVED_REASON and place != NOT_IN_SHARDS
        yield f"shards: {place}{', made before it was removed: make the shards again' if stale else ''}"


def _extracted(row: ManifestRow) -> str:
    if row["dropped"] == REMOVED_REASON:
        return f"{row['path']} of {row['source']}; everything else about it was deleted"
    if row["error"] and row["dropped"]:
        return f"{row['path']} of {row['source']} could not be read ({row['error']})"
    size = f"{row['format']} {row['width']}x{row['height']}"
    text = f"{row['path']} of {row['source']}, {size}, {len(row['own_tags'])} tags"
    return f"{text}; its sidecar was not used ({row['error']})" if row["error"] else text


def _decided(row: ManifestRow, decision: DecisionRow) -> str:
    other = decision["b"] if decision["a"] == row["id"] else decision["a"]
    tags = ", ".join(decision["tags"] or ())
    return " ".join(part for part in (decision["kind"], other if decision["b"] else "", tags) if part)


def _deduped(row: ManifestRow, related: pa.Table) -> str:
    original = ""
    if survivor := row["duplicate_of"]:
        path = _best_path(related, survivor) or "a picture of the other dataset"
        difference = f" ({survivor}), {row['distance']} bits away" if survivor != row["id"] else ", byte for byte"
        original = f" of {path}{difference}"
    return f"{row['role']}{original}, family {row['family']}, split {row['split']}"


def _best_path(related: pa.Table, key: str) -> str | None:
    """The path of the file with this id that is not a duplicate of another; else of any file with it; else None."""
    rows = related.filter(pc.equal(related["id"], key))
    best = [path for path, role in zip(*_lists(rows, "path", "role"), strict=True) if role != "duplicate"]
    return str([*best, *rows["path"].to_pylist()][0]) if rows.num_rows else None


def _merged_tags(row: ManifestRow, related: pa.Table) -> Iterator[tuple[str, list[str]]]:
    """Yield (path of a duplicate, tags that the survivor `row` has from it)."""
    merged = set(row["tags"]) - set(row["own_tags"])
    group = related.filter(pc.equal(related["group"], row["group"]))
    for path, own_tags in zip(*_lists(group, "path", "own_tags"), strict=True):
        if path != row["path"] and (from_duplicate := sorted(merged & set(own_tags))):
            yield path, from_duplicate


def _lists(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]


def _place_in_shards(shards: Path, key: str | None) -> str:
    """File and byte offset of a picture's record, or its file in an imagefolder, else NOT_IN_SHARDS."""
    index = read_index(shards)
    for name in index.files:
        if name.endswith(".parquet"):
            listing = parquet.read_table(shards / name)
            entries = listing.filter(pc.equal(listing["id"], key)).to_pylist()
            if entries and "file_name" in entries[0]:
                return str(PurePosixPath(name).parent / entries[0]["file_name"])
            if entries:
                shard = PurePosixPath(PurePosixPath(name).name).with_suffix(ENDING_BY_FORMAT[index.format])
                return f"{shard} at byte {entries[0]['offset']:,}"
    return NOT_IN_SHARDS
