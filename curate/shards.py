"""Manifest and pairs -> shards, vocabulary and index: chosen, planned, packed, told."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate import engine, manifest, optout, tags
from curate.contract import (
    INDEX,
    SPLITS,
    VOCABULARY,
    ShardFile,
    ShardIndex,
    atomic_write,
    options_hash,
    read_index,
    shard_name,
    write_index,
)
from curate.errors import DatasetError, NurieError
from curate.pack import SPILLS, Plan, Slot, described, pack

# what a shard folder may hold, so that a torn one can be cleared and a stranger's cannot
OURS = (INDEX, VOCABULARY, SPILLS, "*-of-*.tfrecord", "*-of-*.parquet", ".*.tmp")
COLUMNS = ("id", "tags", "family", "group", "split", "dropped", "license", "artist")


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


def shard(
    dataset: Path, shards: Path, options: Options, *, chosen: Path | None = None, workers: int = 1
) -> dict[str, Any]:
    """Write the kept pairs of a dataset (or of `chosen`, a filtered manifest) as a shard folder.

    Returns counts. Raises DatasetError if the manifest has no splits, names pictures the dataset has no pairs of, or
    `shards` holds something else; NurieError if another run is writing it.
    """
    state = manifest.read_state(dataset)
    rows, counted = _rows(dataset, chosen)
    resolved = {"extract": state["options"], "shard": asdict(options), "rows": _rows_hash(rows)}
    shards.mkdir(parents=True, exist_ok=True)
    with engine.alone(shards):
        index = _finished(shards, resolved)
        if index is None:
            _prepare(shards)
            plan = _plan(rows, options)
            files = pack(dataset, shards, plan, options.encoding, workers)
            files[VOCABULARY] = _write_vocabulary(shards, plan.vocabulary)
            index = _index(state, rows, plan, files, resolved, options)
            write_index(shards, index)
    return {**counted, **_summary(index)}


def _rows(dataset: Path, chosen: Path | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Kept rows in the order of their ids, so that neither parts nor the order of a filter matter; and the counts."""
    table = manifest.read_chosen(chosen) if chosen else manifest.read_parts(dataset / "manifest", COLUMNS)
    rows = [row for row in table.select(COLUMNS).to_pylist() if row["dropped"] is None]
    what = chosen or dataset / "manifest"
    if not rows:
        raise DatasetError(f"{what} keeps no picture: run `curate why`, or filter less")
    if any(row["split"] not in SPLITS for row in rows):
        raise DatasetError(f"{what} has no splits: run `curate dedupe {dataset}` first")
    if len({row["id"] for row in rows}) < len(rows):
        raise DatasetError(f"{what} keeps a picture twice: drop repeated ids, or run `curate dedupe` again")
    if any(row["id"] is None for row in rows):
        raise DatasetError(f"{what} keeps a file that could not be read: leave `dropped` as it is")
    if gone := optout.read(dataset).ids.intersection(row["id"] for row in rows):
        raise DatasetError(f"{what} keeps {min(gone)}, which opted out: run `curate dedupe {dataset}`, and select anew")
    for row in rows:
        row["tags"] = row["tags"] or []  # null where a merge in pandas found none
        if broken := [tag for tag in row["tags"] if tag is None or tag.splitlines() != [tag]]:
            raise DatasetError(f"{what} gives {row['id']} the tag {broken[0]!r}: a tag is one line of text")
    return sorted(rows, key=lambda row: row["id"]), manifest.counts(table)


def _rows_hash(rows: list[dict[str, Any]]) -> str:
    return options_hash({"rows": rows})


def _finished(shards: Path, resolved: dict[str, Any]) -> ShardIndex | None:
    """The index of shards that are those asked for, None where they have to be made."""
    try:
        index = read_index(shards)
    except NurieError:
        return None
    sizes = {path.name: path.stat().st_size for path in shards.iterdir()}
    whole = all(sizes.get(name) == file.bytes for name, file in index.files.items())
    return index if whole and index.options_hash == options_hash(resolved) else None


def _prepare(shards: Path) -> None:
    """An empty folder, or one whose contents are shards, finished or torn; never anything else of the user's."""
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


def _write_vocabulary(shards: Path, vocabulary: list[str]) -> ShardFile:
    with atomic_write(shards / VOCABULARY) as file:
        file.write("".join(f"{tag}\n" for tag in vocabulary).encode())
    return described(shards / VOCABULARY, "", 0)


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
