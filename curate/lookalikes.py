"""Pictures -> verified pairs of look-alikes.

Four searches propose (picture, line art, silhouette, edges of colour), a second look decides.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from curate import alignment, hamming, likeness, phash, progress
from curate.hamming import Mask
from curate.pictures import Pictures
from curate.strokes import line_difference
from curate.thumbnails import Thumbnails
from curate.variants import VARIANTS

LOOK = 4  # of another number, edges were verified in another way and are looked at again
# bits; on OpenMoji the silhouette alone proposes 99.9 % of a tone family's pairs within it, the line art 82 %
LINE_RADIUS = 6
BLOCK = 4096  # candidate pairs looked at between two steps of the progress bar


class Edge(NamedTuple):
    """Two pictures that look alike, by index a < b; `kind` is duplicate (same colours) or alternate (same lines)."""

    a: int
    b: int
    kind: str
    distance: int
    """Bits between the hashes of the trimmed pictures."""
    color_distance: float
    line_difference: float


def find(
    squares: Thumbnails, all_pictures: Pictures, max_distance: int, fresh: Mask | None = None
) -> dict[tuple[int, int], Edge]:
    """Every verified look-alike pair by its two indices. A duplicate is within `max_distance` bits, of one colouring.

    With `fresh`, a (n,) mask, only the pairs of which either is fresh: the others have been looked at before.
    """
    fresh = np.ones(len(all_pictures.ids), np.bool_) if fresh is None else fresh
    radii = {"trimmed": max_distance, "line": LINE_RADIUS, "outline": LINE_RADIUS, "edge": LINE_RADIUS}
    found = [_search(all_pictures.hashes[name], radius, fresh) for name, radius in radii.items()]
    candidates = np.unique(np.concatenate(found), axis=0)
    cv2.setNumThreads(1)  # on pictures this small threads cost more than they do
    edges: dict[tuple[int, int], Edge] = {}
    with progress.bar("dedupe", len(candidates)) as bar:
        for block in np.split(candidates, range(BLOCK, len(candidates), BLOCK)):
            looks = _second_look(block, all_pictures, squares, max_distance)
            edges |= {(edge.a, edge.b): edge for edge in looks}
            bar.advance(len(block))
    return edges | _turned(squares, all_pictures, max_distance, fresh, edges)


def find_copies(
    squares: Thumbnails, all_pictures: Pictures, max_distance: int, ours: Mask
) -> dict[tuple[int, int], Edge]:
    """The duplicates among the pairs of one of `ours`, a (n,) mask, and another's; recolours are not sought."""
    cv2.setNumThreads(1)
    candidates = _search(all_pictures.hashes["trimmed"], max_distance, ours)
    across = candidates[ours[candidates].sum(axis=1) == 1]
    edges = {(edge.a, edge.b): edge for edge in _second_look(across, all_pictures, squares, max_distance)}
    edges |= _turned(squares, all_pictures, max_distance, ours, edges, across=True)
    return {pair: edge for pair, edge in edges.items() if edge.kind == "duplicate"}


def _search(hashes: list[str | None], radius: int, fresh: Mask) -> hamming.Pairs:
    told = np.array([number for number, one in enumerate(hashes) if one is not None], np.int64)
    pairs = hamming.near_pairs(hamming.parse([one for one in hashes if one is not None]), radius, fresh[told])
    return told[pairs].reshape(-1, 2)


def _turned(
    squares: Thumbnails,
    all_pictures: Pictures,
    max_distance: int,
    fresh: Mask,
    edges: dict[tuple[int, int], Edge],
    *,
    across: bool = False,
) -> dict[tuple[int, int], Edge]:
    """Edges of copies that lie otherwise, where `edges` knows of none as good; `across`: of one fresh alone."""
    found: dict[tuple[int, int], Edge] = {}
    for a, b, variant in _search_variants(all_pictures, max_distance, fresh):
        before = found.get((a, b), edges.get((a, b)))
        if (before is not None and before.kind == "duplicate") or (across and fresh[a] == fresh[b]):
            continue
        edge = _look_at_variant(a, b, variant, all_pictures, squares)
        if edge is not None and (before is None or edge.kind == "duplicate"):
            found[a, b] = edge
    return found


def _search_variants(all_pictures: Pictures, radius: int, fresh: Mask) -> list[tuple[int, int, int]]:
    """(a, b, variant): a < b, one picture near a variant of the other; a negative number says that it is a's."""
    told = [number for number, hashes in enumerate(all_pictures.variants) if hashes]
    if not told:
        return []
    table = np.array([all_pictures.variants[number] for number in told], np.uint64)
    sought = np.tile(fresh[told], 2)
    found = set()
    for variant in range(1, table.shape[1]):
        pairs = hamming.near_pairs(np.concatenate([table[:, 0], table[:, variant]]), radius, sought)
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
    found, lines = alignment.difference(alignment.view(one), alignment.view(other)), _lines(a, b, squares)
    if not likeness.same_colors(found) or not likeness.same_strokes(lines, found):
        return None
    # slanting blurs: a playing card of another suit would pass for a copy, had it not most pixels in their places
    apart = _conflict(a, b, all_pictures) or _doubtful(a, b, all_pictures) or _edited(a, b, all_pictures, squares)
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
    drawn = line_difference(squares.sketch(a), squares.sketch(b))
    if drawn <= likeness.SAME_LINES:
        return drawn
    return min(drawn, line_difference(squares.edges(a), squares.edges(b)))


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
    if not likeness.same_colors(found) or not likeness.same_strokes(lines, found):
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
