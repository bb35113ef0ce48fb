"""Opt-outs: the ids and artists that must stay out of a dataset, in the append-only table `removed/`.

The table survives `extract --fresh`, and it is all that is kept about what was removed: an id is a digest of a file's
bytes, so it identifies a copy but tells nothing about the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import ledger, parquet
from curate.dataset.rows import RecordRow
from curate.dataset.schema import FILE_KEY, MANIFEST_SCHEMA, OPT_OUT_SCHEMA
from curate.tags.normalize import normalize_tag

REMOVED_REASON = "removed"
ID_KIND, ARTIST_KIND = "id", "artist"
ARTIST_PREFIX = f"{ARTIST_KIND}:"
COLUMNS_NOT_BLANKED = (*FILE_KEY, "id")  # kept in a removed row, as every source file is a row with a fate
OptOutEntry = tuple[str, str]
"""Kind and name: a row of `removed/`."""


@dataclass(frozen=True)
class OptOut:
    """What must stay out."""

    ids: frozenset[str] = frozenset()
    artists: frozenset[str] = frozenset()
    """As tags: `artist:name`."""

    def __bool__(self) -> bool:
        return bool(self.ids or self.artists)

    def has_opted_out(self, row: RecordRow) -> bool:
        """Whether a record must stay out, by its id or by an artist in its sidecar."""
        return row.get("id") in self.ids or not self.artists.isdisjoint(artist_tags_of(row))


def artist_tags_of(row: RecordRow) -> set[str]:
    """The artists of a record, as tags: `artist` as a whole and between its commas, and tags with the artist prefix."""
    return {
        *_artist_tags(row.get("artist") or ""),
        *(tag for tag in row.get("own_tags") or () if tag.startswith(ARTIST_PREFIX)),
    }


@lru_cache(maxsize=4096)
def _artist_tags(text: str) -> frozenset[str]:
    return frozenset(artist_tag(name) for name in (text, *text.split(",")) if name.strip())


def artist_tag(name: str) -> str:
    """An artist's name, with or without `artist:`, as a tag."""
    return normalize_tag(name, ARTIST_KIND)


def iter_artist_tags(records: pa.Table) -> Iterator[tuple[int, str]]:
    """(row, artist tag) for a table of records: as `artist_tags_of`, without Python objects for the other tags."""
    for row, artist in enumerate(records["artist"].to_pylist()):
        yield from ((row, tag) for tag in _artist_tags(artist or ""))
    tags = records["own_tags"].combine_chunks()
    flat = pa.table({"row": pc.list_parent_indices(tags), "tag": pc.list_flatten(tags)})
    artists = flat.filter(pc.starts_with(flat["tag"], ARTIST_PREFIX))
    yield from zip(artists["row"].to_pylist(), artists["tag"].to_pylist(), strict=True)


def read_entries(dataset: Path) -> list[OptOutEntry]:
    """All entries of `removed/` in order; empty if nobody opted out."""
    folder = dataset / ledger.OPT_OUT_FOLDER
    rows = parquet.read_parts(folder).to_pylist() if parquet.part_paths(folder) else []
    return [(row["kind"], row["name"]) for row in rows]


def read(dataset: Path) -> OptOut:
    """What must stay out of a dataset."""
    entries = read_entries(dataset)
    ids, artists = (frozenset(name for kind, name in entries if kind == wanted) for wanted in (ID_KIND, ARTIST_KIND))
    return OptOut(ids, artists)


def add(dataset: Path, entries: Iterable[OptOutEntry]) -> None:
    """Append the entries that are not stored yet. The caller holds the dataset's lock and writes the ledger."""
    stored = dict.fromkeys(read_entries(dataset))
    if new := [entry for entry in dict.fromkeys(entries) if entry not in stored]:
        (dataset / ledger.OPT_OUT_FOLDER).mkdir(exist_ok=True)
        path = parquet.part_path(dataset / ledger.OPT_OUT_FOLDER, 0)
        ledger.forget_digests(dataset, [path])
        parquet.write_rows(path, [{"kind": kind, "name": name} for kind, name in (*stored, *new)], OPT_OUT_SCHEMA)


def blank_record(row: RecordRow) -> RecordRow:
    """A removed record without anything about the picture: its file, its id, and the reason `removed`."""
    columns = dict.fromkeys(MANIFEST_SCHEMA.names) | {name: row.get(name) for name in COLUMNS_NOT_BLANKED}
    blank = cast("RecordRow", columns)
    return blank | {"tags": [], "own_tags": [], "dropped": REMOVED_REASON}
