"""Why a stage has work to do, in a few words; None if everything that it would make is there.

Decided by hashes of options and of what the stage reads, never by timestamps. Extract recognises a file that it has
read by its name, and so does this module.
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
from curate.sources import sample_art as stage_sample
from curate.system.errors import DatasetError, blame_option
from curate.tags.aliases import TagRules

NO_DATASET = "no dataset yet"
NOT_MADE = "not made yet"


def reason_to_sample(art: Path, size: int, limit: int | None) -> str | None:
    """Why `curate sample openmoji` has work to do. Raises MissingExtraError without the extra."""
    missing = stage_sample.count_missing(art, size, limit)
    return f"{missing:,} pictures to draw" if missing else None


def reason_to_extract(forecast: Forecast, dataset: Path, *, fresh: bool) -> str | None:
    """Why `curate extract` has work to do, by its forecast."""
    if fresh or not (dataset / ledger.LEDGER_FILE).is_file():
        return f"{forecast.files:,} files to read"
    if new := forecast.files - forecast.recorded:
        return f"{new:,} of {forecast.files:,} files to read"
    state = ledger.peek_ledger(dataset)
    folders = ("records", "pairs", "manifest", ledger.TAG_TABLE)
    complete = ledger.is_intact(dataset, state["parts"], folders, bytewise=False)
    return None if complete and "counts" in state else "was interrupted"


def reason_to_dedupe(dataset: Path, options: stage_dedupe.DedupeOptions, other: Path | None) -> str | None:
    """Why `curate dedupe` has work to do. Raises DatasetError if `other` (--against) is not a dataset."""
    with blame_option("against"):
        wanted = stage_dedupe.resolved_options(options, other)
    if not (dataset / ledger.LEDGER_FILE).is_file():
        return NO_DATASET
    state = ledger.peek_ledger(dataset)
    made_with, hashes = state.get("hashes", {}), stage_dedupe.staleness_hashes(dataset, state, options, other)
    if "dedupe" not in made_with:
        return NOT_MADE
    if made_with.get("dedupe_inputs") != hashes["dedupe_inputs"]:
        return "pictures or decisions changed"
    if made_with["dedupe"] != hashes["dedupe"]:
        before = state["dedupe"]
        names = [name for name in {**wanted, **before} if wanted.get(name) != before.get(name)]
        return f"options changed: {', '.join(names)}" if names else "an older version compared in another way"
    intact = ledger.is_intact(dataset, state["parts"], ("manifest", "edges", ledger.TAG_TABLE), bytewise=True)
    return None if intact else "its files were changed"


def reason_to_select(
    dataset: Path, out: Path, include: Sequence[str], exclude: Sequence[str], where: str | None
) -> str | None:
    """Why `curate select` has work to do. Raises NurieError if `where` is not an expression over manifest columns."""
    if where is not None:
        with blame_option("where"):
            expressions.where_mask(MANIFEST_SCHEMA.empty_table(), where)
    if not (dataset / ledger.LEDGER_FILE).is_file():
        return NO_DATASET
    if not out.exists():
        return NOT_MADE
    try:
        metadata = pq.read_schema(out).metadata or {}
    except (pa.ArrowException, OSError):
        metadata = {}
    wanted = stage_select.selection_metadata(dataset, include, exclude, where)
    return None if metadata.items() >= wanted.items() else "pictures or options changed"


def reason_to_shard(
    dataset: Path, folder: Path, options: stage_shard.ShardOptions, manifest: Path | None, rules: TagRules | None
) -> str | None:
    """Why `curate shard` has work to do. Raises NurieError if options exclude one another."""
    with blame_option("encoding"):
        options.check()
    if not (dataset / ledger.LEDGER_FILE).is_file():
        return NO_DATASET
    if not (folder / INDEX_FILE).is_file():
        return NOT_MADE
    try:
        rows, _ = stage_shard.read_eligible_rows(dataset, manifest, rules)
    except DatasetError as error:
        return str(error)
    wanted = stage_shard.resolved_options(ledger.peek_ledger(dataset), options, rows)
    return None if stage_shard.find_finished_index(folder, wanted) else "pictures or options changed"
