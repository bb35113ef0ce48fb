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
WEIGHTS_MULTIPLE = 32  # weights are padded with zeros to a multiple, as a partly filled vector is slow


def resize_lanczos(luma: Gray, side: int = 32) -> Gray:
    """Resize (h, w) to (side, side), equal to Pillow's `resize((side, side), LANCZOS)` bit for bit.

    Source: Pillow's Resample.c: weights of 22 bits, along rows and then along columns, rounded to 8 bits after each.
    Pillow 13 resizes columns first if it shrinks the height more than twice as far as the width; it does those itself.
    """
    flat = np.ascontiguousarray(luma)
    high, wide = flat.shape
    if high > side and high - side > 2 * (wide - side):
        return np.asarray(Image.fromarray(flat).resize((side, side), Image.Resampling.LANCZOS), np.uint8)
    if wide != side:
        flat = _weighed_rows(flat, *_weights(wide, side))
    return np.asarray(flat if high == side else _weighed_columns(flat, *_weights(high, side)), np.uint8)


@lru_cache(maxsize=256)
def _weights(size: int, count: int) -> tuple[Weights, Weights]:
    spans, weights = _lobes(size, count)
    return spans, weights  # the same small sizes recur with every picture


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
    """For each of `count` px along a side of `size` px: (count, 2) the first px it weighs and how many; the weights."""
    scale = size / count
    wide = max(scale, 1.0)
    reach = LOBES * wide
    spans = np.zeros((count, 2), np.int32)
    weights = np.zeros(
        (count, (2 * ceil(reach) + 1 + WEIGHTS_MULTIPLE - 1) // WEIGHTS_MULTIPLE * WEIGHTS_MULTIPLE), np.int32
    )
    lobes = np.empty(weights.shape[1])
    for number in range(count):
        center = (number + 0.5) * scale
        first, last = max(0, int(center - reach + 0.5)), min(size, int(center + reach + 0.5))
        total = 0.0
        for place in range(last - first):
            lobes[place] = _lobe((place + first - center + 0.5) * (1 / wide))
            total += lobes[place]
        spans[number] = first, last - first
        for place in range(last - first):
            value = lobes[place] / total * (1 << WEIGHT_BITS)
            weights[number, place] = int(value - 0.5) if value < 0 else int(value + 0.5)
    return spans, weights


@compiled
def _weighed_rows(flat: Any, spans: Any, weights: Any) -> Any:
    """Resize rows, (h, w) -> (h, count), rounded and clipped to 8 bits."""
    resized = np.empty((len(flat), len(spans)), np.uint8)
    wide = np.zeros(flat.shape[1] + weights.shape[1], np.int32)
    for row in range(len(flat)):
        for x in range(flat.shape[1]):
            wide[x] = flat[row, x]
        for number in range(len(spans)):
            under, by = wide[spans[number, 0] : spans[number, 0] + weights.shape[1]], weights[number]
            total = np.int32(0)
            for place in range(len(by)):
                total = np.int32(total + np.int32(under[place] * by[place]))
            resized[row, number] = _round_to_byte(total)
    return resized


@compiled
def _weighed_columns(flat: Any, spans: Any, weights: Any) -> Any:
    """Resize columns, (h, w) -> (count, w), all of them at once."""
    resized, totals = np.empty((len(spans), flat.shape[1]), np.uint8), np.empty(flat.shape[1], np.int32)
    for number in range(len(spans)):
        first, count = spans[number]
        totals[:] = 0
        for place in range(count):
            line, by = flat[first + place], weights[number, place]
            for x in range(len(totals)):
                totals[x] += np.int32(line[x] * by)
        for x in range(len(totals)):
            resized[number, x] = _round_to_byte(totals[x])
    return resized


@compiled
def _round_to_byte(total: Any) -> Any:
    return max(0, min(255, int((np.int64(total) + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS)))
