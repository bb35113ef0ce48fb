"""Datasets of any size: the records and pairs of a real one, repeated under new ids, hashes and paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from curate.dataset import ledger, parquet, tag_table
from curate.dataset.schema import DECIDED_COLUMNS, MANIFEST_SCHEMA
from curate.signatures.color_grid import COLOR_GRID_SIDE
from tests.bench.shard import shrunk

PART = 512  # rows per part, as `extract` writes them
HASHES = ("line_hash", "outline_hash", "edge_hash", "phash")


def make_large_dataset(dataset: Path, out: Path, pictures: int, side: int, part: int = PART) -> Path:
    """Make a dataset of `pictures` kept pictures, with squares shrunk to `side` px; returns `out`.

    Repeats the kept rows of `dataset` in order. Every picture has random hashes, so that no two look alike, and is its
    own group and family.
    """
    rows = [row for row in parquet.read_parts(dataset / "manifest").to_pylist() if row["dropped"] is None]
    stored = parquet.read_parts(dataset / "pairs").to_pylist()
    pairs = {pair["id"]: {name: _shrink_column(name, value, side) for name, value in pair.items()} for pair in stored}
    schema = parquet.read_table(parquet.part_path(dataset / "pairs", 0)).schema
    for name in ("records", "pairs", "manifest"):
        (out / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for number, start in enumerate(range(0, pictures, part)):
        originals = [rows[place % len(rows)] for place in range(start, min(start + part, pictures))]
        decided = [_rename(row, start + place, random) for place, row in enumerate(originals)]
        renamed = [{**pairs[row["id"]], "id": new["id"]} for row, new in zip(originals, decided, strict=True)]
        records = [row | {name: None for name, _, _ in DECIDED_COLUMNS} for row in decided]
        parquet.write_rows(parquet.part_path(out / "records", number), records, MANIFEST_SCHEMA)
        parquet.write_rows(parquet.part_path(out / "manifest", number), decided, MANIFEST_SCHEMA)
        parquet.write_rows(parquet.part_path(out / "pairs", number), renamed, schema)
    tag_table.write(out)
    state = ledger.peek_ledger(dataset)
    state |= {
        "options": state["options"] | {"size": side},
        "counts": {"in": pictures, "kept": pictures, "dropped": {}},
        "parts": {},
    }
    state.pop("hashes", None)
    state.pop("decisions", None)
    ledger.write_ledger(out, state)
    return out


def _rename(row: dict[str, Any], number: int, random: np.random.Generator) -> dict[str, Any]:
    key = random.bytes(16).hex()
    grid = random.uniform(0, 100, 3 * COLOR_GRID_SIDE * COLOR_GRID_SIDE).astype(np.float32)
    new = {name: random.bytes(8).hex() for name in HASHES} | {"color_grid": grid.tolist()}
    new["search_hashes"] = [random.bytes(8).hex() for _ in row["search_hashes"]]
    owners = {"id": key, "group": key, "family": key, "role": "unique", "tags": row["own_tags"]}
    return row | new | owners | {"path": f"{number // 1000:05d}/{number:09d}-{row['path']}"}


def _shrink_column(name: str, value: Any, side: int) -> Any:
    if name == "content_box":
        return [0, 0, side, side]
    if name != "color" and not name.startswith("line_"):
        return value
    return shrunk(value, side)
