"""`curate verify`: check every byte and count of a dataset or shard folder, and that no file is missing or extra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate import terminal
from curate.contract import INDEX_FILE, find_file_faults, read_index, read_vocabulary
from curate.dataset import ledger, opt_out, parquet, tag_table
from curate.dataset.rows import FateCounts
from curate.dataset.schema import FILE_KEY
from curate.stores.listing import unrecognized_folder_error
from curate.system import lock
from curate.system.errors import DamagedError
from curate.system.files import SEAL_KEY, read_json
from curate.system.hashing import sha256_files
from curate.system.lock import LOCK_FILE
from curate.system.text import escape_unprintable


def verify(folder: Path) -> list[str]:
    """Return the faults of a dataset or shard folder, one line each.

    Raises NurieError if it is neither, or a run is writing it.
    """
    lock.check_free(folder)
    checks = {ledger.LEDGER_FILE: _check_dataset, INDEX_FILE: _check_shards}
    index_name = next((name for name in checks if (folder / name).is_file()), None)
    if index_name is None:
        raise unrecognized_folder_error(folder)
    try:
        faults = checks[index_name](folder)
        if not faults and SEAL_KEY not in read_json(folder / index_name):
            faults = [f"{folder / index_name} has no seal (older versions wrote none): make its folder again"]
    except DamagedError as error:
        faults = [str(error)]
    return [escape_unprintable(fault) for fault in faults]


def _check_dataset(dataset: Path) -> list[str]:
    state = ledger.peek_ledger(dataset)
    parts = {dataset / name: digest for name, digest in state["parts"].items()}
    faults = [f"{path} is missing" for path in parts if not path.is_file()]
    present = [path for path in parts if path.is_file()]
    with terminal.ByteProgressBar("verify", sum(path.stat().st_size for path in present)) as bar:
        for path, digest in sha256_files(present, bar.advance_bytes):
            if isinstance(digest, OSError):
                faults.append(f"{path} cannot be read ({digest.strerror or digest})")
            elif digest != parts[path]:
                faults.append(f"{path} has other bytes than {ledger.LEDGER_FILE} says")
    names = (ledger.LEDGER_FILE, LOCK_FILE, *ledger.STAGE_FOLDERS, *ledger.PERMANENT_FOLDERS)
    expected = {*parts, *(dataset / name for name in names)}
    extra = [path for path in sorted(dataset.rglob("*")) if path not in expected]
    faults += [f"{path} is not in {ledger.LEDGER_FILE}" for path in extra]
    if faults:
        return faults  # the contents of damaged files would only repeat them
    if "counts" not in state:
        return [f"{dataset} is not finished: run `curate extract` again"]
    return _check_contents(dataset, state["counts"])


def _check_contents(dataset: Path, counts: FateCounts) -> list[str]:
    """Faults between the tables of a dataset whose files all have the right bytes."""
    rows = parquet.read_parts(dataset / "manifest", [*FILE_KEY, "id", "dropped"])
    faults = [
        f"{row['path']} of {row['source']} is in the manifest {row['count']} times"
        for row in _repeated(rows.select(FILE_KEY))
    ]
    if rows.select(FILE_KEY) != parquet.read_parts(dataset / "records", FILE_KEY):
        faults.append(f"{dataset}/manifest has other rows than the records: run `curate dedupe` again")
    if parquet.count_fates(rows) != counts:
        faults.append(f"{dataset}/manifest counts {parquet.count_fates(rows)}, {ledger.LEDGER_FILE} says {counts}")
    faults += tag_table.faults(dataset)
    pairs = pa.concat_tables([rows.select(["id"]).slice(0, 0), *parquet.iter_parts(dataset / "pairs", ["id"])])
    kept = rows.filter(pc.is_null(rows["dropped"]))
    faults += [f"kept picture {key} has no pair" for key in _ids_not_in(kept["id"], pairs["id"])]
    faults += [
        f"{dataset} still holds {key}, which opted out: run `curate dedupe`"
        for key in _ids_kept_despite_opt_out(dataset, rows)
    ]
    faults += [f"pair {key} belongs to no record" for key in _ids_not_in(pairs["id"], rows["id"])]
    return faults + [f"pair {row['id']} is stored {row['count']} times" for row in _repeated(pairs)]


def _repeated(table: pa.Table) -> list[dict[str, Any]]:
    """The rows that occur more than once, each with its `count`."""
    counted = table.group_by(table.column_names, use_threads=False).aggregate([([], "count_all")])
    counted = counted.rename_columns([*table.column_names, "count"])
    return list(counted.filter(pc.greater(counted["count"], 1)).to_pylist())


def _ids_not_in(ids: pa.ChunkedArray, known: pa.ChunkedArray) -> list[str]:
    """The ids that are not among `known`, sorted."""
    unknown = ids.filter(pc.invert(pc.is_in(ids, value_set=known.combine_chunks())))
    return sorted(unknown.unique().to_pylist(), key=str)


def _ids_kept_despite_opt_out(dataset: Path, rows: pa.Table) -> list[str]:
    """Opted-out ids whose records still say more than that they opted out."""
    ids = pa.array(sorted(opt_out.read(dataset).ids), pa.string())
    not_removed = pc.not_equal(pc.fill_null(rows["dropped"], ""), opt_out.REMOVED_REASON)
    still_there = pc.and_(pc.is_in(rows["id"], value_set=ids), not_removed)
    return sorted(rows.filter(still_there)["id"].unique().to_pylist())


def _check_shards(shards: Path) -> list[str]:
    index = read_index(shards)
    with terminal.ByteProgressBar("verify", sum(file.bytes for file in index.files.values())) as bar:
        faults = find_file_faults(shards, index, bar.advance_bytes)
    if faults:
        return faults
    for split, pairs in index.pairs.items():
        records = sum(index.files[name].records for name in index.shard_names(split))
        if records != pairs:
            faults.append(f"{shards / INDEX_FILE} counts {pairs} pairs of {split}, its shards hold {records}")
    for name, file in index.files.items():
        if name.endswith(".parquet") and parquet.read_table(shards / name).num_rows != file.records:
            faults.append(f"{shards / name} does not list the {file.records} records that the index counts")
    unknown = {tag for counts in index.tags.values() for tag in counts} - set(read_vocabulary(shards))
    return faults + [
        f"{shards / INDEX_FILE} counts the tag {tag}, which the vocabulary lacks" for tag in sorted(unknown)
    ]
