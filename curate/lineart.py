"""Colour picture -> line art: pure functions, one a method, (height, width, 3) uint8 RGB -> (height, width) uint8.

255 is paper, 0 is ink. Lines are taken at full resolution and shrunk afterwards.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from curate.decode import Rgb

Gray = npt.NDArray[np.uint8]
"""(height, width) uint8."""


def gray(rgb: Rgb) -> Gray:
    """Luma as in ITU-R BT.601, the weights OpenCV and Pillow share."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def dilate(rgb: Rgb) -> Gray:
    """What a 5x5 maximum filter takes away: dark strokes thinner than 5 px, on the paper of their surroundings.

    line = 255 - |dilate(g) - g|. Source: "Line art from colour pictures", the method of the sketch-KeyFrame and
    PaintsChainer data sets.
    """
    luma = gray(rgb)
    difference = cv2.absdiff(cv2.dilate(luma, np.ones((5, 5), np.uint8)), luma)
    return np.asarray(cv2.bitwise_not(difference), np.uint8)


def xdog(
    rgb: Rgb, sigma: float = 0.5, k: float = 4.5, sharpness: float = 19.0, epsilon: float = 0.01, phi: float = 1e9
) -> Gray:
    """Extended difference of Gaussians, thresholded by a soft step: S = (1 + p)·G(sigma) - p·G(k·sigma).

    Ink where S < epsilon: 1 + tanh(phi·(S - epsilon)); with the default phi that is black or white. `sigma` in px,
    S on a scale of 0 to 1. Source: Winnemöller, Kyprianidis, Olsen, "XDoG" (Computers & Graphics 36, 2012), eq. 7.
    """
    luma = gray(rgb).astype(np.float32) / np.float32(255)
    narrow = cv2.GaussianBlur(luma, (0, 0), sigma)
    wide = cv2.GaussianBlur(luma, (0, 0), k * sigma)
    step = (1 + sharpness) * narrow - sharpness * wide - epsilon
    ink = np.tanh(phi * np.minimum(step, 0))  # -1 where black
    return np.asarray(np.rint(255 * (1 + ink)), np.uint8)


METHODS: dict[str, Callable[[Rgb], Gray]] = {"dilate": dilate, "xdog": xdog}
