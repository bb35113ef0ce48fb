"""Who opted out: ids and artists' names, in a file of their own that is only ever added to.

`removed/part-00000.parquet` outlives a dataset begun afresh, as decisions do, and is all that is known of what was
removed: an id is a digest of a file's bytes, which tells a copy but nothing of the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import ledger, parquet
from curate.dataset.schema import KEY, MANIFEST
from curate.tags.normalize import normalize

REASON = "removed"
ID, ARTIST = "id", "artist"
PREFIX = f"{ARTIST}:"
SCHEMA = pa.schema([("kind", pa.string()), ("name", pa.string())])
LEFT = (*KEY, "id")  # columns of a removed row that stay: every file is a row with a fate
Row = Mapping[str, Any]
Entry = tuple[str, str]
"""Kind and name."""


@dataclass(frozen=True)
class OptOut:
    """What is to stay out."""

    ids: frozenset[str] = frozenset()
    artists: frozenset[str] = frozenset()
    """As tags: `artist:name`."""

    def __bool__(self) -> bool:
        return bool(self.ids or self.artists)

    def has(self, row: Row) -> bool:
        """Whether a record is to stay out: by its id, or by an artist that its sidecar names."""
        return row.get("id") in self.ids or not self.artists.isdisjoint(artists(row))


def artists(row: Row) -> set[str]:
    """Who made a picture, as tags: of the sidecar's `artist`, whole and between its commas, and of its artist tags."""
    return {*_names(row.get("artist") or ""), *(tag for tag in row.get("own_tags") or () if tag.startswith(PREFIX))}


@lru_cache(maxsize=4096)
def _names(told: str) -> frozenset[str]:
    return frozenset(artist_tag(name) for name in (told, *told.split(",")) if name.strip())


def artist_tag(name: str) -> str:
    """An artist's name, with or without `artist:`, as a tag."""
    return normalize(name, ARTIST)


def credit(records: pa.Table) -> Iterator[tuple[int, str]]:
    """(row, artist) of records, as `artists` tells them, fast where most tags are of other kinds."""
    for row, told in enumerate(records["artist"].to_pylist()):
        yield from ((row, name) for name in _names(told or ""))
    tags = records["own_tags"].combine_chunks()
    flat = pa.table({"row": pc.list_parent_indices(tags), "tag": pc.list_flatten(tags)})
    named = flat.filter(pc.starts_with(flat["tag"], PREFIX))
    yield from zip(named["row"].to_pylist(), named["tag"].to_pylist(), strict=True)


def entries(dataset: Path) -> list[Entry]:
    """Every entry of `removed/`, in order; none if nobody opted out."""
    folder = dataset / ledger.REMOVED
    rows = parquet.read_parts(folder).to_pylist() if parquet.parts(folder) else []
    return [(row["kind"], row["name"]) for row in rows]


def read(dataset: Path) -> OptOut:
    """What is to stay out of a dataset."""
    told = entries(dataset)
    return OptOut(*(frozenset(name for kind, name in told if kind == one) for one in (ID, ARTIST)))


def add(dataset: Path, wanted: Iterable[Entry]) -> None:
    """Remember what is not remembered yet."""
    known = dict.fromkeys(entries(dataset))
    if new := [entry for entry in dict.fromkeys(wanted) if entry not in known]:
        (dataset / ledger.REMOVED).mkdir(exist_ok=True)
        path = parquet.part(dataset / ledger.REMOVED, 0)
        ledger.forget(dataset, [path])
        parquet.write_rows(path, [dict(zip(SCHEMA.names, entry, strict=True)) for entry in (*known, *new)], SCHEMA)


def blank(row: Row) -> dict[str, Any]:
    """What is left of a removed record."""
    left = {name: row.get(name) for name in LEFT}
    return {**dict.fromkeys(MANIFEST.names), **left, "tags": [], "own_tags": [], "dropped": REASON}
