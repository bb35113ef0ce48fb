"""What opted out, swept out of everything a dataset stores: after `remove`, and after newcomers were read.

Parts of `records/` and `pairs/` never change once they are written, but here: who opts out must be gone from the very
files. A kill at any point costs nothing, as every step asks what is left to do:

1. What is to stay out is remembered first (`removed/`), with the id of every picture of an artist who opted out, as
   the rows that name the artist are about to go.
2. `dataset.json` forgets the digests of the files that will change, so that `verify` tells a sweep that was broken off.
3. The manifest becomes the records without what they said of the removed: groups, families and merged tags may all
   hang on a picture that is gone, so `dedupe` has to decide afresh, and until then `shard` refuses. Its tags in long
   form follow it.
4. Pixels, look-alike pairs, tags that people gave, and last the records: each file anew, by rename.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import decisions, ledger, opt_out, parquet, tag_table
from curate.dataset.opt_out import OptOut
from curate.dataset.rows import RecordRow

IDENTIFYING_COLUMNS = ("id", "artist", "own_tags", "dropped")


class TableCleaner(Protocol):
    """A stored table -> the same without what opted out."""

    def __call__(self, table: pa.Table, removed: OptOut) -> pa.Table:
        """Of any number of rows, also of none."""


def purge_opted_out(dataset: Path) -> int:
    """Take what opted out from a dataset that the caller holds; returns the records that were emptied.

    The caller writes `dataset.json` after it, with the digests that lie there then.
    """
    if not opt_out.read(dataset):
        return 0
    opt_out.add(dataset, [(opt_out.ID_KIND, key) for key in _ids_to_remove(dataset, opt_out.read(dataset))])
    removed = opt_out.read(dataset)
    stale = list(_files_to_clean(dataset, removed))
    rewritten = {path.parent.name for path, _ in stale}
    ledger.check_files(dataset, ledger.peek_ledger(dataset), rewritten)  # damage would be given a digest of its own
    emptied = sum(
        _count_unblanked(table, removed) for table in parquet.iter_parts(dataset / "records", IDENTIFYING_COLUMNS)
    )
    behind = parquet.count_rows(dataset / "manifest") != parquet.count_rows(dataset / "records")
    anew = behind or any(
        _count_unblanked(table, removed) for table in parquet.iter_parts(dataset / "manifest", IDENTIFYING_COLUMNS)
    )
    derived = parquet.part_paths(dataset / "manifest") if anew else []
    ledger.forget_digests(dataset, [*derived, dataset / ledger.TAG_TABLE, *(path for path, _ in stale)])
    if anew:
        records = parquet.iter_parts(dataset / "records")
        options = {"extract": ledger.read_ledger(dataset)["options"]}
        parquet.replace_manifest(dataset, (_with_blanked_rows(table, removed) for table in records), options)
    tag_table.write(dataset)  # always: a kill may have come between the manifest and its tags
    for path, clean in stale:
        parquet.write_table(path, clean(parquet.read_table(path), removed))
    return emptied


def _ids_to_remove(dataset: Path, removed: OptOut) -> Iterator[str]:
    """Ids of the records that are to stay out, or do: a copy may come without the sidecar that names the artist."""
    people = decisions.resolve(decisions.read(dataset)).tags
    retagged = {key for key, tags in people.items() if removed.artists.intersection(tags)}
    for table in parquet.iter_parts(dataset / "records", IDENTIFYING_COLUMNS):
        by_artist = {row for row, artist in opt_out.iter_artist_tags(table) if artist in removed.artists}
        for row, (key, dropped) in enumerate(zip(table["id"].to_pylist(), table["dropped"].to_pylist(), strict=True)):
            if key and (key in retagged or dropped == opt_out.REMOVED_REASON or row in by_artist):
                yield key


def _files_to_clean(dataset: Path, removed: OptOut) -> Iterator[tuple[Path, TableCleaner]]:
    """Files that still hold what is to be gone, pixels first, and how each is made clean."""
    listed: list[tuple[Path, tuple[str, ...]]] = [(path, ("id",)) for path in parquet.part_paths(dataset / "pairs")]
    listed += [(path, ("a", "b")) for path in parquet.part_paths(dataset / "edges")]
    listed += [(path, ("id",)) for path in [dataset / "edges" / ledger.COMPARED_FILE] if path.is_file()]
    for path, names in listed:
        if pc.any(_names_removed(parquet.read_table(path, names), removed, names)).as_py():
            yield path, partial(_without_removed, names=names)
    for path in parquet.part_paths(dataset / ledger.DECISIONS_FOLDER):
        if any(row["tags"] and row["a"] in removed.ids for row in parquet.read_table(path).to_pylist()):
            yield path, _without_given_tags
    for path in parquet.part_paths(dataset / "records"):
        if _count_unblanked(parquet.read_table(path, IDENTIFYING_COLUMNS), removed):
            yield path, _with_blanked_rows


def _names_removed(table: pa.Table, removed: OptOut, names: tuple[str, ...]) -> pa.ChunkedArray:
    """Whether each row names an id that opted out in one of some columns."""
    ids = _id_array(removed)
    first, *others = (pc.is_in(table[name], value_set=ids) for name in names)
    for one in others:
        first = pc.or_(first, one)
    return first


def _without_removed(table: pa.Table, removed: OptOut, *, names: tuple[str, ...]) -> pa.Table:
    return table.filter(pc.invert(_names_removed(table, removed, names)))


def _without_given_tags(table: pa.Table, removed: OptOut) -> pa.Table:
    """Decisions keep their numbers, and lose the tags that people gave."""
    rows = [row | ({"tags": None} if row["a"] in removed.ids else {}) for row in table.to_pylist()]
    return pa.Table.from_pylist(rows, schema=table.schema)


def _with_blanked_rows(table: pa.Table, removed: OptOut) -> pa.Table:
    rows = [opt_out.blank_record(row) if _is_unblanked(row, removed) else row for row in table.to_pylist()]
    return pa.Table.from_pylist(rows, schema=table.schema)


def _count_unblanked(table: pa.Table, removed: OptOut) -> int:
    """Rows of records or manifest that say more than that they were removed; all ids of artists are known by now."""
    table = table.filter(pc.invert(pc.fill_null(pc.equal(table["dropped"], opt_out.REMOVED_REASON), fill_value=False)))
    unread = table.filter(pc.is_null(table["id"])).to_pylist()
    known: list[bool] = pc.is_in(table["id"], value_set=_id_array(removed)).to_pylist()
    return sum(known) + sum(map(removed.has_opted_out, unread))


def _id_array(removed: OptOut) -> pa.Array:
    return pa.array(sorted(removed.ids), pa.string())


def _is_unblanked(row: RecordRow, removed: OptOut) -> bool:
    return row["dropped"] != opt_out.REMOVED_REASON and removed.has_opted_out(row)
