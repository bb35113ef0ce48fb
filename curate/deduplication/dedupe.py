"""Records -> manifest with groups, roles, families, splits and fates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.dataset import decisions, ledger, parquet, tag_table
from curate.dataset.purge import purge_opted_out
from curate.dataset.schema import HASH_RECIPE, MANIFEST_SCHEMA
from curate.deduplication import edge_store, other_dataset, verdicts
from curate.deduplication.compare import COMPARISON_VERSION
from curate.deduplication.options import DedupeOptions
from curate.deduplication.pictures import PICTURE_COLUMNS, gather_pictures
from curate.signatures.orientations import ORIENTATIONS, SLANTS
from curate.system import lock
from curate.system.files import options_hash
from curate.workers import executor

__all__ = ["DedupeOptions", "dedupe"]  # the options are part of the stage's interface


def dedupe(
    dataset: Path, options: DedupeOptions, *, against: Path | None = None, workers: executor.Workers = 1
) -> dict[str, Any]:
    """Decide every record's role and fate; writes `edges/` and the manifest. Running it again changes nothing.

    What the dataset `other` has already is left out. Pictures that were looked at before are not compared with one
    another again. Returns counts: `in`, `kept`, `dropped` by reason, `roles`, `families` (of two or more) and `splits`
    of the kept. Raises DatasetError if a folder is no dataset, or one whose hashes were made in another way,
    NurieError if another run is writing it.
    """
    ledger.read_ledger(dataset)
    with lock.exclusive(dataset):
        return _dedupe(dataset, options, against, workers)


def _dedupe(dataset: Path, options: DedupeOptions, other: Path | None, workers: executor.Workers) -> dict[str, Any]:
    ledger.read_ledger(dataset, "records", "edges", *ledger.PERMANENT_FOLDERS)
    parquet.check_hash_recipe(dataset)
    purge_opted_out(dataset)  # which a kill may have broken off
    state = ledger.read_ledger(dataset)
    variants = ORIENTATIONS if options.mirror else SLANTS
    records = parquet.read_parts(dataset / "records", [*PICTURE_COLUMNS, "color_grid", "own_tags"])
    told = decisions.read(dataset)
    people = decisions.resolve(told)
    pictures = gather_pictures(records, variants, survivor_rule=options.survivor, corrected_tags=people.tags)
    looks = edge_store.update_edges(dataset, pictures, options.max_distance, mirror=options.mirror, workers=workers)
    found = {}
    if other:
        found = other_dataset.find_matches(dataset, pictures, other, options.max_distance, variants, workers=workers)
    decided = verdicts.decide(
        pictures,
        verdicts.apply_decisions(looks, pictures, people),
        options.shares,
        verdicts.fixed_fates(pictures, people, found),
        drop_alternates=options.drop_alternates,
    )
    dropped, own_tags = (records[name].to_pylist() for name in ("dropped", "own_tags"))
    columns = verdicts.manifest_columns(dropped, own_tags, pictures, decided)
    how, hashes = resolved_options(options, other), staleness_hashes(dataset, state, options, other)
    ledger.forget_manifest_digests(dataset)
    parquet.replace_manifest(dataset, _parts(dataset, columns), {"extract": state["options"], "dedupe": how})
    tag_table.write(dataset)
    table = parquet.read_parts(dataset / "manifest", ["dropped", "role", "split", "family"])
    state |= {
        "counts": parquet.count_fates(table),
        "dedupe": how,
        "decisions": len(told),
        "hashes": state.get("hashes", {}) | hashes,
    }
    ledger.write_ledger(dataset, state, rehash=("manifest", ledger.TAG_TABLE, "edges", ledger.DECISIONS_FOLDER))
    return {**parquet.count_fates(table), **_summary(table)}


def resolved_options(options: DedupeOptions, against: Path | None) -> dict[str, Any]:
    """Options as `dataset.json` and the manifest tell them; of `other`, a digest. Raises DatasetError if it is none."""
    return asdict(options) | ({"against": other_dataset.records_digest(against)} if against else {})


def staleness_hashes(
    dataset: Path, state: ledger.Ledger, options: DedupeOptions, against: Path | None
) -> dict[str, str]:
    """Hashes of what decides the manifest: options, how pictures are compared, and all that is read of the dataset."""
    how = {"options": resolved_options(options, against), "look": COMPARISON_VERSION, "hashes": HASH_RECIPE}
    inputs = ledger.file_digests(dataset, state, ("records", "pairs", *ledger.PERMANENT_FOLDERS))
    return {"dedupe": options_hash(how), "dedupe_inputs": options_hash(inputs)}


def _parts(dataset: Path, columns: dict[str, list[Any]]) -> Iterator[pa.Table]:
    """The records with the decided columns put in, part by part."""
    start = 0
    for table in parquet.iter_parts(dataset / "records"):
        part, stop = table, start + table.num_rows
        for name, values in columns.items():
            column = pa.array(values[start:stop], MANIFEST_SCHEMA.field(name).type)
            part = part.set_column(part.schema.get_field_index(name), MANIFEST_SCHEMA.field(name), column)
        yield part
        start = stop


def _summary(table: pa.Table) -> dict[str, Any]:
    rows = table.to_pylist()
    kept = [row for row in rows if row["dropped"] is None]
    sizes = Counter(row["family"] for row in kept)
    return {
        "roles": dict(sorted(Counter(row["role"] for row in rows if row["role"]).items())),
        "families": sum(size > 1 for size in sizes.values()),
        "splits": dict(sorted(Counter(row["split"] for row in kept).items())),
    }
