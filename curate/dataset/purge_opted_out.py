"""Purge what opted out from every file of a dataset: after `remove`, and after `extract` read new pictures.

Parts of `records/` and `pairs/` are otherwise never changed once written. A kill at any point loses nothing, because
every step looks for what is left to do:

1. Extend `removed/` by the id of every picture of an artist who opted out, because the rows that name the artist are
   about to be blanked.
2. Remove the digests of the files that will change from `dataset.json`, so that `verify` reports an unfinished purge.
3. Replace the manifest by the purged records. Groups, families and merged tags may depend on a picture that is gone,
   so `dedupe` must decide again, and until then `shard` refuses. Derive `tags.parquet` again.
4. Rewrite pixels, edges, tags that people gave and, last, the records, each file by rename.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import decisions, ledger, opt_out, parquet, tag_table
from curate.dataset.opt_out import OptOut
from curate.dataset.rows import RecordRow

IDENTIFYING_COLUMNS = ("id", "artist", "own_tags", "dropped")

TableCleaner = Callable[[pa.Table, OptOut], pa.Table]
"""Returns a stored table without what opted out; tables may be empty."""


def purge_opted_out(dataset: Path) -> int:
    """Purge what opted out from a dataset; returns how many records were blanked.

    The caller holds the dataset's lock, and writes `dataset.json` afterwards with the digests of the new files.
    """
    if not opt_out.read(dataset):
        return 0
    opt_out.add(dataset, [(opt_out.ID_KIND, key) for key in _ids_to_remove(dataset, opt_out.read(dataset))])
    removed = opt_out.read(dataset)
    stale = list(_files_to_clean(dataset, removed))
    # damage must not be given a new digest
    ledger.check_files(dataset, ledger.peek_ledger(dataset), {path.parent.name for path, _ in stale})
    blanked = _count_unblanked(dataset / "records", removed)
    is_manifest_stale = (
        parquet.count_rows(dataset / "manifest") != parquet.count_rows(dataset / "records")
        or _count_unblanked(dataset / "manifest", removed) > 0
    )
    derived = parquet.part_paths(dataset / "manifest") if is_manifest_stale else []
    ledger.forget_digests(dataset, [*derived, dataset / ledger.TAG_TABLE, *(path for path, _ in stale)])
    if is_manifest_stale:
        records = parquet.iter_parts(dataset / "records")
        options = {"extract": ledger.read_ledger(dataset)["options"]}
        parquet.replace_manifest(dataset, (_with_blanked_rows(table, removed) for table in records), options)
    tag_table.write(dataset)  # always: a kill may have come between the manifest and its tags
    for path, clean in stale:
        parquet.write_table(path, clean(parquet.read_table(path), removed))
    return blanked


def _ids_to_remove(dataset: Path, removed: OptOut) -> Iterator[str]:
    """Ids of all records that must stay out, so that a copy without the sidecar that names the artist stays out too."""
    given_tags = decisions.resolve(decisions.read(dataset)).tags
    retagged = {key for key, tags in given_tags.items() if removed.artists.intersection(tags)}
    for table in parquet.iter_parts(dataset / "records", IDENTIFYING_COLUMNS):
        by_artist = {row for row, artist in opt_out.iter_artist_tags(table) if artist in removed.artists}
        for row, (key, dropped) in enumerate(zip(table["id"].to_pylist(), table["dropped"].to_pylist(), strict=True)):
            if key and (key in retagged or dropped == opt_out.REMOVED_REASON or row in by_artist):
                yield key


def _files_to_clean(dataset: Path, removed: OptOut) -> Iterator[tuple[Path, TableCleaner]]:
    """The files that still hold something to purge, and how to clean each; pixels first, records last."""
    id_columns: list[tuple[Path, tuple[str, ...]]] = [(path, ("id",)) for path in parquet.part_paths(dataset / "pairs")]
    id_columns += [(path, ("a", "b")) for path in parquet.part_paths(dataset / "edges")]
    id_columns += [(path, ("id",)) for path in [dataset / "edges" / ledger.COMPARED_FILE] if path.is_file()]
    for path, columns in id_columns:
        if pc.any(_names_removed(parquet.read_table(path, columns), removed, columns)).as_py():
            yield path, partial(_without_removed, columns=columns)
    for path in parquet.part_paths(dataset / ledger.DECISIONS_FOLDER):
        if any(row["tags"] and row["a"] in removed.ids for row in parquet.read_table(path).to_pylist()):
            yield path, _without_given_tags
    for path in parquet.part_paths(dataset / "records"):
        if _count_unblanked_rows(parquet.read_table(path, IDENTIFYING_COLUMNS), removed):
            yield path, _with_blanked_rows


def _names_removed(table: pa.Table, removed: OptOut, columns: tuple[str, ...]) -> pa.ChunkedArray:
    """Whether each row has an id that opted out in one of some columns."""
    ids = _id_array(removed)
    return reduce(pc.or_, (pc.is_in(table[name], value_set=ids) for name in columns))


def _without_removed(table: pa.Table, removed: OptOut, *, columns: tuple[str, ...]) -> pa.Table:
    return table.filter(pc.invert(_names_removed(table, removed, columns)))


def _without_given_tags(table: pa.Table, removed: OptOut) -> pa.Table:
    """Decisions without the tags that people gave to removed pictures; the rows stay, so their numbers do too."""
    rows = [row | ({"tags": None} if row["a"] in removed.ids else {}) for row in table.to_pylist()]
    return pa.Table.from_pylist(rows, schema=table.schema)


def _with_blanked_rows(table: pa.Table, removed: OptOut) -> pa.Table:
    rows = [opt_out.blank_record(row) if _is_unblanked(row, removed) else row for row in table.to_pylist()]
    return pa.Table.from_pylist(rows, schema=table.schema)


def _count_unblanked(folder: Path, removed: OptOut) -> int:
    """Rows of all parts of records or manifest that opted out but are not blank."""
    return sum(_count_unblanked_rows(table, removed) for table in parquet.iter_parts(folder, IDENTIFYING_COLUMNS))


def _count_unblanked_rows(table: pa.Table, removed: OptOut) -> int:
    """Rows of a table that opted out but are not blank. Readable pictures of artists are found by their ids."""
    table = table.filter(pc.invert(pc.fill_null(pc.equal(table["dropped"], opt_out.REMOVED_REASON), fill_value=False)))
    has_removed_id: list[bool] = pc.is_in(table["id"], value_set=_id_array(removed)).to_pylist()
    unreadable = table.filter(pc.is_null(table["id"])).to_pylist()
    return sum(has_removed_id) + sum(map(removed.has_opted_out, unreadable))


def _id_array(removed: OptOut) -> pa.Array:
    return pa.array(sorted(removed.ids), pa.string())


def _is_unblanked(row: RecordRow, removed: OptOut) -> bool:
    return row["dropped"] != opt_out.REMOVED_REASON and removed.has_opted_out(row)
