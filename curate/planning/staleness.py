"""What a stage has left to do: a reason in a few words, or None where all that it would make is there.

By hashes of options and of what a stage reads, never by time stamps. A file that extract has read is known by its name,
as extract itself knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.contract import INDEX_FILE
from curate.dataset import ledger
from curate.dataset.schema import MANIFEST_SCHEMA
from curate.deduplication import dedupe as stage_dedupe
from curate.extraction.forecast import Forecast
from curate.query import expressions
from curate.query import selection as stage_select
from curate.shards import shard as stage_shard
from curate.sources import samples as stage_sample
from curate.system.errors import DatasetError
from curate.tags.aliases import TagRules

NO_DATASET = "no dataset yet"
NEW = "not made yet"


def reason_to_sample(art: Path, size: int, limit: int | None) -> str | None:
    """Of `sample openmoji`. Raises MissingExtraError without the extra."""
    missing = stage_sample.count_missing(art, size, limit)
    return f"{missing:,} pictures to draw" if missing else None


def reason_to_extract(found: Forecast, dataset: Path, *, fresh: bool) -> str | None:
    """Of `extract`, by what it foresees."""
    if fresh or not (dataset / ledger.LEDGER_FILE).is_file():
        return f"{found.files:,} files to read"
    if new := found.files - found.recorded:
        return f"{new:,} of {found.files:,} files to read"
    state = ledger.peek_ledger(dataset)
    made = ledger.is_intact(dataset, state["parts"], ("records", "pairs", "manifest", ledger.TAG_TABLE), bytewise=False)
    return None if made and "counts" in state else "was broken off"


def reason_to_dedupe(dataset: Path, options: stage_dedupe.DedupeOptions, other: Path | None) -> str | None:
    """Of `dedupe`. Raises DatasetError if `other` is no dataset."""
    told = stage_dedupe.resolved_options(options, other)
    if not (dataset / ledger.LEDGER_FILE).is_file():
        return NO_DATASET
    state = ledger.peek_ledger(dataset)
    known, hashes = state.get("hashes", {}), stage_dedupe.staleness_hashes(dataset, state, options, other)
    if "dedupe" not in known:
        return NEW
    if known.get("dedupe_inputs") != hashes["dedupe_inputs"]:
        return "other pictures or decisions than before"
    if known["dedupe"] != hashes["dedupe"]:
        before = state["dedupe"]
        names = [name for name in {**told, **before} if told.get(name) != before.get(name)]
        return f"other options than before: {', '.join(names)}" if names else "compared in another way before"
    made = ledger.is_intact(dataset, state["parts"], ("manifest", "edges", ledger.TAG_TABLE), bytewise=True)
    return None if made else "what it made was changed"


def reason_to_select(
    dataset: Path, out: Path, include: Sequence[str], exclude: Sequence[str], where: str | None
) -> str | None:
    """Of `select`. Raises NurieError if `where` is not an expression over the manifest's columns."""
    if where is not None:
        expressions.where_mask(MANIFEST_SCHEMA.empty_table(), where)
    if not (dataset / ledger.LEDGER_FILE).is_file():
        return NO_DATASET
    if not out.exists():
        return NEW
    try:
        known = pq.read_schema(out).metadata or {}
    except (pa.ArrowException, OSError):
        known = {}
    wanted = stage_select.selection_metadata(dataset, include, exclude, where)
    return None if known.items() >= wanted.items() else "other pictures or options than before"


def reason_to_shard(
    dataset: Path, folder: Path, options: stage_shard.ShardOptions, chosen: Path | None, rules: TagRules | None
) -> str | None:
    """Of `shard`. Raises NurieError if options exclude one another."""
    options.check()
    if not (dataset / ledger.LEDGER_FILE).is_file():
        return NO_DATASET
    if not (folder / INDEX_FILE).is_file():
        return NEW
    try:
        rows, _ = stage_shard.read_eligible_rows(dataset, chosen, rules)
    except DatasetError as error:
        return str(error)
    wanted = stage_shard.resolved_options(ledger.peek_ledger(dataset), options, rows)
    return None if stage_shard.find_finished_index(folder, wanted) else "other pictures or options than before"
