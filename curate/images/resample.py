"""Pictures -> much smaller ones, by pixel area as OpenCV shrinks them, and luma as Pillow takes it; compiled.

Each is as dear as decoding the picture in those libraries. All is done in integers, so that every machine rounds alike.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, floor
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from curate.jit import compiled

Pixels = npt.NDArray[np.uint8]
Weights = npt.NDArray[np.int32]

WEIGHT_BITS = 22  # bits of a weight: 255 times as much still fits 32
MIN_COVERAGE = 1e-3  # OpenCV leaves smaller parts of a pixel out
HALF_TOLERANCE = 1 << (2 * WEIGHT_BITS - 16)  # how far the rounding of weights takes a half, at the most


def resize_by_area(pixels: Pixels, width: int, height: int) -> Pixels:
    """(h, w[, 3]) uint8 -> (height, width[, 3]), each pixel the mean of what it covers: cv2.resize's INTER_AREA.

    Of real art fewer than one byte in 10,000 is rounded otherwise, by one level; it takes a fifth of the time. OpenCV
    itself is asked where it is quick (whole factors), and where a side is to grow.
    """
    high, wide = pixels.shape[:2]
    whole = wide % width == 0 and high % height == 0
    if whole or width > wide or height > high:
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    channels = pixels.shape[2] if pixels.ndim > 2 else 1
    flat = pixels.reshape(high, wide * channels)  # of a trimmed picture, too, without a copy
    found = _resize_by_area(
        flat, channels, *_cached_area_weights(high, height), *_column_weights(wide, width, channels)
    )
    return np.asarray(found.reshape(height, width, *pixels.shape[2:]), np.uint8)


def pillow_luma(rgb: Pixels) -> Pixels:
    """(h, w, 3) uint8 RGB -> (h, w), as Pillow's `convert("L")`; OpenCV's differs in a colour of a thousand.

    Source: Pillow's Convert.c, after ITU-R BT.601.
    """
    found = np.empty(rgb.shape[:2], np.uint8)
    _pillow_luma(np.ascontiguousarray(rgb).reshape(-1), found.reshape(-1))
    return found


def opencv_gray(rgb: Pixels) -> Pixels:
    """The same as OpenCV's `cvtColor` has it, in half its time. Source: OpenCV's color.simd_helpers.hpp."""
    found = np.empty(rgb.shape[:2], np.uint8)
    _opencv_gray(np.ascontiguousarray(rgb).reshape(-1), found.reshape(-1))
    return found


def bounds_darker_than(gray: Pixels, limit: int) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of the box of what is darker in (h, w), the last two exclusive; top = bottom: none."""
    top, left, bottom, right = _bounds_darker_than(np.ascontiguousarray(gray), limit)
    return int(top), int(left), int(bottom), int(right)


@lru_cache(maxsize=1024)
def _cached_area_weights(size: int, count: int) -> tuple[Weights, Weights]:
    spans, weights = _area_weights(size, count)
    return spans, weights


@lru_cache(maxsize=256)
def _column_weights(size: int, count: int, channels: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """`_cover` of the values of a row: where each whole part begins and ends, the values beside it; the weights."""
    spans, weights = _cached_area_weights(size, count)
    first, stop = spans[:, 0], spans[:, 0] + spans[:, 1]
    places = np.stack([first, stop, np.maximum(first - 1, 0), np.minimum(stop, size - 1)])
    values = places[:, :, None] * channels + np.arange(channels)
    return values.reshape(4, -1).astype(np.uint64), np.repeat(weights.T, channels, axis=1).astype(np.int64)


@compiled
def _area_weights(size: int, count: int) -> Any:
    """For each of `count` pixels along a side of `size`: the first it covers whole, and how many; the three weights.

    Of the pixel before those, of each of those, of the pixel after. Source: OpenCV's resize.cpp, computeResizeAreaTab.
    """
    scale = size / count
    spans, weights = np.zeros((count, 2), np.int32), np.zeros((count, 3), np.int32)
    for number in range(count):
        start = number * scale
        stop, cell = start + scale, min(scale, size - start)
        last = min(floor(stop), size - 1)
        first = min(ceil(start), last)
        before = first - start if first - start > MIN_COVERAGE else 0.0
        after = min(stop - last, 1.0, cell) if stop - last > MIN_COVERAGE else 0.0
        spans[number] = first, last - first
        for place, part in enumerate((before, 1.0, after)):
            weights[number, place] = round(part / cell * (1 << WEIGHT_BITS))
    return spans, weights


@compiled
def _resize_by_area(flat: Any, channels: int, rows: Any, row_weights: Any, places: Any, weights: Any) -> Any:
    """Rows are summed first, all columns at once, so that nearly all of the work is adding bytes."""
    width, count = flat.shape[1], places.shape[1]
    found = np.empty((len(rows), count), np.uint8)
    sums, running, totals = np.empty(width, np.int32), np.zeros(width + channels, np.int64), np.empty(count, np.int64)
    some = np.empty(width, np.uint16)
    start, stop, left, right = places
    for row in range(len(rows)):
        _sum_rows(flat, rows[row], row_weights[row], sums, some)
        if channels == 3:
            _prefix_sums_rgb(sums, running)
        else:
            _prefix_sums(sums, running, channels)
        for place in range(count):
            whole = (running[stop[place]] - running[start[place]]) * weights[1, place]
            beside = sums[left[place]] * weights[0, place] + sums[right[place]] * weights[2, place]
            totals[place] = whole + beside
        _round(totals, found[row])
    return found


@compiled
def _sum_rows(flat: Any, span: Any, weights: Any, sums: Any, some: Any) -> None:
    """In 16 bits as long as they hold the sums: twice as many at once."""
    first, count = span
    before, whole, after = weights
    sums[:] = 0
    for block in range(first, first + count, 256):
        some[:] = 0
        for place in range(block, min(block + 256, first + count)):
            line = flat[place]
            for x in range(len(some)):
                some[x] += line[x]
        for x in range(len(sums)):
            sums[x] += np.int32(some[x])
    above, below = flat[max(first - 1, 0)], flat[min(first + count, len(flat) - 1)]
    for x in range(len(sums)):
        sums[x] = np.int32(sums[x] * whole) + np.int32(above[x] * before) + np.int32(below[x] * after)


@compiled
def _prefix_sums_rgb(sums: Any, running: Any) -> None:
    """Running sums of three channels."""
    red = green = blue = np.int64(0)
    for x in range(len(sums) // 3):
        red, green, blue = red + sums[3 * x], green + sums[3 * x + 1], blue + sums[3 * x + 2]
        running[3 * x + 3], running[3 * x + 4], running[3 * x + 5] = red, green, blue


@compiled
def _prefix_sums(sums: Any, running: Any, channels: int) -> None:
    """Running sums of any number of channels, one after another."""
    for channel in range(channels):
        total = np.int64(0)
        for x in range(len(sums) // channels):
            total += sums[x * channels + channel]
            running[(x + 1) * channels + channel] = total


@compiled
def _round(totals: Any, found: Any) -> None:
    """To the nearest, halves to the even one, as floating point does; flat art is full of halves."""
    half = 1 << (2 * WEIGHT_BITS - 1)
    for place in range(len(found)):
        below = totals[place] >> (2 * WEIGHT_BITS)
        beyond = totals[place] - (below << (2 * WEIGHT_BITS)) - half
        up = np.int64(beyond >= HALF_TOLERANCE) | (
            np.int64(beyond > -HALF_TOLERANCE) & below & 1
        )  # of a half, from an odd one alone
        found[place] = np.uint8(below + up)


@compiled
def _pillow_luma(flat: Any, found: Any) -> None:
    """(3 n,) -> (n,), by reference. The weights are written out: compiled so, they are whole vectors of 32 bits."""
    for place in range(len(found)):
        red, green, blue = np.int32(flat[3 * place]), np.int32(flat[3 * place + 1]), np.int32(flat[3 * place + 2])
        found[place] = np.uint8(np.int32(red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)


@compiled
def _opencv_gray(flat: Any, found: Any) -> None:
    for place in range(len(found)):
        red, green, blue = np.int32(flat[3 * place]), np.int32(flat[3 * place + 1]), np.int32(flat[3 * place + 2])
        found[place] = np.uint8(np.int32(red * 9798 + green * 19235 + blue * 3735 + 0x4000) >> 15)


@compiled
def _bounds_darker_than(gray: Any, limit: int) -> Any:
    """Columns are read only as far as they can widen the box."""
    height, width = gray.shape
    top, bottom = 0, height
    while top < height and not _any_darker(gray[top], limit):
        top += 1
    while bottom > top and not _any_darker(gray[bottom - 1], limit):
        bottom -= 1
    left, right = width, 0
    for row in range(top, bottom):
        line = gray[row]
        first, last = 0, width
        while first < left and line[first] >= limit:
            first += 1
        while last > right and line[last - 1] >= limit:
            last -= 1
        left, right = first, last
    return (top, left, bottom, right) if top < bottom else (0, 0, 0, 0)


@compiled
def _any_darker(line: Any, limit: int) -> Any:
    """Whole vectors at once, as no value ends the search."""
    least = np.uint8(255)
    for x in range(len(line)):
        least = min(least, line[x])
    return least < limit
