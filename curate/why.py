"""One picture's fate, stage by stage."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate import manifest
from curate.contract import read_index
from curate.errors import NurieError

SHOWN = [name for name in manifest.SCHEMA.names if name not in {"path_raw", "color_grid"}]  # bytes; 192 numbers
REASONS = {
    "unreadable": "it could not be read",
    "too_large": "it has more pixels than --max-pixels",
    "too_small": "its shorter side is below --min-side",
    "too_long": "it is longer than --max-aspect allows",
    "monochrome": "it has no colour, and --keep-monochrome was not given",
    "duplicate": "another picture is kept in its stead",
    "alternate": "it is a recolour and --drop-alternates was given",
    "straddles": "it would join look-alikes of two splits",
}


def why(dataset: Path, key: str, *, chosen: Path | None = None, shards: Path | None = None) -> list[dict[str, Any]]:
    """What each stage did with the picture whose path or id is `key`; one dictionary a record, with its story in lines.

    Raises NurieError if no record has that path or id.
    """
    manifest.read_state(dataset)
    table = manifest.read_parts(dataset / "manifest", SHOWN)
    path = unicodedata.normalize("NFC", key)
    rows = table.filter(pc.or_kleene(pc.equal(table["id"], key), pc.equal(table["path"], path))).to_pylist()
    if not rows:
        raise NurieError(f"no record has the path or id {key!r}: paths are relative to their source folder")
    survivors = table.filter(pc.is_in(table["role"], pa.array(["survivor", "alternate"])))
    paths = dict(zip(survivors["id"].to_pylist(), survivors["path"].to_pylist(), strict=True))
    return [{**row, "story": list(_story(row, paths, chosen, shards))} for row in rows]


def _story(row: dict[str, Any], paths: dict[str, str], chosen: Path | None, shards: Path | None) -> Iterator[str]:
    yield f"extract: {_extracted(row)}"
    if row["role"]:
        yield f"dedupe: {_deduped(row, paths)}"
    yield "manifest: kept" if row["dropped"] is None else f"manifest: dropped as {row['dropped']}: {_reason(row)}"
    if chosen is not None:
        ids = manifest.read_chosen(chosen)["id"].to_pylist()
        yield f"{chosen.name}: {'chosen' if row['id'] in ids else 'not chosen'}"
    if shards is not None:
        yield f"shards: {_place(shards, row['id'])}"


def _extracted(row: dict[str, Any]) -> str:
    if row["error"] and row["dropped"]:
        return f"{row['path']} of {row['source']} could not be read ({row['error']})"
    said = (
        f"{row['path']} of {row['source']}, {row['format']} {row['width']}x{row['height']}, {len(row['own_tags'])} tags"
    )
    return f"{said}; sidecar left out ({row['error']})" if row["error"] else said


def _deduped(row: dict[str, Any], paths: dict[str, str]) -> str:
    others = ""
    if row["duplicate_of"] == row["id"]:
        others = f" of {paths[row['id']]}, byte for byte"
    elif row["duplicate_of"]:
        others = f" of {paths[row['duplicate_of']]} ({row['duplicate_of']}), {row['distance']} bits away"
    return f"{row['role']}{others}, family {row['family']}, split {row['split']}"


def _reason(row: dict[str, Any]) -> str:
    return REASONS.get(row["dropped"], "no longer known")


def _place(shards: Path, key: str | None) -> str:
    for name in read_index(shards).files:
        if name.endswith(".parquet"):
            table = manifest.read_table(shards / name)
            found = table.filter(pc.equal(table["id"], key)).to_pylist()
            if found:
                return f"{name.removesuffix('.parquet')}.tfrecord at byte {found[0]['offset']:,}"
    return "not in them"
