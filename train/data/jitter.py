"""Jitter: rotate, scale, stretch and shift a pair's lines, colours and mask by the same affine map.

OpenCV does it for a small part of the cost of TensorFlow's ImageProjectiveTransformV3, which computes positions and
weights again for each channel.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from train.data.array_types import BytePixels

AffineMap = npt.NDArray[np.float32]
"""(6,) a, b, x, c, d, y: see `affine_maps`."""

# Limits of the strongest jitter, which is 1
MAX_ROTATION_RAD = math.radians(10)
MAX_LOG_SCALE = 0.15  # both sides grow or shrink by a factor of up to e^0.15 = 1.16
MAX_LOG_STRETCH = 0.1  # one side grows by up to e^0.1 = 1.11 while the other shrinks by as much
MAX_SHIFT_SHARE = 0.08  # of the side
WHITE = 255


def affine_maps(draws: Any, size: int, share: float) -> Any:
    """Maps (b, 6) of a, b, x, c, d, y: the new pixel (p, q) comes from (ap + bq + x, cp + dq + y).

    Args:
        draws: (b, 5) in [-1, 1): rotation, scale, stretch, shift to the right, shift down.
        size: side of the pictures, px.
        share: strength of the jitter, as a share of the limits above.

    Takes and returns TensorFlow tensors.
    """
    turn, growth, stretch, right, down = tf.unstack(share * draws, axis=1)
    wide, high = (
        tf.exp(MAX_LOG_SCALE * growth + MAX_LOG_STRETCH * stretch),
        tf.exp(MAX_LOG_SCALE * growth - MAX_LOG_STRETCH * stretch),
    )
    a, b = wide * tf.cos(MAX_ROTATION_RAD * turn), -high * tf.sin(MAX_ROTATION_RAD * turn)
    c, d = wide * tf.sin(MAX_ROTATION_RAD * turn), high * tf.cos(MAX_ROTATION_RAD * turn)
    middle = (size - 1) / 2  # the fixed point of rotation and scaling
    x, y = (
        middle * (1 - first - second) + MAX_SHIFT_SHARE * size * shift
        for first, second, shift in ((a, b, right), (c, d, down))
    )
    return tf.stack([a, b, x, c, d, y], axis=1)


def warp_pair(
    line: BytePixels, color: BytePixels, mask: BytePixels, affine_map: AffineMap
) -> tuple[BytePixels, BytePixels, BytePixels]:
    """Lines (size, size, 1), colours (size, size, 3) and mask (size, size, 1), 1 inside the box, moved by one map.

    Lines and colours are interpolated bilinearly and rounded; the mask takes the nearest pixel. Pixels from beyond the
    picture are white and outside the mask.
    """
    inside = _warped(mask, affine_map, 0, cv2.INTER_NEAREST)
    rgba = cv2.cvtColor(color, cv2.COLOR_RGB2RGBA)  # merging pictures of 3 and 1 channels takes OpenCV twice as long
    cv2.insertChannel(line, rgba, 3)
    moved = np.full_like(rgba, WHITE)
    cv2.copyTo(_warped(rgba, affine_map, WHITE), inside, moved)
    parts = cv2.extractChannel(moved, 3), cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB), inside
    new_line, new_color, new_mask = (np.asarray(pixels, np.uint8) for pixels in parts)
    return new_line.reshape(line.shape), new_color, new_mask.reshape(mask.shape)


def _warped(pixels: Any, affine_map: AffineMap, outside: int, interpolation: int = cv2.INTER_LINEAR) -> Any:
    """Pixels (size, size, c <= 4) moved by the map, with the value `outside` beyond their edges.

    OpenCV 5 weighs neighbours to 1e-5; version 4 rounded positions to 1/32 px.
    """
    return cv2.warpAffine(
        pixels,
        affine_map.reshape(2, 3),
        pixels.shape[:2],
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(outside,) * 4,
    )
