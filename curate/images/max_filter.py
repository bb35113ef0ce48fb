"""Pictures -> the brightest or the darkest pixel around each, as OpenCV's `dilate` and `erode` by a square; compiled.

OpenCV's time grows with the square, and line art takes large ones: of 41 px this takes less than a third of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.images.arrays import Gray
from curate.jit import compiled


def maximum_filter(gray: Gray, radius: int, out: Gray | None = None) -> Gray:
    """(h, w) uint8 -> (h, w): the largest value within `radius` px along both sides; what is outside does not count.

    `out`, another (h, w) uint8 array, is written and given back. Raises ValueError for one of another shape.
    """
    return _extremes(gray, radius, 0, out)


def minimum_filter(gray: Gray, radius: int, out: Gray | None = None) -> Gray:
    """The smallest value, likewise."""
    return _extremes(gray, radius, 255, out)


def _extremes(gray: Gray, radius: int, flip: int, out: Gray | None) -> Gray:
    """The smallest value is the largest of what is turned over: x XOR 255."""
    source = np.ascontiguousarray(gray)
    found = np.empty_like(source) if out is None else out
    if found.shape != source.shape or found is gray:
        raise ValueError(f"out has to be another array of the shape {source.shape}. Received: out={found.shape}")
    _largest(source, np.int64(radius), np.uint8(flip), found)
    return found


@compiled
def _largest(gray: Any, radius: int, flip: Any, found: Any) -> None:
    """Down the columns by blocks of as many rows as the window has, whole rows at once; then along each row.

    Of a window, what lies in the block where it begins is known by the running maximum up from that block's end, what
    lies in the next by the one down from its beginning. Source: van Herk, "A fast algorithm for local minimum and
    maximum filters on rectangular and octagonal kernels" (Pattern Recognition Letters 13, 1992).
    """
    height, width = gray.shape
    side = 2 * radius + 1
    up, down = np.empty((side, width), np.uint8), np.empty(width, np.uint8)
    rows, other = np.zeros((side, width + 2 * radius), np.uint8), np.empty(side * (width + 2 * radius), np.uint8)
    for top in range(-radius, height - radius, side):
        count = min(side, height - radius - top)
        _block_maxima_up(gray, top, flip, up)
        _window_maxima_down(gray, top + side, flip, up[:count], down, rows[:, radius:])
        _row_window_maxima(rows.reshape(-1), other, side, flip, found[top + radius : top + radius + count])
        rows[:, :radius], rows[:, radius + width :] = 0, 0


@compiled
def _block_maxima_up(gray: Any, top: int, flip: Any, up: Any) -> None:
    """(side, width): the largest of a row and of those below it, of the rows from `top` on; outside is 0, the least."""
    up[-1] = 0
    for place in range(len(up) - 1, -1, -1):
        most = up[place]
        if 0 <= top + place < len(gray):
            line = gray[top + place]
            for x in range(len(line)):
                most[x] = max(most[x], np.uint8(line[x] ^ flip))
        if place:
            up[place - 1] = most


@compiled
def _window_maxima_down(gray: Any, top: int, flip: Any, up: Any, down: Any, rows: Any) -> None:
    """The largest of each window's rows: of those in its own block, and of those from the next one's `top` on."""
    down[:] = 0
    for place in range(len(up)):
        most, found = up[place], rows[place]
        if 0 < place <= len(gray) - top:
            line = gray[top + place - 1]
            for x in range(len(line)):
                down[x] = max(down[x], np.uint8(line[x] ^ flip))
        for x in range(len(most)):
            found[x] = max(most[x], down[x])


@compiled
def _row_window_maxima(rows: Any, other: Any, side: int, flip: Any, found: Any) -> None:
    """Windows of 1, 2, 4 ... pixels, each of two of half the width; the last two overlap to `side`. All is used up.

    Rows lie one after another, with zeros between them, so that all are done at once.
    """
    one, two, wide = rows, other, 1
    while 2 * wide <= side:
        ahead = one[wide:]
        for x in range(len(ahead)):
            two[x] = max(one[x], ahead[x])
        one, two, wide = two, one, 2 * wide
    across = found.shape[1] + side - 1
    for row in range(len(found)):
        first, last, line = one[row * across :], one[row * across + side - wide :], found[row]
        for x in range(len(line)):
            line[x] = np.uint8(max(first[x], last[x]) ^ flip)
