"""Luma -> 32 px a side by Lanczos, bit for bit as Pillow does it, compiled: the perceptual hash begins with it."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, pi, sin
from typing import Any

import numpy as np
from PIL import Image

from curate.images.resample import WEIGHT_BITS, Pixels, Weights
from curate.jit import compiled

LOBES = 3
WEIGHTS_MULTIPLE = (
    32  # weights are filled up to a multiple with zeros: what is left of a vector would be done one by one
)


def resize_lanczos(luma: Pixels, side: int = 32) -> Pixels:
    """(h, w) uint8 -> (side, side), bit for bit as Pillow's `resize((side, side), LANCZOS)`.

    Source: Pillow's Resample.c: weights of 22 bits, first along rows, then along columns, each rounded to 8 bits. What
    Pillow 13 shrinks in height more than twice as far as in width it takes by columns first: that is left to it.
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
    weights = np.zeros(
        (count, (2 * ceil(reach) + 1 + WEIGHTS_MULTIPLE - 1) // WEIGHTS_MULTIPLE * WEIGHTS_MULTIPLE), np.int32
    )
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
            value = found[place] / total * (1 << WEIGHT_BITS)
            weights[number, place] = int(value - 0.5) if value < 0 else int(value + 0.5)
    return spans, weights


@compiled
def _weighed_rows(flat: Any, spans: Any, weights: Any) -> Any:
    """(h, w) -> (h, count): every row weighed, rounded and cut to 8 bits."""
    found = np.empty((len(flat), len(spans)), np.uint8)
    wide = np.zeros(flat.shape[1] + weights.shape[1], np.int32)
    for row in range(len(flat)):
        for x in range(flat.shape[1]):
            wide[x] = flat[row, x]
        for number in range(len(spans)):
            under, by = wide[spans[number, 0] : spans[number, 0] + weights.shape[1]], weights[number]
            total = np.int32(0)
            for place in range(len(by)):
                total = np.int32(total + np.int32(under[place] * by[place]))
            found[row, number] = _round_to_byte(total)
    return found


@compiled
def _weighed_columns(flat: Any, spans: Any, weights: Any) -> Any:
    """(h, w) -> (count, w): every column, all at once."""
    found, totals = np.empty((len(spans), flat.shape[1]), np.uint8), np.empty(flat.shape[1], np.int32)
    for number in range(len(spans)):
        first, count = spans[number]
        totals[:] = 0
        for place in range(count):
            line, by = flat[first + place], weights[number, place]
            for x in range(len(totals)):
                totals[x] += np.int32(line[x] * by)
        for x in range(len(totals)):
            found[number, x] = _round_to_byte(totals[x])
    return found


@compiled
def _round_to_byte(total: Any) -> Any:
    return max(0, min(255, int((np.int64(total) + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS)))
