"""One pass over a manifest -> what it holds, counted, and which of its pictures are worth a look.

Parts pass by one at a time. What stays are counters, a few chosen rows, and 8 bytes a kept picture for its family.
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

EXAMPLES_PER_ERROR = 5  # of each class of errors
CENSUS_COLUMNS = (
    *("source", "path", "id", "bytes", "width", "height", "format", "line_ink", "line_faint", "line_gaps", "tags"),
    *("rating", "license", "artist", "role", "duplicate_of", "distance", "family", "split", "dropped", "error"),
)
COUNTED_COLUMNS = ("format", "rating", "license", "artist", "role", "split")  # of the kept, by value
Bins = tuple[tuple[float, str], ...]
"""Lower end and name of each range."""
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
"""What sizes are counted in; aspect is width by height."""
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
    """The `most` least of all keys that pass by: tuples that end with an id, so that ties have an order, too."""

    def __init__(self, most: int) -> None:
        self.limit = most
        self.keys: list[tuple[Any, ...]] = []

    def add(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """Let keys pass by; one that is there already is not held twice."""
        self.keys = heapq.nsmallest(self.limit, {*self.keys, *keys})


@dataclass
class ErrorClass:
    """Records with one class of error."""

    count: int = 0
    examples: list[tuple[str, str, str, str | None]] = field(default_factory=list)
    """Source, path, message, and why the picture is left out, if it is."""


@dataclass
class Census:
    """What is counted of all records (`fates`, `sources`, `errors`), and of the kept ones."""

    examples_per_kind: int
    """How many pictures each choice holds."""
    fates: Counter[str | None] = field(default_factory=Counter)
    sources: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """`in` and `kept` of each source."""
    errors: dict[str, ErrorClass] = field(default_factory=lambda: defaultdict(ErrorClass))
    value_counts: dict[str, Counter[Any]] = field(default_factory=lambda: {name: Counter() for name in COUNTED_COLUMNS})
    """Of the kept, by column."""
    roles: Counter[str | None] = field(default_factory=Counter)
    """Of all records."""
    byte_copies: int = 0
    """Of the duplicates that were dropped."""
    kept_bytes: int = 0
    """Of the kept files."""
    size_counts: dict[str, npt.NDArray[np.int64]] = field(
        default_factory=lambda: {name: np.zeros(len(bins), np.int64) for name, bins in SIZE_BINS.items()}
    )
    tags: Counter[str] = field(default_factory=Counter)
    tags_per_picture: Counter[int] = field(default_factory=Counter)
    """Kept pictures by how many tags they have."""
    family_hashes: dict[str, list[npt.NDArray[np.uint64]]] = field(default_factory=lambda: defaultdict(list))
    """Family of each kept picture as a number, by split."""
    example_keys: dict[str, SmallestKeys] = field(init=False)
    """Keys that end with an id; of copies, with theirs and the survivor's."""

    def __post_init__(self) -> None:
        names = ("any", "faint", "gaps", "pale", "black", "twins", "copies", "far_copies")
        self.example_keys = {name: SmallestKeys(self.examples_per_kind) for name in names}

    def fate_counts(self) -> dict[str, Any]:
        """`in`, `kept` and `dropped` by reason, as every stage tells them."""
        dropped = {reason: count for reason, count in self.fates.items() if reason is not None}
        return {"in": self.fates.total(), "kept": self.fates[None], "dropped": dict(sorted(dropped.items()))}

    def mean_tags(self) -> float:
        """Tags of a kept picture, on average; 0 if none is kept."""
        return sum(tags * pictures for tags, pictures in self.tags_per_picture.items()) / max(1, self.fates[None])


def take(dataset: Path, most: int) -> Census:
    """Count a dataset's manifest, and choose `most` pictures of each kind to look at; by extremes, or by least id.

    An id is a digest, so that the least ones are a sample at random, and the same one each time.
    """
    census = Census(most)
    for table in parquet.iter_parts(dataset / "manifest", CENSUS_COLUMNS):
        kept = table.filter(pc.is_null(table["dropped"]))
        _count_fates(census, table, kept)
        _count_kept(census, kept)
        _choose(census, table, kept)
    return census


def family_hash(family: str) -> int:
    """A family's id as 64 bits."""
    return int.from_bytes(blake2b(family.encode(), digest_size=8).digest(), "big")


def count_per_bin(values: npt.NDArray[Any], bins: Bins) -> npt.NDArray[np.int64]:
    """How many values lie in each range."""
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
        faulty = census.errors[kind]
        faulty.count += 1
        if faulty.count <= EXAMPLES_PER_ERROR:
            faulty.examples.append((row["source"], row["path"], message, row["dropped"]))


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
        mine = kept.filter(pc.equal(kept["split"], split))["family"].to_pylist()
        census.family_hashes[split].append(np.fromiter(map(family_hash, mine), np.uint64, len(mine)))


def _choose(census: Census, table: pa.Table, kept: pa.Table) -> None:
    ids, ink, faint, gaps = (kept[name].to_pylist() for name in ("id", "line_ink", "line_faint", "line_gaps"))
    copies = table.filter(pc.equal(table["dropped"], "duplicate"))
    copies = copies.select(["id", "duplicate_of", "distance"]).to_pylist()
    pairs = [(row["distance"], row["id"], row["duplicate_of"]) for row in copies if row["id"] != row["duplicate_of"]]
    keys: dict[str, Iterable[tuple[Any, ...]]] = {
        "any": ((one,) for one in ids),
        "faint": ((-value, one) for value, one in zip(faint, ids, strict=True) if value),
        "gaps": ((-value, one) for value, one in zip(gaps, ids, strict=True) if value),
        "pale": zip(ink, ids, strict=True),
        "black": ((-value, one) for value, one in zip(ink, ids, strict=True)),
        "twins": ((row["id"],) for row in copies if row["id"] == row["duplicate_of"]),
        "copies": ((one, other) for _, one, other in pairs),
        "far_copies": ((-bits, one, other) for bits, one, other in pairs),
    }
    for name, least in census.example_keys.items():
        least.add(keys[name])


def _values(column: pa.ChunkedArray | pa.Array) -> dict[Any, int]:
    """How often each value of a column is there, null among them."""
    return {entry["values"]: entry["counts"] for entry in column.value_counts().to_pylist()}
