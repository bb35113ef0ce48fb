"""The stage `dedupe`: records -> a manifest with groups, roles, families, splits and fates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.dataset import decisions, ledger, parquet, tag_table
from curate.dataset.purge_opted_out import purge_opted_out
from curate.dataset.rows import ManifestRow
from curate.dataset.schema import HASH_RECIPE, MANIFEST_SCHEMA
from curate.deduplication import edge_store, lookalike_search, verdicts
from curate.deduplication.compare import COMPARISON_VERSION
from curate.deduplication.options import DedupeOptions
from curate.deduplication.pictures import PICTURE_COLUMNS, Pictures, concatenate_pictures, gather_pictures
from curate.deduplication.verdicts import OtherDatasetMatch
from curate.signatures.orientations import ORIENTATIONS, SLANTS
from curate.system import lock
from curate.system.errors import DatasetError
from curate.system.files import options_hash
from curate.workers import executor

__all__ = ["DedupeOptions", "dedupe"]  # the options are part of the stage's interface


def dedupe(
    dataset: Path, options: DedupeOptions, *, against: Path | None = None, workers: executor.Workers = 1
) -> dict[str, Any]:
    """Decide every record's role and fate; write `edges/` and the manifest. Running it again changes nothing.

    Pictures that the dataset `against` has are dropped. Two pictures that were compared before are not compared again.

    Returns counts: `in`, `kept`, `dropped` by reason, `roles`, `families` (of two or more) and `splits` of the kept.
    Raises DatasetError if a folder is no dataset or its hashes were made in another way, NurieError if another run is
    writing the dataset.
    """
    ledger.read_ledger(dataset)
    with lock.exclusive(dataset):
        return _dedupe(dataset, options, against, workers)


def _dedupe(dataset: Path, options: DedupeOptions, against: Path | None, workers: executor.Workers) -> dict[str, Any]:
    ledger.read_ledger(dataset, "records", "edges", *ledger.PERMANENT_FOLDERS)
    parquet.check_hash_recipe(dataset)
    purge_opted_out(dataset)  # a kill may have interrupted it
    state = ledger.read_ledger(dataset)
    decision_rows = decisions.read(dataset)
    columns = _decide(dataset, options, decisions.resolve(decision_rows), against, workers)
    resolved, hashes = resolved_options(options, against), staleness_hashes(dataset, state, options, against)
    ledger.forget_manifest_digests(dataset)
    made_with = {"extract": state["options"], "dedupe": resolved}
    parquet.replace_manifest(dataset, _manifest_parts(dataset, columns), made_with)
    tag_table.write(dataset)
    table = parquet.read_parts(dataset / "manifest", ["dropped", "role", "split", "family"])
    counts = parquet.count_fates(table)
    state |= {
        "counts": counts,
        "dedupe": resolved,
        "decisions": len(decision_rows),
        "hashes": state.get("hashes", {}) | hashes,
    }
    ledger.write_ledger(dataset, state, rehash=("manifest", ledger.TAG_TABLE, "edges", ledger.DECISIONS_FOLDER))
    return {**counts, **_summary(table)}


def _decide(
    dataset: Path,
    options: DedupeOptions,
    people: decisions.Decisions,
    against: Path | None,
    workers: executor.Workers,
) -> dict[str, list[Any]]:
    """The decided columns of the manifest, one value for each record. Brings `edges/` up to date."""
    records = parquet.read_parts(dataset / "records", [*PICTURE_COLUMNS, "color_grid", "own_tags"])
    orientations = ORIENTATIONS if options.mirror else SLANTS
    pictures = gather_pictures(records, orientations, survivor_rule=options.survivor, corrected_tags=people.tags)
    edges = edge_store.update_edges(dataset, pictures, options.max_distance, mirror=options.mirror, workers=workers)
    matches = _find_matches(dataset, pictures, against, options, workers) if against else {}
    decided = verdicts.decide(
        pictures,
        verdicts.apply_decisions(edges, pictures, people),
        options.shares,
        verdicts.fixed_fates(pictures, people, matches),
        drop_alternates=options.drop_alternates,
    )
    dropped, own_tags = (records[name].to_pylist() for name in ("dropped", "own_tags"))
    return verdicts.manifest_columns(dropped, own_tags, pictures, decided)


def _find_matches(
    dataset: Path, pictures: Pictures, against: Path, options: DedupeOptions, workers: executor.Workers
) -> dict[int, OtherDatasetMatch]:
    """The pictures that the dataset `against` has too, by index, each with the nearest one there.

    Raises DatasetError if `against` is this dataset, no dataset, or one whose hashes were made in another way.
    """
    if against.resolve() == dataset.resolve():
        raise DatasetError(f"{against} is the dataset itself: give --against another one")
    ledger.read_ledger(against, "records", "pairs")
    parquet.check_hash_recipe(against)
    records = parquet.read_parts(against / "records", [*PICTURE_COLUMNS, "color_grid"])
    foreign = gather_pictures(records, ORIENTATIONS if options.mirror else SLANTS)
    foreign_ids = set(foreign.ids)
    matches = {
        index: OtherDatasetMatch(picture_id, 0)
        for index, picture_id in enumerate(pictures.ids)
        if picture_id in foreign_ids
    }
    both, count = concatenate_pictures(pictures, foreign), len(pictures.ids)
    is_own = np.array([index < count and index not in matches for index in range(len(both.ids))], np.bool_)
    edges = lookalike_search.find_duplicates_across(
        [dataset, against], both, options.max_distance, is_own, workers=workers
    )
    for edge in sorted(edges.values(), key=lambda edge: edge.distance):
        if edge.b >= count:
            matches.setdefault(edge.a, OtherDatasetMatch(both.ids[edge.b], edge.distance))
    return matches


def resolved_options(options: DedupeOptions, against: Path | None) -> dict[str, Any]:
    """The options as `dataset.json` and the manifest store them; `against` as the digest of its records.

    Raises DatasetError if `against` is no dataset.
    """
    return asdict(options) | ({"against": _records_digest(against)} if against else {})


def _records_digest(dataset: Path) -> str:
    parts: dict[str, str] = ledger.read_ledger(dataset)["parts"]
    return options_hash({name: digest for name, digest in parts.items() if name.startswith("records/")})


def staleness_hashes(
    dataset: Path, state: ledger.Ledger, options: DedupeOptions, against: Path | None
) -> dict[str, str]:
    """Hashes of all that decides the manifest: options, the way pictures are compared, and every file that is read."""
    method = {"options": resolved_options(options, against), "look": COMPARISON_VERSION, "hashes": HASH_RECIPE}
    inputs = ledger.file_digests(dataset, state, ("records", "pairs", *ledger.PERMANENT_FOLDERS))
    return {"dedupe": options_hash(method), "dedupe_inputs": options_hash(inputs)}


def _manifest_parts(dataset: Path, columns: dict[str, list[Any]]) -> Iterator[pa.Table]:
    """The records part by part, with the decided columns."""
    start = 0
    for records in parquet.iter_parts(dataset / "records"):
        part, stop = records, start + records.num_rows
        for name, values in columns.items():
            column = pa.array(values[start:stop], MANIFEST_SCHEMA.field(name).type)
            part = part.set_column(part.schema.get_field_index(name), MANIFEST_SCHEMA.field(name), column)
        yield part
        start = stop


def _summary(table: pa.Table) -> dict[str, Any]:
    rows: list[ManifestRow] = table.to_pylist()
    kept = [row for row in rows if row["dropped"] is None]
    family_sizes = Counter(row["family"] for row in kept)
    return {
        "roles": dict(sorted(Counter(row["role"] for row in rows if row["role"]).items())),
        "families": sum(size > 1 for size in family_sizes.values()),
        "splits": dict(sorted(Counter(row["split"] for row in kept if row["split"]).items())),
    }
