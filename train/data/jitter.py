"""Pictures turned, enlarged, stretched and moved: where each pixel comes from, and pictures made so.

By OpenCV, a small part of the cost of TensorFlow's ImageProjectiveTransformV3, which tells each place and weight anew
for each channel.
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

MAX_ROTATION_RAD, MAX_LOG_SCALE, MAX_LOG_STRETCH = math.radians(10), 0.15, 0.1  # of the strongest jitter
MAX_SHIFT_SHARE = 0.08  # of the side, in the same
WHITE = 255


def affine_maps(draws: Any, size: int, share: float) -> Any:
    """(b, 5) draws in [-1, 1) -> (b, 6) a, b, x, c, d, y: new pixel (p, q) is from (ap + bq + x, cp + dq + y).

    They move by at most `share` of the most: 10 degrees, e^±0.15, e^±0.1 in height against width, and 8 % of the side
    either way. TensorFlow's tensors.
    """
    turn, growth, stretch, right, down = tf.unstack(share * draws, axis=1)
    wide, high = (
        tf.exp(MAX_LOG_SCALE * growth + MAX_LOG_STRETCH * stretch),
        tf.exp(MAX_LOG_SCALE * growth - MAX_LOG_STRETCH * stretch),
    )
    a, b = wide * tf.cos(MAX_ROTATION_RAD * turn), -high * tf.sin(MAX_ROTATION_RAD * turn)
    c, d = wide * tf.sin(MAX_ROTATION_RAD * turn), high * tf.cos(MAX_ROTATION_RAD * turn)
    middle = (size - 1) / 2  # what neither turns nor grows
    x, y = (
        middle * (1 - one - two) + MAX_SHIFT_SHARE * size * move for one, two, move in ((a, b, right), (c, d, down))
    )
    return tf.stack([a, b, x, c, d, y], axis=1)


def warp_pair(line: Pixels, color: Pixels, mask: Pixels, by: Floats) -> tuple[Pixels, Pixels, Pixels]:
    """Line art (size, size, 1), colours (size, size, 3) and mask (size, size, 1), 1 inside, moved alike by a map (6,).

    Bilinear, to the nearest level; a pixel is inside if the one nearest to its place was. What comes in from beyond the
    picture is white, and outside the mask.
    """
    inside = _warped(mask, by, 0, cv2.INTER_NEAREST)
    both = cv2.cvtColor(color, cv2.COLOR_RGB2RGBA)  # OpenCV takes twice as long to merge unlike numbers of channels
    cv2.insertChannel(line, both, 3)
    moved = np.full_like(both, WHITE)
    cv2.copyTo(_warped(both, by, WHITE), inside, moved)
    parts = cv2.extractChannel(moved, 3), cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB), inside
    lines, colors, kept = (np.asarray(one, np.uint8) for one in parts)
    return lines.reshape(line.shape), colors, kept.reshape(mask.shape)


def _warped(pixels: Any, by: Floats, outside: int, interpolation: int = cv2.INTER_LINEAR) -> Any:
    """Pixels (size, size, c), c at most 4, moved; `outside` comes in from beyond them.

    OpenCV 5 weighs neighbours to 1e-5; version 4 rounded places to 1/32 px.
    """
    return cv2.warpAffine(
        pixels,
        by.reshape(2, 3),
        pixels.shape[:2],
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(outside,) * 4,
    )
