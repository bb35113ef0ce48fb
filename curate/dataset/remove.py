"""The stage for those who opt out: their pictures are gone from everything a dataset stores, and stay out.

`optout` remembers them, `sweep` takes them out, and `extract` lets none in again: neither a copy of the same bytes nor
another picture whose sidecar names the artist. An id or artist that the dataset does not hold is remembered as well,
as who asks to be left out should not have to wait until the picture is there.

Where the first of a family is removed, the next one names the family, and with it, perhaps, another split.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import ledger, opt_out, parquet
from curate.dataset.opt_out import OptOutEntry
from curate.dataset.purge import purge_opted_out
from curate.dataset.rows import FateCounts
from curate.system import lock
from curate.system.errors import NurieError
from curate.system.paths import recorded_path

NEXT_STEP = "run `curate dedupe`, then make shards and selections anew: those made before hold what was removed"
RECORD_COLUMNS = ("id", "path", "artist", "own_tags")


def remove(dataset: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Remove the pictures of ids, paths or `artist:NAME`s for ever. Killed and run again, it ends in the same bytes.

    Returns counts of the whole dataset; `removed`, the records that were emptied now; `absent`, the keys of which the
    dataset held nothing; `lookalikes`, the paths of what dedupe took for the same picture and is there still. Raises
    NurieError if a path is none of a record's, or names pictures of several sources; then nothing is removed.
    """
    ledger.read_ledger(dataset)
    with lock.exclusive(dataset):
        ledger.read_ledger(dataset, "records", "edges", *ledger.PERMANENT_FOLDERS)
        ledger.delete_leftovers(dataset)
        records = parquet.read_parts(dataset / "records", RECORD_COLUMNS)
        wanted = {key: _entry(dataset, records, key) for key in keys}
        held = _entries_present(records, set(wanted.values()))
        absent = [key for key, entry in wanted.items() if entry not in held]
        edges = [_duplicate_edges(table) for table in parquet.iter_parts(dataset / "edges", ["a", "b", "kind"])]
        opt_out.add(dataset, wanted.values())
        emptied = purge_opted_out(dataset)
        lookalikes = _lookalikes(edges, records, opt_out.read(dataset).ids)
        counted = _finish(dataset)
        kinds = [kind for kind, _ in opt_out.read_entries(dataset)]
    remembered = {f"{kind}s": kinds.count(kind) for kind in (opt_out.ID_KIND, opt_out.ARTIST_KIND)}
    return {
        **counted,
        "removed": emptied,
        "absent": absent,
        "lookalikes": lookalikes,
        "remembered": remembered,
        "next": NEXT_STEP,
    }


def _finish(dataset: Path) -> FateCounts:
    counted = parquet.count_fates(parquet.read_parts(dataset / "manifest", ["dropped"]))
    ledger.write_ledger(dataset, ledger.read_ledger(dataset) | {"counts": counted})
    return counted


def _entry(dataset: Path, records: pa.Table, key: str) -> OptOutEntry:
    """What is to be remembered for an argument."""
    key = recorded_path(key)
    kind, _, name = key.partition(":")
    if kind.lower() == opt_out.ARTIST_KIND:
        if not name.strip():
            raise NurieError(f"{key!r} names no artist: write artist:NAME")
        return opt_out.ARTIST_KIND, opt_out.artist_tag(name)
    rows = records.filter(pc.equal(records["path"], key))
    ids = rows["id"].unique().to_pylist()
    if not ids and re.fullmatch("[0-9a-f]{32}", key.lower()):
        return opt_out.ID_KIND, key.lower()
    if not ids:
        what = "is no path of a record and no id of 32 hex digits"
        raise NurieError(f"{key!r} {what}: paths are relative to their source, as `path` in {dataset}/manifest")
    if len(ids) > 1:
        raise NurieError(f"{len(ids)} pictures have the path {key!r}: give the id of one, as `curate why` tells it")
    if ids[0] is None:
        raise NurieError(f"{key!r} could not be read, so that no pixel of it is stored: delete the file itself")
    return opt_out.ID_KIND, ids[0]


def _duplicate_edges(edges: pa.Table) -> pa.Table:
    return edges.filter(pc.equal(edges["kind"], "duplicate")).select(["a", "b"])


def _lookalikes(twins: Sequence[pa.Table], records: pa.Table, gone: frozenset[str]) -> list[str]:
    """Paths of the duplicates of what is gone: bytes of their own, so nobody asked for them by id."""
    ids, near = pa.array(sorted(gone), pa.string()), set[str]()
    for table in twins:
        touched = table.filter(pc.or_(*(pc.is_in(table[side], value_set=ids) for side in "ab")))
        near.update(key for side in "ab" for key in touched[side].to_pylist())
    found = records.filter(pc.is_in(records["id"], value_set=pa.array(sorted(near - gone), pa.string())))
    return [str(path) for path in found["path"].to_pylist()]


def _entries_present(records: pa.Table, wanted: set[OptOutEntry]) -> set[OptOutEntry]:
    """Which of some ids and artists the records name."""
    ids = pa.array(sorted(name for kind, name in wanted if kind == opt_out.ID_KIND), pa.string())
    found = records["id"].filter(pc.is_in(records["id"], value_set=ids)).to_pylist()
    credited = ((opt_out.ARTIST_KIND, artist) for _, artist in opt_out.iter_artist_tags(records))
    return {(opt_out.ID_KIND, key) for key in found} | {entry for entry in credited if entry in wanted}
