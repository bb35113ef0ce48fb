"""A compiled version of Pillow's Lanczos resize, equal bit for bit: the first step of the perceptual hash."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, pi, sin
from typing import Any

import numpy as np
from PIL import Image

from curate.images.array_types import Gray
from curate.images.resample import WEIGHT_BITS, Weights
from curate.jit import compiled

LOBES = 3
WEIGHTS_MULTIPLE = 32  # weights are padded with zeros to a multiple of it, as a partly filled vector is slow


def resize_lanczos(luma: Gray, side: int = 32) -> Gray:
    """Resize (h, w) to (side, side), equal to Pillow's `resize((side, side), LANCZOS)` bit for bit.

    Source: Pillow's Resample.c: weights of 22 bits, along rows and then along columns, rounded to 8 bits after each.
    Pillow 13 resizes columns first if it shrinks the height more than twice as far as the width; such pictures are
    left to Pillow.
    """
    resized = np.ascontiguousarray(luma)
    height, width = resized.shape
    if height > side and height - side > 2 * (width - side):
        return np.asarray(Image.fromarray(resized).resize((side, side), Image.Resampling.LANCZOS), np.uint8)
    if width != side:
        resized = _resize_rows(resized, *_cached_lobes(width, side))
    if height != side:
        resized = _resize_columns(resized, *_cached_lobes(height, side))
    return np.asarray(resized, np.uint8)


@lru_cache(maxsize=256)  # the same small sizes recur with every picture
def _cached_lobes(size: int, count: int) -> tuple[Weights, Weights]:
    spans, weights = _lobes(size, count)
    return spans, weights


@compiled
def _lobe(x: float) -> float:
    """Lanczos's windowed sinc with three lobes."""
    if x == 0:
        return 1.0
    if not -LOBES <= x < LOBES:
        return 0.0
    return sin(pi * x) / (pi * x) * (sin(pi * x / LOBES) / (pi * x / LOBES))


@compiled
def _lobes(size: int, count: int) -> Any:
    """Weights that resize a side of `size` px to `count` px.

    Returns (count, 2): the first px that each result weighs, and how many; and (count, n): their weights.
    """
    scale = size / count
    stretch = max(scale, 1.0)
    support = LOBES * stretch
    spans = np.zeros((count, 2), np.int32)
    weight_count = (2 * ceil(support) + 1 + WEIGHTS_MULTIPLE - 1) // WEIGHTS_MULTIPLE * WEIGHTS_MULTIPLE
    weights = np.zeros((count, weight_count), np.int32)
    lobes = np.empty(weight_count)
    for number in range(count):
        center = (number + 0.5) * scale
        first, last = max(0, int(center - support + 0.5)), min(size, int(center + support + 0.5))
        total = 0.0
        for place in range(last - first):
            lobes[place] = _lobe((place + first - center + 0.5) * (1 / stretch))
            total += lobes[place]
        spans[number] = first, last - first
        for place in range(last - first):
            value = lobes[place] / total * (1 << WEIGHT_BITS)
            weights[number, place] = int(value - 0.5) if value < 0 else int(value + 0.5)
    return spans, weights


@compiled
def _resize_rows(pixels: Any, spans: Any, weights: Any) -> Any:
    """Resize rows, (h, w) -> (h, count), rounded and clipped to 8 bits."""
    resized = np.empty((len(pixels), len(spans)), np.uint8)
    padded = np.zeros(pixels.shape[1] + weights.shape[1], np.int32)
    for row in range(len(pixels)):
        for x in range(pixels.shape[1]):
            padded[x] = pixels[row, x]
        for number in range(len(spans)):
            window, window_weights = padded[spans[number, 0] : spans[number, 0] + weights.shape[1]], weights[number]
            total = np.int32(0)
            for place in range(len(window_weights)):
                total = np.int32(total + np.int32(window[place] * window_weights[place]))
            resized[row, number] = _round_to_byte(total)
    return resized


@compiled
def _resize_columns(pixels: Any, spans: Any, weights: Any) -> Any:
    """Resize columns, (h, w) -> (count, w), all of them at once."""
    resized, totals = np.empty((len(spans), pixels.shape[1]), np.uint8), np.empty(pixels.shape[1], np.int32)
    for number in range(len(spans)):
        first, count = spans[number]
        totals[:] = 0
        for place in range(count):
            line, weight = pixels[first + place], weights[number, place]
            for x in range(len(totals)):
                totals[x] += np.int32(line[x] * weight)
        for x in range(len(totals)):
            resized[number, x] = _round_to_byte(totals[x])
    return resized


@compiled
def _round_to_byte(total: Any) -> Any:
    return max(0, min(255, int((np.int64(total) + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS)))
