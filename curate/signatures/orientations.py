"""The orientations in which copies are searched: slanted like scans, mirrored, and turned by quarters."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from curate.images.array_types import Pixels

Orientation = Callable[[Pixels], Pixels]
"""Turns or mirrors a thumbnail (side, side[, 3])."""

SLANT_DEGREES = 2.0
SLANT_MARGIN_PX = 8  # white px around a thumbnail, so that turning it cuts nothing off


def slant_by(degrees: float) -> Orientation:
    """Turn a picture counter-clockwise on white, by an angle in degrees."""

    def turn(pixels: Pixels) -> Pixels:
        wide = cv2.copyMakeBorder(pixels, *(SLANT_MARGIN_PX,) * 4, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        height, width = wide.shape[:2]
        rotation = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        return np.asarray(cv2.warpAffine(wide, rotation, (width, height), borderValue=(255, 255, 255)), np.uint8)

    return turn


def flip_horizontally(pixels: Pixels) -> Pixels:
    """Mirror left to right."""
    return np.ascontiguousarray(pixels[:, ::-1])


def quarter_turns(quarters: int) -> Orientation:
    """Turn counter-clockwise by this many quarters of a circle."""
    return lambda pixels: np.ascontiguousarray(np.rot90(pixels, quarters))


SLANTS = (slant_by(SLANT_DEGREES), slant_by(-SLANT_DEGREES))
MIRROR_AND_QUARTER_TURNS = (flip_horizontally, quarter_turns(1), quarter_turns(2), quarter_turns(3))
ORIENTATIONS = (*SLANTS, *MIRROR_AND_QUARTER_TURNS)
"""In the order of the column `search_hashes`, after its first hash, which is of the unchanged picture."""
