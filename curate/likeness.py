"""A second look at two pictures whose hashes are close: same picture, same lines in other colours, or strangers."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from curate.decode import Rgb
from curate.lineart import Gray
from curate.phash import drawn_box
from curate.square import WHITE
from curate.tags import split_color

# Largest CIELAB difference over the 8x8 colour signature: a quick no. On OpenMoji half-size JPEG 40 copies stay at 5.1
# or less in 98 of 100 pairs.
SAME_COLORS = 6.0
# Largest CIELAB difference of a cell of a 32x32 thumbnail to the nearest cell around its place. Copies: JPEG 40 at 7.8
# or less in 95 of 100 pairs, half-size JPEG 75 at 9.8 in 90. Another tone of one small face: 12.2 at least.
SAME_DETAIL = 12.0
# Ink of either drawing that the other has not, as a share of the lesser drawing's ink. On OpenMoji's tone families
# (same lines by construction) 99.7 % of pairs stay below.
SAME_LINES = 0.09

THUMBNAIL = 32  # cells a side
BORDER_SLACK = 2  # px
UNTOUCHED = 0.3  # share of drawn pixels
_NEAR = np.ones((3, 3), np.uint8)
_THICK = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
_RING = np.ones((5, 5), np.uint8)


def color_distance(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Largest CIELAB difference (CIE 1976) between colour signatures (n, 192), cell by cell: (n,)."""
    cells = (one - other).reshape(len(one), one.shape[1] // 3, 3)
    return np.asarray(np.linalg.norm(cells, axis=2).max(axis=1, initial=0), np.float32)


def detail_distance(one: Rgb, other: Rgb) -> float:
    """Largest CIELAB difference between two pairs' colours (size, size, 3), cell by cell of a 32x32 grid.

    Borders are trimmed, and edges may lie one cell off, as they do after a resize. Where the borders differ by a
    pixel or two, which re-encoding does, both are trimmed alike.
    """
    boxes = np.array([drawn_box(one), drawn_box(other)])
    if np.abs(boxes[0] - boxes[1]).max() <= BORDER_SLACK:
        boxes[:] = [*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)]
    a, b = (_thumbnail(square, box) for square, box in zip((one, other), boxes.tolist(), strict=True))
    return max(_to_nearest(a, b), _to_nearest(b, a))


def _thumbnail(square: Rgb, box: list[int]) -> npt.NDArray[np.float32]:
    top, left, bottom, right = box
    small = cv2.resize(square[top:bottom, left:right], (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), np.float32)


def _to_nearest(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    padded = cv2.copyMakeBorder(other, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    shifts = [padded[y : y + THUMBNAIL, x : x + THUMBNAIL] for y in range(3) for x in range(3)]
    nearest = np.min([np.linalg.norm(one - shifted, axis=2) for shifted in shifts], axis=0)
    return float(nearest.max())


def edited(one: Rgb, other: Rgb) -> bool:
    """Whether one square (size, size, 3) is the other with something changed by hand.

    An edit leaves most drawn pixels exactly as they were, which no re-encoding does. Ask it of lossless files only:
    a good JPEG leaves flat areas alone too.
    """
    drawn = (one < WHITE).any(axis=2) | (other < WHITE).any(axis=2)
    equal = (one == other).all(axis=2)
    return bool(not equal.all() and equal[drawn].mean() > UNTOUCHED)


def line_difference(one: Gray, other: Gray) -> float:
    """How unlike two ink masks (height, width; 0 = ink) are: 0 for the same strokes.

    Strokes may lie 1 px off. A solid fill that the other drawing only outlines (black hair beside blond hair) is no
    difference: a thick region counts only where its rim is not drawn in the other.
    """
    a, b = (one == 0).astype(np.uint8), (other == 0).astype(np.uint8)
    least = min(int(a.sum()), int(b.sum()))
    if least == 0:
        return float("inf")
    return (_undrawn(a, cv2.dilate(b, _NEAR)) + _undrawn(b, cv2.dilate(a, _NEAR))) / least


def _undrawn(ink: npt.NDArray[np.uint8], other: npt.ArrayLike) -> int:
    """Ink pixels that have no counterpart in `other` (already widened), fills that it outlines left out."""
    near = np.asarray(other, np.uint8)
    extra = ink & (1 - near)
    thick = cv2.morphologyEx(extra, cv2.MORPH_OPEN, _THICK)
    if not thick.any():
        return int(extra.sum())
    outlined = np.zeros_like(extra)
    regions, labels = cv2.connectedComponents(thick)
    for region in range(1, regions):
        inside = (labels == region).astype(np.uint8)
        rim = np.asarray(cv2.dilate(inside, _RING), np.uint8) & (1 - inside)
        if 2 * int((rim & near).sum()) >= int(rim.sum()):
            outlined |= inside
    return int((extra & (1 - np.asarray(cv2.dilate(outlined, _THICK), np.uint8))).sum())


def colors_conflict(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether tags give one noun two colours: blue_hair and red_hair. Such pictures are never duplicates.

    A small recoloured area (a face in a bed) changes the colour signature less than JPEG does; its tags tell.
    """
    colors = [_colors(tags) for tags in (one, other)]
    return any(not colors[0][noun] & colors[1][noun] for noun in colors[0].keys() & colors[1].keys())


def _colors(tags: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for tag in tags:
        if pair := split_color(tag):
            found.setdefault(pair[1], set()).add(pair[0])
    return found
