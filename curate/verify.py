"""Whether a dataset or shard folder is what it says it is: every byte, every count, nothing missing, nothing stray."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curate import ledger, manifest, optout, tag_table
from curate.contract import INDEX, check_files, read_index, read_vocabulary, sha256
from curate.errors import DamagedError, NurieError


def verify(folder: Path) -> list[str]:
    """Faults of a dataset or shard folder, one line each; none if all is well. Raises NurieError if it is neither."""
    if (folder / ledger.STATE).is_file():
        return _dataset(folder)
    if (folder / INDEX).is_file():
        return _shards(folder)
    raise NurieError(f"{folder} is neither a dataset nor a shard folder: give one that `curate` made")


def _dataset(dataset: Path) -> list[str]:
    state = ledger.read_state(dataset)
    faults = []
    for name, digest in state["parts"].items():
        path = dataset / name
        if not path.is_file():
            faults.append(f"{path} is missing")
        elif sha256(path) != digest:
            faults.append(f"{path} has other bytes than {ledger.STATE} says")
    found = {p.relative_to(dataset).as_posix() for p in dataset.rglob("*") if p.is_file()}
    faults += [f"{dataset / name} is not in {ledger.STATE}" for name in sorted(found - {ledger.STATE, *state["parts"]})]
    if faults:
        return faults  # contents of damaged files say nothing more
    if "counts" not in state:
        return [f"{dataset} is not finished: run `curate extract` again"]
    try:
        return _contents(dataset, state["counts"])
    except DamagedError as error:
        return [str(error)]


def _contents(dataset: Path, counts: dict[str, object]) -> list[str]:
    rows = manifest.read_parts(dataset / "manifest", [*manifest.KEY, "id", "dropped"])
    records = manifest.read_parts(dataset / "records", manifest.KEY)
    pairs = Counter(key for table in manifest.iter_parts(dataset / "pairs", ["id"]) for key in table["id"].to_pylist())
    keys = Counter(zip(*(rows[name].to_pylist() for name in manifest.KEY), strict=True))
    faults = [f"{key[1]} of {key[0]} is in the manifest {count} times" for key, count in keys.items() if count > 1]
    if rows.select(manifest.KEY) != records:
        faults.append(f"{dataset}/manifest has other rows than the records: run `curate dedupe` again")
    if manifest.counts(rows) != counts:
        faults.append(f"{dataset}/manifest counts {manifest.counts(rows)}, {ledger.STATE} says {counts}")
    kept = {
        key for key, dropped in zip(rows["id"].to_pylist(), rows["dropped"].to_pylist(), strict=True) if not dropped
    }
    faults += tag_table.faults(dataset)
    faults += [f"kept picture {key} has no pair" for key in sorted(kept - pairs.keys())]
    faults += [f"{dataset} still holds {key}, which opted out: run `curate dedupe`" for key in _unswept(dataset, rows)]
    faults += [f"pair {key} belongs to no record" for key in sorted(pairs.keys() - set(rows["id"].to_pylist()))]
    return faults + [f"pair {key} is stored {count} times" for key, count in pairs.items() if count > 1]


def _unswept(dataset: Path, rows: pa.Table) -> list[str]:
    """Ids that opted out and whose records still say more than that."""
    ids = pa.array(sorted(optout.read(dataset).ids), pa.string())
    stay = pc.and_(pc.is_in(rows["id"], value_set=ids), pc.not_equal(pc.fill_null(rows["dropped"], ""), optout.REASON))
    return sorted(rows.filter(stay)["id"].unique().to_pylist())


def _shards(shards: Path) -> list[str]:
    index = read_index(shards)
    faults = check_files(shards, index)
    if faults:
        return faults
    for split, pairs in index.pairs.items():
        records = sum(index.files[name].records for name in index.shards(split))
        if records != pairs:
            faults.append(f"{shards / INDEX} counts {pairs} pairs of {split}, its shards hold {records}")
    for name, file in index.files.items():
        if name.endswith(".parquet") and manifest.read_table(shards / name).num_rows != file.records:
            faults.append(f"{shards / name} does not list the {file.records} records the index says")
    unknown = {tag for counted in index.tags.values() for tag in counted} - set(read_vocabulary(shards))
    return faults + [f"{shards / INDEX} counts the tag {tag}, which the vocabulary lacks" for tag in sorted(unknown)]
