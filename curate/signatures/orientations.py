"""How else a copy may lie: turned a little, as a scan is, or mirrored, or on its side."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from curate.images.arrays import Rgb

Orientation = Callable[[Rgb], Rgb]  # of any number of channels

SLANT_DEGREES = 2.0  # degrees
SLANT_MARGIN_PX = 8  # px around a view, so that turning cuts nothing off


def slant_by(degrees: float) -> Orientation:
    """Turn a picture (side, side[, 3]) on white."""

    def turn(rgb: Rgb) -> Rgb:
        wide = cv2.copyMakeBorder(rgb, *(SLANT_MARGIN_PX,) * 4, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        height, width = wide.shape[:2]
        how = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        return np.asarray(cv2.warpAffine(wide, how, (width, height), borderValue=(255, 255, 255)), np.uint8)

    return turn


def flip_horizontally(rgb: Rgb) -> Rgb:
    """Left to right."""
    return np.ascontiguousarray(rgb[:, ::-1])


def quarter_turns(quarters: int) -> Orientation:
    """Turn by quarters of a circle."""
    return lambda rgb: np.ascontiguousarray(np.rot90(rgb, quarters))


SLANTS = (slant_by(SLANT_DEGREES), slant_by(-SLANT_DEGREES))
MIRROR_AND_QUARTER_TURNS = (flip_horizontally, quarter_turns(1), quarter_turns(2), quarter_turns(3))
ORIENTATIONS = (*SLANTS, *MIRROR_AND_QUARTER_TURNS)
"""In the order of a record's `search_hashes`, after the hash of the picture as it is."""
