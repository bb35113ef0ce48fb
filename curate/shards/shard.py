"""The stage `curate shard`: choose the rows, plan the shards, pack them, write vocabulary and index.

Shards that are there already and would come out the same are left alone; their options' hash says so.
"""

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
from curate.shards.pack import SPILL_FOLDER, pack_shards
from curate.shards.shard_plan import ShardFormat, ShardPlan, plan_shards
from curate.system import lock
from curate.system.errors import DatasetError, NurieError
from curate.system.files import atomic_write, options_hash
from curate.system.lock import LOCK_FILE
from curate.tags import normalize
from curate.tags.aliases import TagRules
from curate.workers import executor

__all__ = ["ShardOptions", "shard"]  # the options are part of the stage's interface

# paths that a shard folder may hold: an unfinished one is cleared, a folder with anything else is not touched
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
    """Write the kept pairs of a dataset as a shard folder.

    manifest: a filtered manifest to use in place of the dataset's own. rules: applied to the tags first.
    Returns counts. Raises DatasetError if the manifest has no splits, names pictures that the dataset has no pairs of,
    or `shards` holds something else; NurieError if another run writes `shards`, or options exclude one another.
    """
    options.check()
    state = ledger.read_ledger(dataset, *([] if manifest else ["manifest"]), ledger.OPT_OUT_FOLDER)
    rows, fate_counts = read_eligible_rows(dataset, manifest, rules)
    resolved = resolved_options(state, options, rows)
    shards.mkdir(parents=True, exist_ok=True)
    with lock.exclusive(shards):
        index = find_finished_index(shards, resolved)
        if index is None:
            _clear_shard_folder(shards)
            tag_counts = rows.tag_counts()
            plan = plan_shards(rows, tag_counts, options)
            with _emptied_on_failure(shards):
                files = {VOCABULARY_FILE: _write_vocabulary(shards, plan.vocabulary)}
                lines: list[str] = state["options"]["lines"]
                shard_format = ShardFormat(options.format, options.encoding, lines, options_hash(resolved))
                files |= pack_shards(dataset, shards, plan, shard_format, workers)
                index = _make_index(state, plan, tag_counts, files, resolved, options)
                write_index(shards, index)
    return {**fate_counts, **_summarize(index)}


def resolved_options(state: ledger.Ledger, options: ShardOptions, rows: KeptRows) -> dict[str, Any]:
    """Everything that decides the bytes of a shard folder. `index.json` stores it and its hash."""
    # the default format is left out, so that shards made before there were other formats still count as up to date
    stored = {name: value for name, value in asdict(options).items() if (name, value) != ("format", "tfrecord")}
    return {"extract": state["options"], "shard": stored, "rows": rows.digest()}


def read_eligible_rows(dataset: Path, manifest: Path | None, rules: TagRules | None) -> tuple[KeptRows, dict[str, Any]]:
    """The rows to write and the counts of all rows by fate. Raises DatasetError if an opted-out picture is kept."""
    rows, fate_counts = kept_rows.read(dataset, manifest, rules)
    opted_out = rows.row_numbers(pa.array(sorted(opt_out.read(dataset).ids), pa.string()))
    if (still_kept := opted_out[opted_out >= 0]).size:
        problem = f"{manifest or dataset / 'manifest'} keeps {rows.hex_id(still_kept.min())}, which opted out"
        raise DatasetError(f"{problem}: run `curate dedupe {dataset}`, then select again")
    return rows, fate_counts


def find_finished_index(shards: Path, resolved: dict[str, Any]) -> ShardIndex | None:
    """The index of a complete shard folder that was made with these options, else None."""
    try:
        index = read_index(shards)
    except NurieError:
        return None
    paths = {name: shards / name for name in index.files}
    complete = all(path.is_file() and path.stat().st_size == index.files[name].bytes for name, path in paths.items())
    return index if complete and index.options_hash == options_hash(resolved) else None


def _clear_shard_folder(shards: Path) -> None:
    """Empty a folder that holds shards, finished or not. Raises DatasetError if it holds anything else."""
    names = sorted(path.relative_to(shards).as_posix() for path in shards.rglob("*"))
    if foreign := [name for name in names if not SHARD_FOLDER_PATTERN.fullmatch(name)]:
        raise DatasetError(f"{shards} holds other files ({foreign[0]}): give a new or empty folder for the shards")
    (shards / INDEX_FILE).unlink(missing_ok=True)  # first, so that an unfinished folder never looks finished
    _empty(shards)


def _empty(shards: Path) -> None:
    for path in [path for path in shards.iterdir() if path.name != LOCK_FILE]:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def _emptied_on_failure(shards: Path) -> Iterator[None]:
    """Empty the folder if the block fails: on a full disk, the unfinished shards may be what fills it."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # a worker that was given up as lost may still write there
            _empty(shards)
        raise


def _write_vocabulary(shards: Path, vocabulary: list[str]) -> ShardFile:
    with atomic_write(shards / VOCABULARY_FILE) as file:
        file.write("".join(f"{tag}\n" for tag in vocabulary).encode())
    return formats.index_entry(shards / VOCABULARY_FILE, "", 0)


def _make_index(
    state: ledger.Ledger,
    plan: ShardPlan,
    tag_counts: list[dict[str, int]],
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
            split: {tag: count for tag, count in counts.items() if tag in known}
            for split, counts in zip(SPLITS, tag_counts, strict=True)
        },
        colors={tag: pair for tag in plan.vocabulary if (pair := normalize.split_color(tag))},
        files=files,
        licenses=plan.rows.text_counts("license"),
        attribution=tuple(artist for artist in plan.rows.text_counts("artist") if artist),
        options=resolved,
        options_hash=options_hash(resolved),
    )


def _summarize(index: ShardIndex) -> dict[str, Any]:
    shards = sum(len(index.shard_names(split)) for split in SPLITS)
    size = sum(file.bytes for file in index.files.values())
    vocabulary = {tag for counts in index.tags.values() for tag in counts}
    return {"splits": dict(index.pairs), "shards": shards, "bytes": size, "vocabulary": len(vocabulary)}
