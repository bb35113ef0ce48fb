"""Decide what two pictures with close hashes are: copies, the same lines in other colours, or strangers."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from curate.images.array_types import Rgb
from curate.images.square import WHITE
from curate.signatures.alignment import AlignedDifference
from curate.tags.normalize import split_color

# Largest CIELAB difference over the 8x8 colour signature. Copies of OpenMoji pictures: a tenth brighter, 15.3 or less
# in 95 of 100 pairs; half-size JPEG 40, 5.9 in 99.
MAX_COPY_SIGNATURE_DISTANCE, STRICT_SIGNATURE_DISTANCE = 20.0, 6.0
# Of alignment's regions. Copies: watermarked, 12.6 or less in 99 of 100 pairs; half-size JPEG 40, 12.1. Another tone:
# 12.3 or more in 999 of 1000. With exposure made equal recolours come nearer too: of 2,744 pairs all but 17, in which
# hardly a hand is seen, to 7.5 or more.
MAX_COPY_REGION_DISTANCE, MAX_COPY_EXPOSURE_MATCHED_DISTANCE = 12.3, 6.5
# Of any cell. A watermark: 21.8 at the most; an eye that winks, an arm bent otherwise: 24.7 and more, and no region is.
MAX_COPY_CELL_DISTANCE = 24.0
# Of any cell. JPEG 40: 8.9 or less in 99 of 100 pairs. Another drawing of the same lines (a beard more): 9.9 and more.
STRICT_CELL_DISTANCE = 9.5
# Ink of either drawing that the other has not, as a share of the lesser drawing's ink. On OpenMoji's tone families
# (same lines by construction) 99.7 % of pairs stay below.
MAX_RECOLOUR_LINE_DIFFERENCE = 0.09
# The same, of two pictures of one colouring, as they lie or once laid on one another. Of 904 planted copies 902 have
# 0.143 or less, whatever was done to them (in two landscapes, brightening clipped the sky to paper). Strangers of one
# colouring in clip art (flags, devices of one style): 0.32 and more in five pairs of six.
MAX_COPY_LINE_DIFFERENCE = 0.2

MIN_UNTOUCHED_SHARE = 0.3  # share of drawn pixels
ROUNDING_LEVELS = 2  # gray levels: shrunk twice, a picture is rounded twice


def color_distance(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Largest CIELAB difference (CIE 1976) between colour signatures (n, 192), cell by cell: (n,)."""
    cells = (one - other).reshape(len(one), one.shape[1] // 3, 3)
    return np.asarray(np.linalg.norm(cells, axis=2).max(axis=1, initial=0), np.float32)


def has_copy_colors(difference: AlignedDifference) -> bool:
    """Whether the colours of two thumbnails may be those of copies, which may be brighter or watermarked."""
    return difference.cell_distance <= MAX_COPY_CELL_DISTANCE and (
        difference.region_distance <= MAX_COPY_REGION_DISTANCE
        or difference.exposure_matched_distance <= MAX_COPY_EXPOSURE_MATCHED_DISTANCE
    )


def has_copy_strokes(lines: float, difference: AlignedDifference) -> bool:
    """Whether strokes differ no more than those of copies: by `lines`, before alignment, or after it.

    Before alignment a cropped or turned copy differs, after it a blurred one. Colours alone cannot separate simple
    designs.
    """
    return min(lines, difference.line_difference) <= MAX_COPY_LINE_DIFFERENCE


def is_edited(one: Rgb, other: Rgb) -> bool:
    """Whether one square (size, size, 3) is the other with something changed by hand.

    An edit leaves most drawn pixels exactly as they were, which re-encoding does not. For lossless files only: a good
    JPEG leaves flat areas unchanged too.
    """
    drawn = (one < WHITE).any(axis=2) | (other < WHITE).any(axis=2)
    unlike = cv2.absdiff(one, other).max(axis=2)
    return bool((unlike > ROUNDING_LEVELS).any() and (unlike[drawn] == 0).mean() > MIN_UNTOUCHED_SHARE)


def has_color_conflict(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether the tags give one noun two colours, as blue_hair and red_hair. Such pictures are never duplicates.

    A small recoloured area (a face in a bed) changes the colour signature less than JPEG does; only tags show it.
    """
    colors = [_colors(tags) for tags in (one, other)]
    return any(not colors[0][noun] & colors[1][noun] for noun in colors[0].keys() & colors[1].keys())


@lru_cache(maxsize=1 << 16)
def _colors(tags: tuple[str, ...]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for tag in tags:
        if pair := split_color(tag):
            found.setdefault(pair[1], set()).add(pair[0])
    return found
