"""Pictures turned, enlarged, stretched and moved: where each pixel comes from, and pictures made so.

In NumPy, on a picture at a time: places and weights are told once for all its channels, and stay in the cache. It is
TensorFlow's ImageProjectiveTransformV3 to the last bit, which tells them again for each channel.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import tensorflow as tf

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

TURN, GROWTH, STRETCH = math.radians(10), 0.15, 0.1  # of the strongest jitter
SHIFT = 0.08  # of the side, in the same
INK = np.arange(256, dtype=np.float32) / np.float32(127.5) - 1 - 1  # of bytes: 0 for white, -2 for black
EDGE = 2  # px of white around a picture: what lies further off is as white as these


def maps(draws: Any, size: int, share: float) -> Any:
    """(b, 5) draws in [-1, 1) -> (b, 6) a, b, x, c, d, y: new pixel (p, q) is from (ap + bq + x, cp + dq + y).

    They move by at most `share` of the most: 10 degrees, e^±0.15, e^±0.1 in height against width, and 8 % of the side
    either way. TensorFlow's tensors.
    """
    turn, growth, stretch, right, down = tf.unstack(share * draws, axis=1)
    wide, high = tf.exp(GROWTH * growth + STRETCH * stretch), tf.exp(GROWTH * growth - STRETCH * stretch)
    a, b = wide * tf.cos(TURN * turn), -high * tf.sin(TURN * turn)
    c, d = wide * tf.sin(TURN * turn), high * tf.cos(TURN * turn)
    middle = (size - 1) / 2  # what neither turns nor grows
    x, y = (middle * (1 - one - two) + SHIFT * size * move for one, two, move in ((a, b, right), (c, d, down)))
    return tf.stack([a, b, x, c, d, y], axis=1)


class Places(NamedTuple):
    """Where the pixels of a new picture come from."""

    first: npt.NDArray[np.intp]
    """(size, size): the upper left of four neighbours, counted in a picture with its EDGE."""
    weights: tuple[Floats, Floats, Floats, Floats]
    """(size, size) each: of the left and the right, the upper and the lower."""

    @classmethod
    def of(cls, by: Floats, size: int) -> Places:
        """By one picture's map (6,)."""
        steps = np.arange(size, dtype=np.float32)
        x, y = (one * steps + (two * steps)[:, None] + shift for one, two, shift in by.reshape(2, 3))
        left, top = np.floor(x), np.floor(y)
        weights = (left + 1 - x, x - left, top + 1 - y, y - top)
        # a place far outside is white as much as the edge is
        column, row = (np.minimum(np.maximum(one, -EDGE, out=one), size, out=one) + EDGE for one in (left, top))
        return cls((row * (size + 2 * EDGE) + column).astype(np.intp), weights)


def move(line: Pixels, color: Pixels, mask: Pixels, by: Floats) -> tuple[Floats, Floats, Pixels]:
    """Line art (size, size, 1), colours (size, size, 3) and mask (size, size, 1), 1 inside, moved alike by a map (6,).

    Bilinear; pixels become floats in [-1, 1]. What comes in from beyond the picture is white, and outside the mask.
    """
    places = Places.of(by, len(mask))
    inside = _bilinear(mask.astype(np.float32), places) > 0.5
    ink = _bilinear(np.asarray(cv2.LUT(cv2.merge([line, color]), INK), np.float32), places)
    ink *= _repeated(inside[..., 0].astype(np.float32), 4)
    ink += 1
    moved = np.empty(line.shape, np.float32), np.empty(color.shape, np.float32)
    cv2.mixChannels([ink], moved, [0, 0, 1, 1, 2, 2, 3, 3])
    return *moved, inside.astype(np.uint8)


def _bilinear(ink: Floats, places: Places) -> Floats:
    """(size, size, c) of 0 for white -> the same, moved; what comes in from outside is 0."""
    count, wide = ink.shape[2], len(ink) + 2 * EDGE
    framed = np.zeros((wide, wide, count), np.float32)
    framed[EDGE:-EDGE, EDGE:-EDGE] = ink
    source = framed.reshape(-1, count)
    left, right, upper, lower = (_repeated(one, count) for one in places.weights)

    def between(offset: int, share: Floats) -> Floats:
        one, other = (np.take(source[at:], places.first, axis=0, mode="clip") for at in (offset, offset + 1))
        one *= left
        other *= right
        one += other
        one *= share
        return one

    above = between(0, upper)
    above += between(wide, lower)
    return above


def _repeated(plane: Floats, count: int) -> Floats:
    """(size, size) -> (size, size, count), as NumPy is slow over few channels."""
    return np.asarray(cv2.merge([plane] * count), np.float32).reshape(*plane.shape, count)
