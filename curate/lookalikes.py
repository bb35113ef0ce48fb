"""Records -> verified pairs of look-alikes.

Three searches propose (picture, line art, silhouette), a second look decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate import hamming, likeness, manifest, progress
from curate.decode import Rgb
from curate.lineart import Gray
from curate.phash import GRID
from curate.tags import unique

# bits; on OpenMoji the silhouette alone proposes 99.9 % of a tone family's pairs within it, the line art 82 %
LINE_RADIUS = 6
EMPTY = 0.995  # a hash of a picture emptier than this says nothing
GRID_NUMBERS = 3 * GRID * GRID
BLOCK = 4096  # candidate pairs looked at between two steps of the progress bar
COLUMNS = (
    *("id", "source", "path", "tags", "width", "height", "search_hashes", "line_hash", "outline_hash"),
    *("emptiness", "format", "dropped"),
)
LOSSLESS = frozenset({"png", "bmp", "tiff", "gif"})


class Edge(NamedTuple):
    """Two pictures that look alike, by index a < b; `kind` is duplicate (same colours) or alternate (same lines)."""

    a: int
    b: int
    kind: str
    distance: int
    """Bits between the hashes of the trimmed pictures."""
    color_distance: float
    line_difference: float


@dataclass(frozen=True)
class Pictures:
    """Distinct readable pictures, one an id, in the order they were added; all fields are aligned."""

    ids: list[str]
    copies: list[list[int]]
    """Rows of the records that are this picture, best first."""
    tags: list[tuple[str, ...]]
    """Tags of all copies."""
    worth: list[tuple[int, int, tuple[str, str]]]
    """Sort key, best first: most pixels, most tags, first path."""
    hashes: dict[str, list[str | None]]
    """By search; None where the hash says nothing."""
    lossless: list[tuple[int, int] | None]
    """Width and height of pictures stored without loss, None for others."""
    colors: npt.NDArray[np.float32]
    """(n, 192) colour signatures."""

    def comparable(self, a: int, b: int) -> bool:
        """Whether both are stored without loss and of one size, so that no encoding explains a difference."""
        return self.lossless[a] is not None and self.lossless[a] == self.lossless[b]

    def bits(self, a: int, b: int) -> int:
        """Hamming distance of the trimmed pictures; 64 where one of them is empty."""
        one, other = self.hashes["trimmed"][a], self.hashes["trimmed"][b]
        return hamming.BITS if one is None or other is None else (int(one, 16) ^ int(other, 16)).bit_count()


def pictures(records: pa.Table) -> Pictures:
    """Gather the distinct pictures of records; rows that extract dropped take no part."""
    rows = records.select(COLUMNS).to_pylist()
    copies: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if row["dropped"] is None:
            copies.setdefault(row["id"], []).append(number)
    first = pa.array([numbers[0] for numbers in copies.values()], pa.int64())
    for numbers in copies.values():
        numbers.sort(key=lambda number: (-len(rows[number]["tags"]), rows[number]["source"], rows[number]["path"]))
    best = [rows[numbers[0]] for numbers in copies.values()]
    merged = [unique(tag for number in numbers for tag in rows[number]["tags"]) for numbers in copies.values()]
    flat = records["color_grid"].combine_chunks().take(first).flatten().to_numpy(zero_copy_only=False)
    told = [row["emptiness"] < EMPTY for row in best]
    found = {"trimmed": [row["search_hashes"][0] for row in best], "line": [row["line_hash"] for row in best]}
    found["outline"] = [row["outline_hash"] for row in best]
    return Pictures(
        ids=list(copies),
        copies=list(copies.values()),
        tags=merged,
        worth=[(-row["width"] * row["height"], -len(row["tags"]), (row["source"], row["path"])) for row in best],
        lossless=[(row["width"], row["height"]) if row["format"] in LOSSLESS else None for row in best],
        hashes={name: [h if t else None for h, t in zip(column, told, strict=True)] for name, column in found.items()},
        colors=flat.reshape(len(best), GRID_NUMBERS).astype(np.float32),
    )


def find(dataset: Path, all_pictures: Pictures, max_distance: int) -> list[Edge]:
    """Every verified look-alike pair, sorted. A duplicate is within `max_distance` bits and has the same colours."""
    radii = {"trimmed": max_distance, "line": LINE_RADIUS, "outline": LINE_RADIUS}
    found = [_search(all_pictures.hashes[name], radius) for name, radius in radii.items()]
    candidates = np.unique(np.concatenate(found), axis=0)
    squares = _Squares(dataset, all_pictures.ids)
    edges = []
    with progress.bar("dedupe", len(candidates)) as bar:
        for block in np.split(candidates, range(BLOCK, len(candidates), BLOCK)):
            edges += _second_look(block, all_pictures, squares, max_distance)
            bar.advance(len(block))
    return edges


def _search(hashes: list[str | None], radius: int) -> hamming.Pairs:
    told = [number for number, one in enumerate(hashes) if one is not None]
    pairs = hamming.near_pairs(hamming.parse([one for one in hashes if one is not None]), radius)
    return np.array(told, np.int64)[pairs].reshape(-1, 2)


def _second_look(block: hamming.Pairs, all_pictures: Pictures, squares: _Squares, max_distance: int) -> list[Edge]:
    """Colour signatures of a block of candidates at once, then lines and detail pair by pair.

    Whether two pictures are look-alikes hangs on their pixels alone: tags, which may be added to later, decide only
    of which kind. Else a family could part as the dataset grows.
    """
    colors = likeness.color_distance(all_pictures.colors[block[:, 0]], all_pictures.colors[block[:, 1]])
    edges = []
    for (a, b), color in zip(block.tolist(), colors.tolist(), strict=True):
        bits = all_pictures.bits(a, b)
        lines = likeness.line_difference(squares.sketch(a), squares.sketch(b))
        alike = bits <= max_distance and _same_colors(a, b, color, all_pictures, squares)
        if alike and not _told_apart(a, b, all_pictures, squares):
            edges.append(Edge(a, b, "duplicate", bits, color, lines))
        elif alike or lines <= likeness.SAME_LINES:
            edges.append(Edge(a, b, "alternate", bits, color, lines))
    return edges


def _same_colors(a: int, b: int, color: float, all_pictures: Pictures, squares: _Squares) -> bool:
    one, other = all_pictures.tags[a], all_pictures.tags[b]
    doubtful = bool(one and other) and set(one) != set(other) and all_pictures.comparable(a, b)
    return likeness.same_colors(squares.view(a), squares.view(b), color, doubtful=doubtful)


def _told_apart(a: int, b: int, all_pictures: Pictures, squares: _Squares) -> bool:
    """Whether tags or a small edit make two pictures of the same look two pictures nevertheless."""
    if likeness.colors_conflict(all_pictures.tags[a], all_pictures.tags[b]):
        return True
    return all_pictures.comparable(a, b) and likeness.edited(squares.color(a), squares.color(b))


class _Squares:
    """Ink masks and colours by picture. Parts are read as needed and a few kept, as are some thousand masks."""

    def __init__(self, dataset: Path, ids: list[str]) -> None:
        self.ids = ids
        self.place: dict[str, tuple[Path, int]] = {}
        for path in manifest.parts(dataset / "pairs"):
            keys = manifest.read_table(path, ["id"])["id"].to_pylist()
            self.place |= {key: (path, row) for row, key in enumerate(keys)}
        self._column = lru_cache(maxsize=64)(_column)
        self.sketch = lru_cache(maxsize=8192)(self._sketch)

    def _png(self, picture: int, name: str, flags: int) -> npt.NDArray[np.uint8]:
        path, row = self.place[self.ids[picture]]
        packed = np.frombuffer(self._column(path, name)[row], np.uint8)
        return np.asarray(cv2.imdecode(packed, flags), np.uint8)

    def _sketch(self, picture: int) -> Gray:
        return self._png(picture, "sketch", cv2.IMREAD_GRAYSCALE)

    def view(self, picture: int) -> Rgb:
        """(96, 96, 3) colours of the trimmed picture."""
        return self._png(picture, "view", cv2.IMREAD_COLOR_RGB)

    def color(self, picture: int) -> Rgb:
        """(size, size, 3) colours of the pair."""
        return self._png(picture, "color", cv2.IMREAD_COLOR_RGB)


def _column(path: Path, name: str) -> list[bytes]:
    column: list[bytes] = manifest.read_table(path, [name])[name].to_pylist()
    return column
