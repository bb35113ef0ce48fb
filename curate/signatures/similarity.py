"""Decide whether two pictures with close hashes are copies, the same lines in other colours, or different drawings."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from curate.images.array_types import Rgb
from curate.images.square import WHITE
from curate.signatures.alignment import AlignedDifference
from curate.tags.normalize import split_color

# Largest CIELAB difference of any cell of the 8x8 colour signature. Copies of OpenMoji pictures: a tenth brighter, 15.3
# or less in 95 of 100 pairs; half-size JPEG 40, 5.9 or less in 99.
MAX_COPY_SIGNATURE_DISTANCE, STRICT_SIGNATURE_DISTANCE = 20.0, 6.0
# Largest difference of a region of 2x2 aligned cells. Copies: watermarked, 12.6 or less in 99 of 100 pairs; half-size
# JPEG 40, 12.1. Another skin tone: 12.3 or more in 999 of 1,000. With exposures made equal, recolours come nearer too:
# of 2,744 pairs all have 7.5 or more except 17, in which the hands are barely visible.
MAX_COPY_REGION_DISTANCE, MAX_COPY_EXPOSURE_MATCHED_DISTANCE = 12.3, 6.5
# Largest difference of an aligned cell. A watermark: 21.8 at most; a winking eye or a bent arm: 24.7 or more, which
# change no whole region.
MAX_COPY_CELL_DISTANCE = 24.0
# The same, for a strict comparison. JPEG 40: 8.9 or less in 99 of 100 pairs. Another drawing with the same lines (and a
# beard): 9.9 or more.
STRICT_CELL_DISTANCE = 9.5
# Ink of either drawing that the other lacks, as a share of the ink of the drawing with less ink. On OpenMoji's tone
# families (same lines by construction) 99.7 % of pairs stay below.
MAX_RECOLOUR_LINE_DIFFERENCE = 0.09
# The same share for two pictures with the same colours, before or after alignment. Of 904 planted copies 902 have 0.143
# or less after any edit (in the other two, landscapes, brightening clipped the sky to paper). Different clip art in the
# same colours (flags, devices in one style): 0.32 or more in five pairs of six.
MAX_COPY_LINE_DIFFERENCE = 0.2

MIN_UNTOUCHED_SHARE = 0.3  # share of drawn pixels
ROUNDING_LEVELS = 2  # gray levels: a picture that is shrunk twice is rounded twice


def color_distance(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Largest CIELAB difference (CIE 1976) between colour signatures (n, 192), cell by cell: (n,)."""
    cells = (first - second).reshape(len(first), first.shape[1] // 3, 3)
    return np.asarray(np.linalg.norm(cells, axis=2).max(axis=1, initial=0), np.float32)


def has_copy_colors(difference: AlignedDifference) -> bool:
    """Whether the colours of two thumbnails are close enough for copies, which may be brighter or watermarked."""
    return difference.cell_distance <= MAX_COPY_CELL_DISTANCE and (
        difference.region_distance <= MAX_COPY_REGION_DISTANCE
        or difference.exposure_matched_distance <= MAX_COPY_EXPOSURE_MATCHED_DISTANCE
    )


def has_copy_strokes(lines: float, difference: AlignedDifference) -> bool:
    """Whether strokes differ no more than those of copies, before alignment (`lines`) or after it.

    A cropped or turned copy differs before alignment, a blurred one after it. Colours alone cannot separate simple
    designs.
    """
    return min(lines, difference.line_difference) <= MAX_COPY_LINE_DIFFERENCE


def is_edited(first: Rgb, second: Rgb) -> bool:
    """Whether one of two squares (size, size, 3) is the other with a change made by hand.

    An edit leaves most drawn pixels exactly as they were, which re-encoding does not. For lossless files only: a good
    JPEG leaves flat areas unchanged too.
    """
    drawn = (first < WHITE).any(axis=2) | (second < WHITE).any(axis=2)
    difference = cv2.absdiff(first, second).max(axis=2)
    return bool((difference > ROUNDING_LEVELS).any() and (difference[drawn] == 0).mean() > MIN_UNTOUCHED_SHARE)


def has_color_conflict(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Whether two pictures' tags give one noun different colours (blue_hair, red_hair): they are never duplicates.

    A small recoloured area (a face in a bed) changes the colour signature less than JPEG does; only tags show it.
    """
    first_colors, second_colors = _colors_by_noun(first), _colors_by_noun(second)
    return any(not first_colors[noun] & second_colors[noun] for noun in first_colors.keys() & second_colors.keys())


@lru_cache(maxsize=1 << 16)
def _colors_by_noun(tags: tuple[str, ...]) -> dict[str, set[str]]:
    colors: dict[str, set[str]] = {}
    for tag in tags:
        if color_and_noun := split_color(tag):
            color, noun = color_and_noun
            colors.setdefault(noun, set()).add(color)
    return colors
