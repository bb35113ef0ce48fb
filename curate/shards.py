"""Manifest and pairs -> shards, vocabulary and index: chosen, planned, packed, told."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate import engine, formats, ledger, manifest, optout, tags
from curate.contract import (
    INDEX,
    METADATA,
    SPLITS,
    VOCABULARY,
    ShardFile,
    ShardIndex,
    atomic_write,
    options_hash,
    read_index,
    write_index,
)
from curate.errors import DatasetError, NurieError
from curate.pack import SPILLS, Form, Plan, Slot, pack

# what a shard folder may hold, so that a torn one can be cleared and a stranger's cannot; paths below it, folders too
OURS = re.compile(
    rf"{INDEX}|{VOCABULARY}|{SPILLS}(/.*)?|\..*\.tmp|[^/]*-of-[^/]*\.(tfrecord|tar|parquet)"
    rf"|{formats.LISTINGS}(/[^/]*-of-[^/]*\.parquet(\.tmp)?)?"
    rf"|({'|'.join(SPLITS)})(/{METADATA}|/\.{METADATA}\.tmp|/\d{{5,}}(/\d{{3,}}(/[0-9a-f]{{32}}\.(color|line_\w+)\.png)?)?)?"
)
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
    format: str = "tfrecord"
    """A key of formats.WRITERS."""


def shard(
    dataset: Path, shards: Path, options: Options, *, chosen: Path | None = None, workers: engine.Workers = 1
) -> dict[str, Any]:
    """Write the kept pairs of a dataset (or of `chosen`, a filtered manifest) as a shard folder.

    Returns counts. Raises DatasetError if the manifest has no splits, names pictures the dataset has no pairs of, or
    `shards` holds something else; NurieError if another run is writing it, or options exclude one another.
    """
    if options.encoding == "raw" and options.format != "tfrecord":
        raise NurieError(f"--encoding raw is of TFRecords only: leave it out, --format {options.format} stores PNG")
    state = ledger.read_state(dataset)
    rows, counted = _rows(dataset, chosen)
    resolved = {"extract": state["options"], "shard": _resolved(options), "rows": _rows_hash(rows)}
    shards.mkdir(parents=True, exist_ok=True)
    with engine.alone(shards):
        index = _finished(shards, resolved)
        if index is None:
            _prepare(shards)
            plan = _plan(rows, options)
            files = {VOCABULARY: _write_vocabulary(shards, plan.vocabulary)}
            form = Form(options.format, options.encoding, state["options"]["lines"])
            files |= pack(dataset, shards, plan, form, workers)
            index = _index(state, rows, plan, files, resolved, options)
            write_index(shards, index)
    return {**counted, **_summary(index)}


def _resolved(options: Options) -> dict[str, Any]:
    """Without the default format, so that shards made before there were others are still those asked for."""
    told = asdict(options)
    return {name: value for name, value in told.items() if (name, value) != ("format", "tfrecord")}


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
    paths = {name: shards / name for name in index.files}
    whole = all(path.is_file() and path.stat().st_size == index.files[name].bytes for name, path in paths.items())
    return index if whole and index.options_hash == options_hash(resolved) else None


def _prepare(shards: Path) -> None:
    """An empty folder, or one whose contents are shards, finished or torn; never anything else of the user's."""
    found = sorted(path.relative_to(shards).as_posix() for path in shards.rglob("*"))
    if strangers := [name for name in found if not OURS.fullmatch(name)]:
        raise DatasetError(f"{shards} holds other files ({strangers[0]}): give a new or empty folder for the shards")
    (shards / INDEX).unlink(missing_ok=True)  # first, so that a torn folder never looks finished
    for path in shards.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


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
            shards.append((split, formats.name_of(options.format, split, number, total)))
    return Plan(shards, slots, vocabulary)


def _vocabulary(rows: list[dict[str, Any]], min_count: int) -> list[str]:
    """Tags of the training pairs: one that only validation has could never be learned."""
    counted = tags.count(row["tags"] for row in rows if row["split"] == SPLITS[0])
    return [tag for tag, count in counted.items() if count >= min_count]


def _write_vocabulary(shards: Path, vocabulary: list[str]) -> ShardFile:
    with atomic_write(shards / VOCABULARY) as file:
        file.write("".join(f"{tag}\n" for tag in vocabulary).encode())
    return formats.described(shards / VOCABULARY, "", 0)


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
    shards = sum(len(index.shards(split)) for split in SPLITS)
    size = sum(file.bytes for file in index.files.values())
    vocabulary = {tag for counted in index.tags.values() for tag in counted}
    return {"splits": dict(index.pairs), "shards": shards, "bytes": size, "vocabulary": len(vocabulary)}
