"""The stage `remove`: delete pictures that opted out from everything a dataset stores, and keep them out.

`opt_out` remembers the ids and artists, `purge_opted_out` deletes the data, and `extract` never lets a copy of the same
bytes or another picture of the artist in again. An id or artist that the dataset does not have is remembered too, so
that people can opt out before their picture is there.

If the picture that names a family is removed, the next one names it, which may move the family to another split.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import clear_dataset, ledger, opt_out, parquet
from curate.dataset.ids import ID_PATTERN
from curate.dataset.opt_out import OptOutEntry
from curate.dataset.purge_opted_out import purge_opted_out
from curate.dataset.rows import FateCounts
from curate.system import lock
from curate.system.errors import NurieError
from curate.system.paths import recorded_path

NEXT_STEP = "run `curate dedupe`, then make shards and selections again: the old ones still hold what was removed"
RECORD_COLUMNS = ("id", "path", "artist", "own_tags")


def remove(dataset: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Remove pictures for ever, by id, path or `artist:NAME`. Killed and run again, it ends in the same bytes.

    Returns the dataset's counts and `removed`, the number of records blanked now; `absent`, the keys that match
    nothing in the dataset; `lookalikes`, the paths of remaining pictures that dedupe took for duplicates of removed
    ones; `remembered`, all ids and artists that opted out so far. Raises NurieError, and removes nothing, if a path
    matches no record or several pictures.
    """
    ledger.read_ledger(dataset)
    with lock.exclusive(dataset):
        ledger.read_ledger(dataset, "records", "edges", *ledger.PERMANENT_FOLDERS)
        clear_dataset.delete_leftovers(dataset)
        records = parquet.read_parts(dataset / "records", RECORD_COLUMNS)
        entries = {key: _entry(dataset, records, key) for key in keys}
        present = _entries_present(records, set(entries.values()))
        absent = [key for key, entry in entries.items() if entry not in present]
        duplicates = _duplicate_edges(dataset)  # before the purge, which deletes them
        opt_out.add(dataset, entries.values())
        blanked = purge_opted_out(dataset)
        lookalikes = _lookalikes(duplicates, records, opt_out.read(dataset).ids)
        counts = _update_counts(dataset)
        kinds = [kind for kind, _ in opt_out.read_entries(dataset)]
    return {
        **counts,
        "removed": blanked,
        "absent": absent,
        "lookalikes": lookalikes,
        "remembered": {f"{kind}s": kinds.count(kind) for kind in (opt_out.ID_KIND, opt_out.ARTIST_KIND)},
        "next": NEXT_STEP,
    }


def _update_counts(dataset: Path) -> FateCounts:
    counts = parquet.count_fates(parquet.read_parts(dataset / "manifest", ["dropped"]))
    ledger.write_ledger(dataset, ledger.read_ledger(dataset) | {"counts": counts})
    return counts


def _entry(dataset: Path, records: pa.Table, key: str) -> OptOutEntry:
    """The opt-out that one argument asks for."""
    key = recorded_path(key)
    kind, _, name = key.partition(":")
    if kind.lower() == opt_out.ARTIST_KIND:
        if not name.strip():
            raise NurieError(f"{key!r} names no artist: write artist:NAME")
        return opt_out.ARTIST_KIND, opt_out.artist_tag(name)
    ids = records.filter(pc.equal(records["path"], key))["id"].unique().to_pylist()
    if not ids and re.fullmatch(ID_PATTERN, key.lower()):
        return opt_out.ID_KIND, key.lower()
    if not ids:
        problem = "is neither the path of a record nor an id of 32 hex digits"
        raise NurieError(f"{key!r} {problem}: give a path below its source, as `path` in {dataset}/manifest")
    if len(ids) > 1:
        raise NurieError(f"{len(ids)} pictures have the path {key!r}: name one by its id, which `curate why` shows")
    if ids[0] is None:
        raise NurieError(f"{key!r} could not be read, so no pixel of it is stored: delete the file itself")
    return opt_out.ID_KIND, ids[0]


def _duplicate_edges(dataset: Path) -> list[pa.Table]:
    """The ids of both ends of all duplicate edges."""
    tables = parquet.iter_parts(dataset / "edges", ["a", "b", "kind"])
    return [edges.filter(pc.equal(edges["kind"], "duplicate")).select(["a", "b"]) for edges in tables]


def _lookalikes(duplicates: Sequence[pa.Table], records: pa.Table, removed_ids: frozenset[str]) -> list[str]:
    """Paths of duplicates of removed pictures. Their bytes differ, so the removed ids do not cover them."""
    ids, neighbours = pa.array(sorted(removed_ids), pa.string()), set[str]()
    for edges in duplicates:
        touched = edges.filter(pc.or_(*(pc.is_in(edges[side], value_set=ids) for side in "ab")))
        neighbours.update(key for side in "ab" for key in touched[side].to_pylist())
    remaining = pa.array(sorted(neighbours - removed_ids), pa.string())
    return [str(path) for path in records.filter(pc.is_in(records["id"], value_set=remaining))["path"].to_pylist()]


def _entries_present(records: pa.Table, entries: set[OptOutEntry]) -> set[OptOutEntry]:
    """The entries whose id or artist some record has."""
    ids = pa.array(sorted(name for kind, name in entries if kind == opt_out.ID_KIND), pa.string())
    present = records["id"].filter(pc.is_in(records["id"], value_set=ids)).to_pylist()
    credited = ((opt_out.ARTIST_KIND, artist) for _, artist in opt_out.iter_artist_tags(records))
    return {(opt_out.ID_KIND, key) for key in present} | {entry for entry in credited if entry in entries}
