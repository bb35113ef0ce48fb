"""Manifest and pairs -> shards, vocabulary and index.

Two passes keep memory bounded and reads sequential: every pairs part is read once and its records are spilled by
target shard; then each shard is put in its shuffled order. Neither workers nor parts change a byte of the result.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from curate import engine, manifest, progress, tags, tfrecord
from curate.contract import (
    INDEX,
    SPLITS,
    VOCABULARY,
    ShardFile,
    ShardIndex,
    atomic_write,
    options_hash,
    read_index,
    sha256,
    shard_name,
    write_index,
)
from curate.errors import DatasetError

# what a shard folder may hold, so that a torn one can be cleared and a stranger's cannot
OURS = (INDEX, VOCABULARY, ".spill", "*-of-*.tfrecord", "*-of-*.parquet", ".*.tmp")
COLUMNS = ("id", "tags", "family", "group", "split", "dropped", "license", "artist")
SPILL = pa.schema([("position", pa.int64()), ("id", pa.string()), ("family", pa.string()), ("example", pa.binary())])


@dataclass(frozen=True)
class Options:
    """What decides the bytes of a shard folder, beside the manifest."""

    shard_size: int = 4096
    """Most pairs a shard; the shards of a split are equal to within one pair."""
    encoding: str = "png"
    """`png`, or `raw` pixels: five times as large, read faster."""
    min_count: int = 5
    """Tags of fewer training pairs are left out of the vocabulary."""
    seed: int = 0


@dataclass(frozen=True)
class Slot:
    """Where a pair goes, and what goes with it besides its pixels."""

    shard: int
    """Number in the plan, over all splits."""
    position: int
    family: str
    group: str
    tags: tuple[int, ...]


@dataclass(frozen=True)
class SpillTask:
    """Read one pairs part and spill its records by shard."""

    part: Path
    number: int
    slots: dict[str, Slot]
    spills: Path
    encoding: str


@dataclass(frozen=True)
class ShardTask:
    """Put the records spilled for one shard in order."""

    number: int
    split: str
    name: str
    spills: Path
    folder: Path


@dataclass(frozen=True)
class Plan:
    """Every shard's split and name, and every pair's slot by id."""

    shards: list[tuple[str, str]]
    slots: dict[str, Slot]
    vocabulary: list[str]


def shard(
    dataset: Path, shards: Path, options: Options, *, chosen: Path | None = None, workers: int = 1
) -> dict[str, Any]:
    """Write the kept pairs of a dataset (or of `chosen`, a filtered manifest) as a shard folder.

    Returns counts. Raises DatasetError if the manifest has no splits, names pictures the dataset has no pairs of, or
    `shards` holds something else.
    """
    state = manifest.read_state(dataset)
    rows, counted = _rows(dataset, chosen)
    resolved = {"extract": state["options"], "shard": asdict(options), "rows": _rows_hash(rows)}
    if _finished(shards, resolved):
        return {**counted, **_summary(read_index(shards))}
    _prepare(shards)
    plan = _plan(rows, options)
    files = _write(dataset, shards, plan, options, workers)
    files[VOCABULARY] = _write_vocabulary(shards, plan.vocabulary)
    index = _index(state, rows, plan, files, resolved, options)
    write_index(shards, index)
    return {**counted, **_summary(index)}


def _rows(dataset: Path, chosen: Path | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Kept rows in the order of their ids, so that neither parts nor the order of a filter matter; and the counts."""
    if chosen is None:
        manifest.recover_manifest(dataset)
    table = manifest.read_chosen(chosen) if chosen else manifest.read_parts(dataset / "manifest", COLUMNS)
    rows = [row for row in table.select(COLUMNS).to_pylist() if row["dropped"] is None]
    what = chosen or dataset / "manifest"
    if not rows:
        raise DatasetError(f"{what} keeps no picture: run `curate why`, or filter less")
    if any(row["split"] not in SPLITS for row in rows):
        raise DatasetError(f"{what} has no splits: run `curate dedupe {dataset}` first")
    if len({row["id"] for row in rows}) < len(rows):
        raise DatasetError(f"{what} keeps a picture twice: drop repeated ids, or run `curate dedupe` again")
    return sorted(rows, key=lambda row: row["id"]), manifest.counts(table)


def _rows_hash(rows: list[dict[str, Any]]) -> str:
    return options_hash({"rows": rows})


def _finished(shards: Path, resolved: dict[str, Any]) -> bool:
    return (shards / INDEX).is_file() and read_index(shards).options_hash == options_hash(resolved)


def _prepare(shards: Path) -> None:
    """An empty folder, or one whose contents are shards, finished or torn; never anything else of the user's."""
    shards.mkdir(parents=True, exist_ok=True)
    ours = {path for pattern in OURS for path in shards.glob(pattern)}
    if strangers := sorted(path.name for path in set(shards.iterdir()) - ours):
        raise DatasetError(f"{shards} holds other files ({strangers[0]}): give a new or empty folder for the shards")
    (shards / INDEX).unlink(missing_ok=True)  # first, so that a torn folder never looks finished
    for path in ours:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _plan(rows: list[dict[str, Any]], options: Options) -> Plan:
    """Shuffle each split whole, then cut it into shards equal to within one pair."""
    vocabulary = _vocabulary(rows, options.min_count)
    numbers = {tag: number for number, tag in enumerate(vocabulary)}
    shards: list[tuple[str, str]] = []
    slots: dict[str, Slot] = {}
    for split in SPLITS:
        members = [row for row in rows if row["split"] == split]
        order = np.random.default_rng([options.seed, SPLITS.index(split)]).permutation(len(members))
        total = -(-len(members) // options.shard_size)
        for number, chunk in enumerate(np.array_split(order, total) if total else []):
            for position, row in enumerate(members[one] for one in chunk):
                known = tuple(sorted(numbers[tag] for tag in row["tags"] if tag in numbers))
                slots[row["id"]] = Slot(len(shards), position, row["family"] or "", row["group"] or "", known)
            shards.append((split, shard_name(split, number, total)))
    return Plan(shards, slots, vocabulary)


def _vocabulary(rows: list[dict[str, Any]], min_count: int) -> list[str]:
    """Tags of the training pairs: one that only validation has could never be learned."""
    counted = tags.count(row["tags"] for row in rows if row["split"] == SPLITS[0])
    return [tag for tag, count in counted.items() if count >= min_count]


def _write(dataset: Path, shards: Path, plan: Plan, options: Options, workers: int) -> dict[str, ShardFile]:
    spills = shards / ".spill"
    spills.mkdir()
    files: dict[str, ShardFile] = {}
    with progress.bar("shard", 2 * len(plan.slots)) as bar:
        missing = set(plan.slots)
        for written in engine.run(_spill, _spill_tasks(dataset, plan, spills, options), workers):
            missing.difference_update(written)
            bar.advance(len(written))
        if missing:
            lacking = f"{dataset} has no pair of {len(missing)} chosen pictures ({min(missing)})"
            raise DatasetError(f"{lacking}: choose from its own manifest")
        tasks = [ShardTask(n, split, name, spills, shards) for n, (split, name) in enumerate(plan.shards)]
        for made in engine.run(_assemble, tasks, workers):
            files |= made
            bar.advance(max(file.records for file in made.values()))
    shutil.rmtree(spills)
    return files


def _spill_tasks(dataset: Path, plan: Plan, spills: Path, options: Options) -> Iterator[SpillTask]:
    for number, part in enumerate(manifest.parts(dataset / "pairs")):
        ids = manifest.read_table(part, ["id"])["id"].to_pylist()
        slots = {key: plan.slots[key] for key in ids if key in plan.slots}
        yield SpillTask(part, number, slots, spills, options.encoding)


def _spill(task: SpillTask) -> list[str]:
    by_shard: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for pair in manifest.read_table(task.part).to_pylist():
        if slot := task.slots.get(pair["id"]):
            row = {"position": slot.position, "id": pair["id"], "family": slot.family}
            by_shard[slot.shard].append(row | {"example": _example(pair, slot, task.encoding)})
    for shard_number, rows in by_shard.items():
        manifest.write_rows(task.spills / f"{shard_number:05d}-{task.number:05d}.parquet", rows, SPILL)
    return list(task.slots)


def _example(pair: dict[str, Any], slot: Slot, encoding: str) -> bytes:
    pixels = {name: value for name, value in pair.items() if name == "color" or name.startswith("line_")}
    if encoding == "raw":
        pixels = {name: _raw(value) for name, value in pixels.items()}
    texts = {"id": pair["id"].encode(), "family": slot.family.encode(), "group": slot.group.encode()}
    return tfrecord.example({**texts, **pixels, "content_box": pair["content_box"], "tags": slot.tags})


def _raw(png_bytes: bytes) -> bytes:
    """PNG -> pixels in rows, RGB or gray."""
    pixels = np.asarray(cv2.imdecode(np.frombuffer(png_bytes, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
    return (pixels[..., ::-1] if pixels.ndim > 2 else pixels).tobytes()


def _assemble(task: ShardTask) -> dict[str, ShardFile]:
    """Write one shard and the table of its records."""
    spilled = [manifest.read_table(path) for path in sorted(task.spills.glob(f"{task.number:05d}-*.parquet"))]
    table = pa.concat_tables(spilled).sort_by("position")
    examples = table["example"].to_pylist()
    path, listing = task.folder / task.name, (task.folder / task.name).with_suffix(".parquet")
    with atomic_write(path) as file:
        for one in examples:
            file.write(tfrecord.frame(one))
    places = tfrecord.spans(map(len, examples))
    columns = table.select(["id", "family"])
    columns = columns.append_column("offset", pa.array([place.offset for place in places], pa.int64()))
    columns = columns.append_column("length", pa.array([place.length for place in places], pa.int64()))
    manifest.write_table(listing, columns)
    return {one.name: _described(one, task.split, len(examples)) for one in (path, listing)}


def _described(path: Path, split: str, records: int) -> ShardFile:
    return ShardFile(split, records, path.stat().st_size, sha256(path))


def _write_vocabulary(shards: Path, vocabulary: list[str]) -> ShardFile:
    with atomic_write(shards / VOCABULARY) as file:
        file.write("".join(f"{tag}\n" for tag in vocabulary).encode())
    return _described(shards / VOCABULARY, "", 0)


def _index(
    state: dict[str, Any],
    rows: list[dict[str, Any]],
    plan: Plan,
    files: dict[str, ShardFile],
    resolved: dict[str, Any],
    options: Options,
) -> ShardIndex:
    known = set(plan.vocabulary)
    by_split = {split: [row for row in rows if row["split"] == split] for split in SPLITS}
    return ShardIndex(
        size=state["options"]["size"],
        encoding=options.encoding,
        lines=tuple(state["options"]["lines"]),
        pairs={split: len(members) for split, members in by_split.items()},
        tags={split: tags.count(set(row["tags"]) & known for row in members) for split, members in by_split.items()},
        colors={tag: pair for tag in plan.vocabulary if (pair := tags.split_color(tag))},
        files=files,
        licenses=dict(sorted(Counter(row["license"] or "" for row in rows).items())),
        attribution=tuple(sorted({row["artist"] for row in rows if row["artist"]})),
        options=resolved,
        options_hash=options_hash(resolved),
    )


def _summary(index: ShardIndex) -> dict[str, Any]:
    shards = sum(name.endswith(".tfrecord") for name in index.files)
    size = sum(file.bytes for file in index.files.values())
    vocabulary = {tag for counted in index.tags.values() for tag in counted}
    return {"splits": dict(index.pairs), "shards": shards, "bytes": size, "vocabulary": len(vocabulary)}
