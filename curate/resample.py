"""Pictures -> much smaller ones, compiled: by pixel area as OpenCV does it, by Lanczos and in luma as Pillow does.

Each is as dear as decoding the picture in those libraries. All is done in integers, so that every machine rounds alike.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, floor, pi, sin
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from curate.compiled import compiled

Pixels = npt.NDArray[np.uint8]
Weights = npt.NDArray[np.int32]

ONE = 22  # bits of a weight: 255 times as much still fits 32
LEAST = 1e-3  # OpenCV leaves smaller parts of a pixel out
TIE = 1 << (2 * ONE - 16)  # how far the rounding of weights takes a half, at the most
LOBES = 3


def area(pixels: Pixels, width: int, height: int) -> Pixels:
    """(h, w[, 3]) uint8 -> (height, width[, 3]), each pixel the mean of what it covers: cv2.resize's INTER_AREA.

    Of real art fewer than one byte in 10,000 is rounded otherwise, by one level; it takes a fifth of the time. OpenCV
    itself is asked where it is quick (whole factors), and where a side is to grow.
    """
    high, wide = pixels.shape[:2]
    whole = wide % width == 0 and high % height == 0
    if whole or width > wide or height > high:
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    channels = pixels.shape[2] if pixels.ndim > 2 else 1
    flat = np.ascontiguousarray(pixels).reshape(high, wide * channels)
    found = _area(flat, channels, *_cover(high, height), *_cover(wide, width))
    return np.asarray(found.reshape(height, width, *pixels.shape[2:]), np.uint8)


def lanczos(luma: Pixels, side: int = 32) -> Pixels:
    """(h, w) uint8 -> (side, side), bit for bit as Pillow's `resize((side, side), LANCZOS)`.

    Source: Pillow's Resample.c: weights of 22 bits, first along rows, then along columns, each rounded to 8 bits. What
    Pillow 13 shrinks in height more than twice as far as in width it takes by columns first: that is left to it.
    """
    flat = np.ascontiguousarray(luma)
    high, wide = flat.shape
    if high > side and high - side > 2 * (wide - side):
        return np.asarray(Image.fromarray(flat).resize((side, side), Image.Resampling.LANCZOS), np.uint8)
    if flat.shape[1] != side:
        flat = _weighed(flat, *_weights(flat.shape[1], side))
    if flat.shape[0] != side:
        flat = np.ascontiguousarray(_weighed(np.ascontiguousarray(flat.T), *_weights(flat.shape[0], side)).T)
    return np.asarray(flat, np.uint8)


def luma(rgb: Pixels) -> Pixels:
    """(h, w, 3) uint8 RGB -> (h, w), as Pillow's `convert("L")`; OpenCV's differs in a colour of a thousand.

    Source: Pillow's Convert.c, after ITU-R BT.601.
    """
    found = np.empty(rgb.shape[:2], np.uint8)
    _luma(np.ascontiguousarray(rgb).reshape(-1, 3), found.reshape(-1))
    return found


def darker_than(gray: Pixels, limit: int) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of the box of what is darker in (h, w), the last two exclusive; top = bottom: none."""
    top, left, bottom, right = _darker_than(np.ascontiguousarray(gray), limit)
    return int(top), int(left), int(bottom), int(right)


@lru_cache(maxsize=4096)
def _cover(size: int, count: int) -> tuple[Weights, Weights]:
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
        before = first - start if first - start > LEAST else 0.0
        after = min(stop - last, 1.0, cell) if stop - last > LEAST else 0.0
        spans[number] = first, last - first
        weights[number] = [round(part / cell * (1 << ONE)) for part in (before, 1.0, after)]
    return spans, weights


@compiled
def _area(flat: Any, channels: int, rows: Any, row_weights: Any, columns: Any, column_weights: Any) -> Any:
    """Rows are summed first, all columns at once, so that nearly all of the work is adding bytes."""
    found = np.empty((len(rows), len(columns) * channels), np.uint8)
    width = flat.shape[1]
    sums, running = np.empty(width, np.int32), np.zeros(width + channels, np.int64)
    for row in range(len(rows)):
        _sum_rows(flat, rows[row], row_weights[row], sums)
        for x in range(width):
            running[x + channels] = running[x] + sums[x]
        for column in range(len(columns)):
            start, stop = columns[column, 0] * channels, (columns[column, 0] + columns[column, 1]) * channels
            left, right = max(start - channels, 0), min(stop, width - channels)
            for channel in range(channels):
                total = (running[stop + channel] - running[start + channel]) * column_weights[column, 1]
                total += np.int64(sums[left + channel]) * column_weights[column, 0]
                total += np.int64(sums[right + channel]) * column_weights[column, 2]
                found[row, column * channels + channel] = _rounded(total)
    return found


@compiled
def _rounded(total: Any) -> Any:
    """To the nearest, halves to the even one, as floating point does; flat art is full of halves."""
    half = 1 << (2 * ONE - 1)
    below = total >> (2 * ONE)
    beyond = total - (below << (2 * ONE)) - half
    if abs(beyond) < TIE:
        return below + (below & 1)
    return below + 1 if beyond > 0 else below


@compiled
def _sum_rows(flat: Any, span: Any, weights: Any, sums: Any) -> None:
    first, count = span
    before, whole, after = weights
    sums[:] = 0
    for place in range(first, first + count):
        line = flat[place]
        for x in range(len(sums)):
            sums[x] += np.int32(line[x])
    above, below = flat[max(first - 1, 0)], flat[min(first + count, len(flat) - 1)]
    for x in range(len(sums)):
        sums[x] = np.int32(sums[x] * whole) + np.int32(above[x] * before) + np.int32(below[x] * after)


@lru_cache(maxsize=1024)
def _weights(size: int, count: int) -> tuple[Weights, Weights]:
    spans, weights = _lobes(size, count)
    return spans, weights  # small sizes come back with every picture


@compiled
def _lobe(x: float) -> float:
    """Lanczos's windowed sinc of three lobes."""
    if x == 0:
        return 1.0
    if not -LOBES <= x < LOBES:
        return 0.0
    return sin(pi * x) / (pi * x) * (sin(pi * x / LOBES) / (pi * x / LOBES))


@compiled
def _lobes(size: int, count: int) -> Any:
    """For each of `count` pixels along a side of `size`: first and number of those that it weighs; the weights."""
    scale = size / count
    wide = max(scale, 1.0)
    reach = LOBES * wide
    spans = np.zeros((count, 2), np.int32)
    weights = np.zeros((count, 2 * ceil(reach) + 1), np.int32)
    found = np.empty(weights.shape[1])
    for number in range(count):
        center = (number + 0.5) * scale
        first, last = max(0, int(center - reach + 0.5)), min(size, int(center + reach + 0.5))
        total = 0.0
        for place in range(last - first):
            found[place] = _lobe((place + first - center + 0.5) * (1 / wide))
            total += found[place]
        spans[number] = first, last - first
        for place in range(last - first):
            value = found[place] / total * (1 << ONE)
            weights[number, place] = int(value - 0.5) if value < 0 else int(value + 0.5)
    return spans, weights


@compiled
def _weighed(flat: Any, spans: Any, weights: Any) -> Any:
    """(h, w) -> (h, count): every row weighed, rounded and cut to 8 bits."""
    found = np.empty((len(flat), len(spans)), np.uint8)
    wide = np.empty(flat.shape[1], np.int32)
    for row in range(len(flat)):
        wide[:] = flat[row]
        for number in range(len(spans)):
            first, count = spans[number]
            under, by = wide[first : first + count], weights[number, :count]  # indices known to be valid: quicker
            total = np.int32(0)
            for place in range(count):
                total = np.int32(total + np.int32(under[place] * by[place]))
            found[row, number] = max(0, min(255, int((np.int64(total) + (1 << (ONE - 1))) >> ONE)))
    return found


@compiled
def _luma(flat: Any, found: Any) -> None:
    """(n, 3) -> (n,), by reference."""
    for place in range(len(found)):
        red, green, blue = np.int32(flat[place, 0]), np.int32(flat[place, 1]), np.int32(flat[place, 2])
        found[place] = np.uint8(np.int32(red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)


@compiled
def _darker_than(gray: Any, limit: int) -> Any:
    """Rows are read only as far as they can widen the box."""
    height, width = gray.shape
    top, left, bottom, right = height, width, 0, 0
    for row in range(height):
        line = gray[row]
        first = 0
        while first < width and line[first] >= limit:
            first += 1
        if first == width:
            continue
        last = width
        while last > right and line[last - 1] >= limit:
            last -= 1
        top, bottom = min(top, row), row + 1
        left, right = min(left, first), max(right, last)
    return (top, left, bottom, right) if bottom else (0, 0, 0, 0)
