"""Pictures turned, enlarged, stretched and moved: where each pixel comes from, and pictures made so.

By OpenCV, an eighth of the cost of TensorFlow's ImageProjectiveTransformV3, which tells each place and weight anew for
each channel.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tensorflow as tf

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

TURN, GROWTH, STRETCH = math.radians(10), 0.15, 0.1  # of the strongest jitter
SHIFT = 0.08  # of the side, in the same
INK = np.arange(256, dtype=np.float32) / np.float32(127.5) - 1 - 1  # of bytes: 0 for white, -2 for black


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


def move(line: Pixels, color: Pixels, mask: Pixels, by: Floats) -> tuple[Floats, Floats, Pixels]:
    """Line art (size, size, 1), colours (size, size, 3) and mask (size, size, 1), 1 inside, moved alike by a map (6,).

    Bilinear; pixels become floats in [-1, 1]. What comes in from beyond the picture is white, and outside the mask.
    """
    inside = (_warped(mask.astype(np.float32), by) > 0.5).astype(np.float32)
    ink = _warped(cv2.LUT(cv2.merge([line, color]), INK), by)
    ink *= cv2.merge([inside] * 4)  # NumPy is slow over few channels
    ink += 1
    moved = np.empty(line.shape, np.float32), np.empty(color.shape, np.float32)
    cv2.mixChannels([ink], moved, [0, 0, 1, 1, 2, 2, 3, 3])
    return *moved, inside.astype(np.uint8).reshape(mask.shape)


def _warped(ink: Any, by: Floats) -> Any:
    """What comes in from outside is 0. OpenCV 5 weighs neighbours to 1e-5; version 4 rounded places to 1/32 px."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(ink, by.reshape(2, 3), ink.shape[:2], flags=flags, borderMode=cv2.BORDER_CONSTANT)
