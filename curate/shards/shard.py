"""Manifest and pairs -> shards, vocabulary and index: chosen, planned, packed, told."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.contract import (
    INDEX_FILE,
    METADATA_FILE,
    SPLITS,
    VOCABULARY_FILE,
    ShardFile,
    ShardIndex,
    read_index,
    write_index,
)
from curate.dataset import ledger, opt_out
from curate.shards import formats, kept_rows
from curate.shards.kept_rows import KeptRows
from curate.shards.options import ShardOptions
from curate.shards.pack import SPILL_FOLDER, ShardFormat, ShardPlan, pack_shards
from curate.system import lock
from curate.system.errors import DatasetError, NurieError
from curate.system.files import atomic_write, options_hash
from curate.system.lock import LOCK_FILE
from curate.tags import normalize
from curate.tags.aliases import TagRules
from curate.workers import executor

__all__ = ["ShardOptions", "shard"]  # the options are part of the stage's interface

# what a shard folder may hold, so that a torn one can be cleared and a stranger's cannot; paths below it, folders too
SHARD_FOLDER_PATTERN = re.compile(
    rf"{INDEX_FILE}|{VOCABULARY_FILE}|{re.escape(LOCK_FILE)}|{SPILL_FOLDER}(/.*)?|\..*\.tmp|[^/]*-of-[^/]*\.(tfrecord|tar|parquet)"
    rf"|{formats.LISTINGS_FOLDER}(/[^/]*-of-[^/]*\.parquet(\.tmp)?)?"
    rf"|({'|'.join(SPLITS)})(/{METADATA_FILE}|/\.{METADATA_FILE}\.tmp|/\d{{5,}}(/\d{{3,}}(/[0-9a-f]{{32}}\.(color|line_\w+)\.png)?)?)?"
)


def shard(
    dataset: Path,
    shards: Path,
    options: ShardOptions,
    *,
    manifest: Path | None = None,
    rules: TagRules | None = None,
    workers: executor.Workers = 1,
) -> dict[str, Any]:
    """Write the kept pairs of a dataset (or of `chosen`, a filtered manifest), tags by `rules`, as a shard folder.

    Returns counts. Raises DatasetError if the manifest has no splits, names pictures the dataset has no pairs of, or
    `shards` holds something else; NurieError if another run is writing it, or options exclude one another.
    """
    options.check()
    state = ledger.read_ledger(dataset, *([] if manifest else ["manifest"]), ledger.OPT_OUT_FOLDER)
    rows, counted = read_eligible_rows(dataset, manifest, rules)
    resolved = resolved_options(state, options, rows)
    shards.mkdir(parents=True, exist_ok=True)
    with lock.exclusive(shards):
        index = find_finished_index(shards, resolved)
        if index is None:
            _clear_shard_folder(shards)
            counts = rows.tag_counts()
            plan = _plan_shards(rows, counts, options)
            with _emptied_on_failure(shards):
                files = {VOCABULARY_FILE: _write_vocabulary(shards, plan.vocabulary)}
                lines: list[str] = state["options"]["lines"]
                form = ShardFormat(options.format, options.encoding, lines, options_hash(resolved))
                files |= pack_shards(dataset, shards, plan, form, workers)
                index = _index(state, plan, counts, files, resolved, options)
                write_index(shards, index)
    return {**counted, **_summary(index)}


def resolved_options(state: ledger.Ledger, options: ShardOptions, rows: KeptRows) -> dict[str, Any]:
    """All that decides the bytes of a shard folder: `index.json` tells it, and its hash."""
    # without the default format, so that shards made before there were others are still those asked for
    told = {name: value for name, value in asdict(options).items() if (name, value) != ("format", "tfrecord")}
    return {"extract": state["options"], "shard": told, "rows": rows.digest()}


def read_eligible_rows(dataset: Path, manifest: Path | None, rules: TagRules | None) -> tuple[KeptRows, dict[str, Any]]:
    """The rows to be written, none of which opted out; and the counts."""
    rows, counted = kept_rows.read(dataset, manifest, rules)
    gone = pa.array(sorted(opt_out.read(dataset).ids), pa.string())
    if (found := rows.row_numbers(gone)[rows.row_numbers(gone) >= 0]).size:
        told = f"{manifest or dataset / 'manifest'} keeps {rows.hex_id(found.min())}, which opted out"
        raise DatasetError(f"{told}: run `curate dedupe {dataset}`, and select anew")
    return rows, counted


def find_finished_index(shards: Path, resolved: dict[str, Any]) -> ShardIndex | None:
    """The index of shards that are those asked for, None where they have to be made."""
    try:
        index = read_index(shards)
    except NurieError:
        return None
    paths = {name: shards / name for name in index.files}
    whole = all(path.is_file() and path.stat().st_size == index.files[name].bytes for name, path in paths.items())
    return index if whole and index.options_hash == options_hash(resolved) else None


def _clear_shard_folder(shards: Path) -> None:
    """An empty folder, or one whose contents are shards, finished or torn; never anything else of the user's."""
    found = sorted(path.relative_to(shards).as_posix() for path in shards.rglob("*"))
    if strangers := [name for name in found if not SHARD_FOLDER_PATTERN.fullmatch(name)]:
        raise DatasetError(f"{shards} holds other files ({strangers[0]}): give a new or empty folder for the shards")
    (shards / INDEX_FILE).unlink(missing_ok=True)  # first, so that a torn folder never looks finished
    _empty(shards)


def _empty(shards: Path) -> None:
    for path in [path for path in shards.iterdir() if path.name != LOCK_FILE]:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def _emptied_on_failure(shards: Path) -> Iterator[None]:
    """Empty the folder of a block that fails: what is begun may take the very room that it lacked."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # a worker given up as lost may still write there
            _empty(shards)
        raise


def _plan_shards(rows: KeptRows, counts: list[dict[str, int]], options: ShardOptions) -> ShardPlan:
    """Shuffle each split whole, then cut it into shards equal to within one pair."""
    shards: list[tuple[str, str]] = []
    shard, position = np.zeros((2, len(rows)), np.int32)
    for number, split in enumerate(SPLITS):
        members = np.flatnonzero(rows.splits == number)
        order = np.random.default_rng([options.seed, number]).permutation(len(members))
        total = -(-len(members) // options.shard_size)
        for one, chunk in enumerate(np.array_split(order, total) if total else []):
            shard[members[chunk]] = len(shards)
            position[members[chunk]] = np.arange(len(chunk))
            shards.append((split, formats.format_shard_name(options.format, split, one, total)))
    # tags of the training pairs: one that only validation has could never be learned
    vocabulary = [tag for tag, count in normalize.sort_by_count(counts[0]).items() if count >= options.min_count]
    return ShardPlan(shards, rows, shard, position, vocabulary)


def _write_vocabulary(shards: Path, vocabulary: list[str]) -> ShardFile:
    with atomic_write(shards / VOCABULARY_FILE) as file:
        file.write("".join(f"{tag}\n" for tag in vocabulary).encode())
    return formats.index_entry(shards / VOCABULARY_FILE, "", 0)


def _index(
    state: ledger.Ledger,
    plan: ShardPlan,
    counts: list[dict[str, int]],
    files: dict[str, ShardFile],
    resolved: dict[str, Any],
    options: ShardOptions,
) -> ShardIndex:
    known = set(plan.vocabulary)
    pairs = np.bincount(plan.rows.splits, minlength=len(SPLITS)).tolist()
    return ShardIndex(
        size=state["options"]["size"],
        encoding=options.encoding,
        lines=tuple(state["options"]["lines"]),
        pairs=dict(zip(SPLITS, pairs, strict=True)),
        tags={
            split: {tag: count for tag, count in counted.items() if tag in known}
            for split, counted in zip(SPLITS, counts, strict=True)
        },
        colors={tag: pair for tag in plan.vocabulary if (pair := normalize.split_color(tag))},
        files=files,
        licenses=plan.rows.text_counts("license"),
        attribution=tuple(artist for artist in plan.rows.text_counts("artist") if artist),
        options=resolved,
        options_hash=options_hash(resolved),
    )


def _summary(index: ShardIndex) -> dict[str, Any]:
    shards = sum(len(index.shard_names(split)) for split in SPLITS)
    size = sum(file.bytes for file in index.files.values())
    vocabulary = {tag for counted in index.tags.values() for tag in counted}
    return {"splits": dict(index.pairs), "shards": shards, "bytes": size, "vocabulary": len(vocabulary)}
