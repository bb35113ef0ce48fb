"""Maximum and minimum filters over a square, equal to OpenCV's `dilate` and `erode`; compiled.

OpenCV's time grows with the square, and line art takes large ones. On JPEGs of 1.5 megapixels `contour` takes 10 ms
with these filters, 19 ms with cv2.dilate, and 13.5 to 16 ms with windows doubled by cv2.max.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.images.array_types import Gray
from curate.jit import compiled


def maximum_filter(gray: Gray, radius: int, out: Gray | None = None) -> Gray:
    """The largest value within `radius` px of each pixel, along both axes and inside the picture.

    The result is written to `out`, if given: another (h, w) uint8 array. Raises ValueError if its shape differs.
    """
    return _extremes(gray, radius, 0, out)


def minimum_filter(gray: Gray, radius: int, out: Gray | None = None) -> Gray:
    """The smallest value within `radius` px of each pixel; otherwise as `maximum_filter`."""
    return _extremes(gray, radius, 255, out)


def _extremes(gray: Gray, radius: int, flip: int, out: Gray | None) -> Gray:
    """The maximum filter if `flip` is 0; the minimum filter if it is 255, as the maximum of x XOR 255."""
    source = np.ascontiguousarray(gray)
    filtered = np.empty_like(source) if out is None else out
    if filtered.shape != source.shape or filtered is gray:
        raise ValueError(f"out must be another array of the shape {source.shape}. Received: out={filtered.shape}")
    _maximum(source, np.int64(radius), np.uint8(flip), filtered)
    return filtered


@compiled
def _maximum(gray: Any, radius: int, flip: Any, filtered: Any) -> None:
    """Filter the columns by blocks of as many rows as the window has, whole rows at once; then filter each row.

    A window covers the end of one block and the beginning of the next. The running maximum up from the end of the
    first block gives the first part, the running maximum down from the beginning of the second block the rest. Source:
    van Herk, "A fast algorithm for local minimum and maximum filters on rectangular and octagonal kernels" (Pattern
    Recognition Letters 13, 1992).
    """
    height, width = gray.shape
    side = 2 * radius + 1
    up, down = np.empty((side, width), np.uint8), np.empty(width, np.uint8)
    rows, scratch = np.zeros((side, width + 2 * radius), np.uint8), np.empty(side * (width + 2 * radius), np.uint8)
    for top in range(-radius, height - radius, side):
        count = min(side, height - radius - top)
        _block_maxima_up(gray, top, flip, up)
        _window_maxima_down(gray, top + side, flip, up[:count], down, rows[:, radius:])
        _row_window_maxima(rows.reshape(-1), scratch, side, flip, filtered[top + radius : top + radius + count])
        rows[:, :radius], rows[:, radius + width :] = 0, 0


@compiled
def _block_maxima_up(gray: Any, top: int, flip: Any, up: Any) -> None:
    """Fill `up` (side, width): the largest of each row of the block at `top` and of the rows below it; outside is 0."""
    up[-1] = 0
    for place in range(len(up) - 1, -1, -1):
        maxima = up[place]
        if 0 <= top + place < len(gray):
            line = gray[top + place]
            for x in range(len(line)):
                maxima[x] = max(maxima[x], np.uint8(line[x] ^ flip))
        if place:
            up[place - 1] = maxima


@compiled
def _window_maxima_down(gray: Any, top: int, flip: Any, up: Any, down: Any, rows: Any) -> None:
    """Fill `rows` with the column maxima of each window: `up` of its first block, and down from `top` of the next."""
    down[:] = 0
    for place in range(len(up)):
        maxima, row = up[place], rows[place]
        if 0 < place <= len(gray) - top:
            line = gray[top + place - 1]
            for x in range(len(line)):
                down[x] = max(down[x], np.uint8(line[x] ^ flip))
        for x in range(len(maxima)):
            row[x] = max(maxima[x], down[x])


@compiled
def _row_window_maxima(rows: Any, scratch: Any, side: int, flip: Any, filtered: Any) -> None:
    """Maxima along rows of windows of 1, 2, 4 ... px, each from two of half the width; the last two overlap to `side`.

    Rows lie one after another with zeros between them, so that all are done at once. Overwrites `rows` and `scratch`.
    """
    maxima, doubled, window = rows, scratch, 1
    while 2 * window <= side:
        ahead = maxima[window:]
        for x in range(len(ahead)):
            doubled[x] = max(maxima[x], ahead[x])
        maxima, doubled, window = doubled, maxima, 2 * window
    row_length = filtered.shape[1] + side - 1
    for row in range(len(filtered)):
        start = row * row_length
        first, last, line = maxima[start:], maxima[start + side - window :], filtered[row]
        for x in range(len(line)):
            line[x] = np.uint8(max(first[x], last[x]) ^ flip)
