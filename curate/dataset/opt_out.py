"""Who opted out: ids and artists' names, in a file of their own that is only ever added to.

`removed/part-00000.parquet` outlives a dataset begun afresh, as decisions do, and is all that is known of what was
removed: an id is a digest of a file's bytes, which tells a copy but nothing of the picture.
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
from curate.dataset.schema import FILE_KEY, MANIFEST_SCHEMA
from curate.tags.normalize import normalize_tag

REMOVED_REASON = "removed"
ID_KIND, ARTIST_KIND = "id", "artist"
ARTIST_PREFIX = f"{ARTIST_KIND}:"
OPT_OUT_SCHEMA = pa.schema([("kind", pa.string()), ("name", pa.string())])
COLUMNS_NOT_BLANKED = (*FILE_KEY, "id")  # columns of a removed row that stay: every file is a row with a fate
OptOutEntry = tuple[str, str]
"""Kind and name."""


@dataclass(frozen=True)
class OptOut:
    """What is to stay out."""

    ids: frozenset[str] = frozenset()
    artists: frozenset[str] = frozenset()
    """As tags: `artist:name`."""

    def __bool__(self) -> bool:
        return bool(self.ids or self.artists)

    def has_opted_out(self, row: RecordRow) -> bool:
        """Whether a record is to stay out: by its id, or by an artist that its sidecar names."""
        return row.get("id") in self.ids or not self.artists.isdisjoint(artist_tags_of(row))


def artist_tags_of(row: RecordRow) -> set[str]:
    """Who made a picture, as tags: of the sidecar's `artist`, whole and between its commas, and of its artist tags."""
    return {
        *_artist_tags(row.get("artist") or ""),
        *(tag for tag in row.get("own_tags") or () if tag.startswith(ARTIST_PREFIX)),
    }


@lru_cache(maxsize=4096)
def _artist_tags(told: str) -> frozenset[str]:
    return frozenset(artist_tag(name) for name in (told, *told.split(",")) if name.strip())


def artist_tag(name: str) -> str:
    """An artist's name, with or without `artist:`, as a tag."""
    return normalize_tag(name, ARTIST_KIND)


def iter_artist_tags(records: pa.Table) -> Iterator[tuple[int, str]]:
    """(row, artist) of records, as `artists` tells them, fast where most tags are of other kinds."""
    for row, told in enumerate(records["artist"].to_pylist()):
        yield from ((row, name) for name in _artist_tags(told or ""))
    tags = records["own_tags"].combine_chunks()
    flat = pa.table({"row": pc.list_parent_indices(tags), "tag": pc.list_flatten(tags)})
    named = flat.filter(pc.starts_with(flat["tag"], ARTIST_PREFIX))
    yield from zip(named["row"].to_pylist(), named["tag"].to_pylist(), strict=True)


def read_entries(dataset: Path) -> list[OptOutEntry]:
    """Every entry of `removed/`, in order; none if nobody opted out."""
    folder = dataset / ledger.OPT_OUT_FOLDER
    rows = parquet.read_parts(folder).to_pylist() if parquet.part_paths(folder) else []
    return [(row["kind"], row["name"]) for row in rows]


def read(dataset: Path) -> OptOut:
    """What is to stay out of a dataset."""
    told = read_entries(dataset)
    return OptOut(*(frozenset(name for kind, name in told if kind == one) for one in (ID_KIND, ARTIST_KIND)))


def add(dataset: Path, wanted: Iterable[OptOutEntry]) -> None:
    """Remember what is not remembered yet."""
    known = dict.fromkeys(read_entries(dataset))
    if new := [entry for entry in dict.fromkeys(wanted) if entry not in known]:
        (dataset / ledger.OPT_OUT_FOLDER).mkdir(exist_ok=True)
        path = parquet.part_path(dataset / ledger.OPT_OUT_FOLDER, 0)
        ledger.forget_digests(dataset, [path])
        parquet.write_rows(
            path, [dict(zip(OPT_OUT_SCHEMA.names, entry, strict=True)) for entry in (*known, *new)], OPT_OUT_SCHEMA
        )


def blank_record(row: RecordRow) -> RecordRow:
    """What is left of a removed record."""
    columns = dict.fromkeys(MANIFEST_SCHEMA.names) | {name: row.get(name) for name in COLUMNS_NOT_BLANKED}
    blanked = cast("RecordRow", columns)
    return blanked | {"tags": [], "own_tags": [], "dropped": REMOVED_REASON}
