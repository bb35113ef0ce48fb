"""Count what a manifest holds, and choose a few pictures that are worth a look, in one pass.

Parts are read one at a time. What stays in memory is counters, a few chosen keys, and 8 bytes per kept picture for its
family.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import parquet

EXAMPLES_PER_ERROR = 5  # files shown for each class of errors
CENSUS_COLUMNS = (
    *("source", "path", "id", "bytes", "width", "height", "format", "line_ink", "line_faint", "line_gaps", "tags"),
    *("rating", "license", "artist", "role", "duplicate_of", "distance", "family", "split", "dropped", "error"),
)
COUNTED_COLUMNS = ("format", "rating", "license", "artist", "role", "split")  # values counted over the kept
Bins = tuple[tuple[float, str], ...]
"""(lower end, name) of each range, ascending."""
SIZE_BINS: Mapping[str, Bins] = {
    "width": (
        *((0, "under 128 px"), (128, "128 to 255"), (256, "256 to 511"), (512, "512 to 767"), (768, "768 to 1,023")),
        *((1024, "1,024 to 1,535"), (1536, "1,536 to 2,047"), (2048, "2,048 to 4,095"), (4096, "4,096 and more")),
    ),
    "megapixels": (
        *((0, "under 0.1"), (0.1, "0.1 to 0.25"), (0.25, "0.25 to 0.5"), (0.5, "0.5 to 1"), (1, "1 to 2")),
        *((2, "2 to 4"), (4, "4 to 8"), (8, "8 to 16"), (16, "16 and more")),
    ),
    "aspect": (
        *((0, "1:3 or taller"), (1 / 3, "1:3 to 1:2"), (1 / 2, "1:2 to 2:3"), (2 / 3, "2:3 to 9:10")),
        *(
            (0.9, "square, or nearly"),
            (1.1, "11:10 to 3:2"),
            (1.5, "3:2 to 2:1"),
            (2, "2:1 to 3:1"),
            (3, "3:1 or wider"),
        ),
    ),
}
"""Ranges for measures of size; aspect is width divided by height."""
FAMILY_SIZES: Bins = (
    (1, "1"),
    (2, "2"),
    (3, "3"),
    (4, "4"),
    (5, "5 to 8"),
    (9, "9 to 16"),
    (17, "17 to 64"),
    (65, "65 and more"),
)


class SmallestKeys:
    """The smallest distinct keys out of all that are added. Keys are tuples ending in an id, so that no two tie."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.keys: list[tuple[Any, ...]] = []

    def add(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """Add keys, and keep the smallest `limit` of all."""
        self.keys = heapq.nsmallest(self.limit, {*self.keys, *keys})


@dataclass
class ErrorClass:
    """Records with one class of error."""

    count: int = 0
    examples: list[tuple[str, str, str, str | None]] = field(default_factory=list)
    """(source, path, message, reason why the picture is dropped or None)."""


@dataclass
class Census:
    """Counts over all records (`fates`, `sources`, `errors`, `roles`) and over the kept ones (the rest)."""

    examples_per_kind: int
    """How many pictures are chosen of each kind."""
    fates: Counter[str | None] = field(default_factory=Counter)
    sources: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """`in` and `kept` by source."""
    errors: dict[str, ErrorClass] = field(default_factory=lambda: defaultdict(ErrorClass))
    value_counts: dict[str, Counter[Any]] = field(default_factory=lambda: {name: Counter() for name in COUNTED_COLUMNS})
    """How often each value occurs, by column of COUNTED_COLUMNS."""
    roles: Counter[str | None] = field(default_factory=Counter)
    byte_copies: int = 0
    """Dropped duplicates with the same bytes as their survivor."""
    kept_bytes: int = 0
    """File sizes, summed."""
    size_counts: dict[str, npt.NDArray[np.int64]] = field(
        default_factory=lambda: {name: np.zeros(len(bins), np.int64) for name, bins in SIZE_BINS.items()}
    )
    tags: Counter[str] = field(default_factory=Counter)
    tags_per_picture: Counter[int] = field(default_factory=Counter)
    """How many kept pictures have so many tags."""
    family_hashes: dict[str, list[npt.NDArray[np.uint64]]] = field(default_factory=lambda: defaultdict(list))
    """`family_hash` of the family of each kept picture, by split."""
    example_keys: dict[str, SmallestKeys] = field(init=False)
    """Chosen keys by kind. A key ends with an id; for copies, with the copy's id and the survivor's."""

    def __post_init__(self) -> None:
        names = ("any", "faint", "gaps", "pale", "black", "twins", "copies", "far_copies")
        self.example_keys = {name: SmallestKeys(self.examples_per_kind) for name in names}

    def fate_counts(self) -> dict[str, Any]:
        """`in`, `kept` and `dropped` by reason, as every stage reports them."""
        dropped = {reason: count for reason, count in self.fates.items() if reason is not None}
        return {"in": self.fates.total(), "kept": self.fates[None], "dropped": dict(sorted(dropped.items()))}

    def mean_tags(self) -> float:
        """Average number of tags of a kept picture; 0 if none is kept."""
        return sum(tags * pictures for tags, pictures in self.tags_per_picture.items()) / max(1, self.fates[None])


def take(dataset: Path, examples_per_kind: int) -> Census:
    """Count a dataset's manifest, and choose pictures of each kind: extremes, or those with the smallest ids.

    Ids are digests, so the smallest ones are a random sample that is the same each time.
    """
    census = Census(examples_per_kind)
    for table in parquet.iter_parts(dataset / "manifest", CENSUS_COLUMNS):
        kept = table.filter(pc.is_null(table["dropped"]))
        _count_fates(census, table, kept)
        _count_kept(census, kept)
        _choose_examples(census, table, kept)
    return census


def family_hash(family: str) -> int:
    """64 bits of a hash of a family's id: a family takes 8 bytes instead of a text."""
    return int.from_bytes(blake2b(family.encode(), digest_size=8).digest(), "big")


def count_per_bin(values: npt.NDArray[Any], bins: Bins) -> npt.NDArray[np.int64]:
    """(bins,) how many values lie in each range."""
    edges = [edge for edge, _ in bins]
    return np.bincount(np.searchsorted(edges, values, side="right") - 1, minlength=len(bins)).astype(np.int64)


def _count_fates(census: Census, table: pa.Table, kept: pa.Table) -> None:
    census.fates.update(_values(table["dropped"]))
    census.roles.update(_values(table["role"]))
    copies = table.filter(pc.equal(table["dropped"], "duplicate"))
    census.byte_copies += pc.sum(pc.equal(copies["id"], copies["duplicate_of"])).as_py() or 0
    for column, rows in (("in", table), ("kept", kept)):
        for source, count in _values(rows["source"]).items():
            census.sources[source][column] += count
    for row in table.filter(pc.is_valid(table["error"])).select(["source", "path", "error", "dropped"]).to_pylist():
        kind, _, message = row["error"].partition(": ")
        error_class = census.errors[kind]
        error_class.count += 1
        if error_class.count <= EXAMPLES_PER_ERROR:
            error_class.examples.append((row["source"], row["path"], message, row["dropped"]))


def _count_kept(census: Census, kept: pa.Table) -> None:
    for name, counter in census.value_counts.items():
        counter.update(_values(kept[name]))
    census.kept_bytes += pc.sum(kept["bytes"]).as_py() or 0
    census.tags.update(_values(pc.list_flatten(kept["tags"])))
    census.tags_per_picture.update(_values(pc.list_value_length(kept["tags"])))
    width, height = (kept[name].to_numpy().astype(np.float64) for name in ("width", "height"))
    measures = {"width": width, "megapixels": width * height / 1e6, "aspect": width / height}
    for name, bins in SIZE_BINS.items():
        census.size_counts[name] += count_per_bin(measures[name], bins)
    for split in kept["split"].unique().drop_null().to_pylist():
        families = kept.filter(pc.equal(kept["split"], split))["family"].to_pylist()
        census.family_hashes[split].append(np.fromiter(map(family_hash, families), np.uint64, len(families)))


def _choose_examples(census: Census, table: pa.Table, kept: pa.Table) -> None:
    ids, ink, faint, gaps = (kept[name].to_pylist() for name in ("id", "line_ink", "line_faint", "line_gaps"))
    copies = table.filter(pc.equal(table["dropped"], "duplicate"))
    copies = copies.select(["id", "duplicate_of", "distance"]).to_pylist()
    pairs = [(row["distance"], row["id"], row["duplicate_of"]) for row in copies if row["id"] != row["duplicate_of"]]
    keys: dict[str, Iterable[tuple[Any, ...]]] = {
        "any": ((key,) for key in ids),
        "faint": ((-share, key) for share, key in zip(faint, ids, strict=True) if share),
        "gaps": ((-share, key) for share, key in zip(gaps, ids, strict=True) if share),
        "pale": zip(ink, ids, strict=True),
        "black": ((-share, key) for share, key in zip(ink, ids, strict=True)),
        "twins": ((row["id"],) for row in copies if row["id"] == row["duplicate_of"]),
        "copies": ((key, survivor) for _, key, survivor in pairs),
        "far_copies": ((-bits, key, survivor) for bits, key, survivor in pairs),
    }
    for name, smallest in census.example_keys.items():
        smallest.add(keys[name])


def _values(column: pa.ChunkedArray | pa.Array) -> dict[Any, int]:
    """How often each value of a column occurs, null included."""
    return {entry["values"]: entry["counts"] for entry in column.value_counts().to_pylist()}
