"""Records -> verified pairs of look-alikes.

Four searches propose (picture, line art, silhouette, edges of colour), a second look decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate import alignment, hamming, likeness, phash, progress
from curate.phash import GRID
from curate.tags import unique
from curate.thumbnails import Thumbnails
from curate.variants import SLANTED, VARIANTS, Variant

# bits; on OpenMoji the silhouette alone proposes 99.9 % of a tone family's pairs within it, the line art 82 %
LINE_RADIUS = 6
EMPTY = 0.995  # a hash of a picture emptier than this says nothing
GRID_NUMBERS = 3 * GRID * GRID
BLOCK = 4096  # candidate pairs looked at between two steps of the progress bar
COLUMNS = (
    *("id", "source", "path", "tags", "width", "height", "search_hashes", "line_hash", "outline_hash"),
    *("edge_hash", "emptiness", "format", "dropped"),
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
    variants: list[list[int]]
    """Hashes of the trimmed picture as it is and in the variants that copies are sought in; none where it is empty."""
    lossless: list[tuple[int, int] | None]
    """Width and height of pictures stored without loss, None for others."""
    colors: npt.NDArray[np.float32]
    """(n, 192) colour signatures."""

    def comparable(self, a: int, b: int) -> bool:
        """Whether both are stored without loss and of one size, so that no encoding explains a difference."""
        return self.lossless[a] is not None and self.lossless[a] == self.lossless[b]

    def bits(self, a: int, b: int) -> int:
        """Least Hamming distance of one trimmed picture to the other or a variant of it; 64 if either is empty."""
        one, other = self.variants[a], self.variants[b]
        if not one or not other:
            return hamming.BITS
        return min(*((one[0] ^ each).bit_count() for each in other), *((each ^ other[0]).bit_count() for each in one))


def pictures(records: pa.Table, variants: Sequence[Variant] = SLANTED) -> Pictures:
    """Gather the distinct pictures of records; rows that extract dropped take no part.

    Copies are sought in `variants` too, which begin as curate.variants lists them.
    """
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
    found |= {"outline": [row["outline_hash"] for row in best], "edge": [row["edge_hash"] for row in best]}
    return Pictures(
        ids=list(copies),
        copies=list(copies.values()),
        tags=merged,
        worth=[(-row["width"] * row["height"], -len(row["tags"]), (row["source"], row["path"])) for row in best],
        lossless=[(row["width"], row["height"]) if row["format"] in LOSSLESS else None for row in best],
        hashes={name: [h if t else None for h, t in zip(column, told, strict=True)] for name, column in found.items()},
        variants=[
            [int(h, 16) for h in row["search_hashes"][: 1 + len(variants)]] if t else []
            for row, t in zip(best, told, strict=True)
        ],
        colors=flat.reshape(len(best), GRID_NUMBERS).astype(np.float32),
    )


def find(dataset: Path, all_pictures: Pictures, max_distance: int) -> list[Edge]:
    """Every verified look-alike pair, sorted. A duplicate is within `max_distance` bits and has the same colours."""
    radii = {"trimmed": max_distance, "line": LINE_RADIUS, "outline": LINE_RADIUS, "edge": LINE_RADIUS}
    found = [_search(all_pictures.hashes[name], radius) for name, radius in radii.items()]
    candidates = np.unique(np.concatenate(found), axis=0)
    squares = Thumbnails(dataset, all_pictures.ids)
    cv2.setNumThreads(1)  # on pictures this small threads cost more than they do
    edges: dict[tuple[int, int], Edge] = {}
    with progress.bar("dedupe", len(candidates)) as bar:
        for block in np.split(candidates, range(BLOCK, len(candidates), BLOCK)):
            looks = _second_look(block, all_pictures, squares, max_distance)
            edges |= {(edge.a, edge.b): edge for edge in looks}
            bar.advance(len(block))
    for a, b, variant in _search_variants(all_pictures, max_distance):
        known = edges.get((a, b))
        if known is not None and known.kind == "duplicate":
            continue
        edge = _look_at_variant(a, b, variant, all_pictures, squares)
        if edge is not None and (known is None or edge.kind == "duplicate"):
            edges[a, b] = edge
    return [edges[pair] for pair in sorted(edges)]


def _search(hashes: list[str | None], radius: int) -> hamming.Pairs:
    told = [number for number, one in enumerate(hashes) if one is not None]
    pairs = hamming.near_pairs(hamming.parse([one for one in hashes if one is not None]), radius)
    return np.array(told, np.int64)[pairs].reshape(-1, 2)


def _search_variants(all_pictures: Pictures, radius: int) -> list[tuple[int, int, int]]:
    """(a, b, variant): a < b, one picture near a variant of the other; a negative number says that it is a's."""
    told = [number for number, hashes in enumerate(all_pictures.variants) if hashes]
    if not told:
        return []
    table = np.array([all_pictures.variants[number] for number in told], np.uint64)
    found = set()
    for variant in range(1, table.shape[1]):
        pairs = hamming.near_pairs(np.concatenate([table[:, 0], table[:, variant]]), radius)
        across = pairs[(pairs[:, 0] < len(told)) & (pairs[:, 1] >= len(told))] - (0, len(told))
        for plain, other in across[across[:, 0] != across[:, 1]].tolist():
            one, two = told[plain], told[other]
            found.add((one, two, variant) if one < two else (two, one, -variant))
    return sorted(found)


def _look_at_variant(a: int, b: int, variant: int, all_pictures: Pictures, squares: Thumbnails) -> Edge | None:
    """A copy that was turned or mirrored; None for a stranger."""
    lay = VARIANTS[abs(variant) - 1]
    one, other = squares.view(a), squares.view(b)
    one, other = (phash.trim(lay(one)), other) if variant < 0 else (one, phash.trim(lay(other)))
    grids = [phash.color_grid(phash.trim(rgb))[None] for rgb in (one, other)]
    color = float(likeness.color_distance(*grids)[0])
    if color > likeness.PERHAPS_SAME:
        return None
    if not likeness.same_colors(alignment.difference(alignment.view(one), alignment.view(other))):
        return None
    lines = _lines(a, b, squares)
    apart = _conflict(a, b, all_pictures) or _doubtful(a, b, all_pictures)
    return Edge(a, b, "alternate" if apart else "duplicate", all_pictures.bits(a, b), color, lines)


def _second_look(block: hamming.Pairs, all_pictures: Pictures, squares: Thumbnails, max_distance: int) -> list[Edge]:
    """Colour signatures of a block of candidates at once, then lines and colours pair by pair."""
    colors = likeness.color_distance(all_pictures.colors[block[:, 0]], all_pictures.colors[block[:, 1]])
    edges = []
    for (a, b), color in zip(block.tolist(), colors.tolist(), strict=True):
        bits = all_pictures.bits(a, b)
        lines = _lines(a, b, squares)
        kind = _kind(a, b, color, lines, all_pictures, squares, near=bits <= max_distance)
        if kind is not None:
            edges.append(Edge(a, b, kind, bits, color, lines))
    return edges


def _lines(a: int, b: int, squares: Thumbnails) -> float:
    """Difference of the strokes, which hang on dark and light; if large, of the edges, which hang on any colour."""
    strokes = likeness.line_difference(squares.sketch(a), squares.sketch(b))
    if strokes <= likeness.SAME_LINES:
        return strokes
    return min(strokes, likeness.line_difference(squares.edges(a), squares.edges(b)))


def _kind(
    a: int, b: int, color: float, lines: float, all_pictures: Pictures, squares: Thumbnails, *, near: bool
) -> str | None:
    """`duplicate`, `alternate`, or None for strangers.

    Whether two pictures are look-alikes hangs on their pixels alone: tags, which may be added to later, decide only
    of which kind. Else a family could part as the dataset grows.
    """
    doubtful = _doubtful(a, b, all_pictures)
    apart = _conflict(a, b, all_pictures) or (doubtful and color > likeness.SAME_SIGNATURE)
    if not near or color > likeness.PERHAPS_SAME or (apart and lines <= likeness.SAME_LINES):
        return "alternate" if lines <= likeness.SAME_LINES else None  # aligning costs milliseconds
    found = alignment.difference(squares.view(a), squares.view(b))
    if not likeness.same_colors(found):
        return "alternate" if lines <= likeness.SAME_LINES else None
    apart = apart or (doubtful and found.spot > likeness.SAME_SPOTS) or _edited(a, b, all_pictures, squares)
    return "alternate" if apart else "duplicate"


def _conflict(a: int, b: int, all_pictures: Pictures) -> bool:
    return likeness.colors_conflict(all_pictures.tags[a], all_pictures.tags[b])


def _doubtful(a: int, b: int, all_pictures: Pictures) -> bool:
    """Whether tags differ, and no lossy encoding explains a difference of pixels: then hardly any is overlooked."""
    one, other = all_pictures.tags[a], all_pictures.tags[b]
    return bool(one and other) and set(one) != set(other) and all_pictures.comparable(a, b)


def _edited(a: int, b: int, all_pictures: Pictures, squares: Thumbnails) -> bool:
    return all_pictures.comparable(a, b) and likeness.edited(squares.color(a), squares.color(b))
