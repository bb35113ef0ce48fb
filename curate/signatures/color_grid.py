"""The colour signature of a picture, and how empty the picture is."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from curate.images.array_types import Rgb
from curate.images.lineart import opencv_gray
from curate.images.resample import resize_by_area

COLOR_GRID_SIDE = 8  # cells along each side of the colour signature
EMPTY_TOLERANCE = 8  # levels from the commonest gray within which a pixel does not count as drawn


def color_grid(trimmed: Rgb) -> npt.NDArray[np.float32]:
    """Mean CIELAB over an 8x8 grid, (192,) float32: L 0..100, a and b about -128..127.

    Averaged in Lab over a 64x64 thumbnail, so that a fine pattern of two colours does not become one muddy colour.
    """
    small = resize_by_area(trimmed, 8 * COLOR_GRID_SIDE, 8 * COLOR_GRID_SIDE)
    lab = cv2.cvtColor(small.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    cells = cv2.resize(lab, (COLOR_GRID_SIDE, COLOR_GRID_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cells, np.float32).reshape(-1)


def emptiness(rgb: Rgb) -> float:
    """Share of a 64x64 thumbnail with the picture's commonest gray: 1 means that nothing is drawn."""
    small = opencv_gray(resize_by_area(rgb, 64, 64))
    counts = np.bincount(small.ravel(), minlength=256)
    commonest = int(counts.argmax())
    near = counts[max(0, commonest - EMPTY_TOLERANCE) : commonest + EMPTY_TOLERANCE + 1]
    return float(near.sum() / small.size)
