"""Perceptual hashes: 64 bits that are close, in Hamming distance, for pictures that look alike."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fftpack

from curate.images.array_types import Gray, Rgb
from curate.images.lanczos import resize_lanczos
from curate.images.resample import pillow_luma
from curate.images.square import ContentBox
from curate.signatures.color_grid import EMPTY_TOLERANCE
from curate.signatures.orientations import ORIENTATIONS
from curate.signatures.strokes import INK_MASK_SIDE_PX, edge_mask
from curate.signatures.trimming import drawn_slices

# The coefficient of a wave with an amplitude of 0.6 levels, in the unnormalised DCT-II of 32x32 px: 4 * 32 * 32 / 4 per
# level
COEFFICIENT_MARGIN = 600.0
STRONG_EDGE_STEP = 90  # levels within 3x3 px; weaker edges are noise to a hash
_DCT = 2 * np.cos(np.pi * np.outer(np.arange(8), 2 * np.arange(32) + 1) / 64)  # (8, 32), type II


def phash(rgb: Rgb) -> str:
    """64-bit perceptual hash of a picture as 16 hex digits, computed by the library imagehash.

    Source: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), section 3.2: which of
    the lowest 8x8 DCT coefficients of the 32x32 luma exceed their median. `extract` computes the same bits faster, by
    `phash_from_luma32`.
    """
    import imagehash  # noqa: PLC0415  # only this function needs it
    from PIL import Image  # noqa: PLC0415

    return str(imagehash.phash(Image.fromarray(rgb)))


def phash_from_luma32(small: Gray) -> str:
    """`phash` of a picture given by its luma (32, 32): `resize_lanczos(pillow_luma(rgb))`.

    It makes the same calls as imagehash: in a symmetric drawing half of the coefficients are 0 except for their last
    bits, which another DCT computes differently.
    """
    low = fftpack.dct(fftpack.dct(small, axis=0), axis=1)[:8, :8]
    return np.packbits(low > _median(low)).tobytes().hex()


def robust_phash(drawing: Gray) -> str:
    """Perceptual hash of a drawing, in which a bit is 1 only if its coefficient clearly exceeds the median.

    In flat or symmetric drawings many coefficients are nearly equal, and re-encoding flips their bits at random. With
    those bits at 0, 99 of 100 copies of OpenMoji pictures as JPEG 40 stay within 6 bits (90 otherwise); so do those at
    half size (85 otherwise).
    """
    low = _DCT @ resize_lanczos(drawing).astype(np.float64) @ _DCT.T
    return np.packbits(low - _median(low) >= COEFFICIENT_MARGIN).tobytes().hex()


def _median(low: npt.NDArray[np.float64]) -> np.float64:
    """Median of 64 numbers, equal to NumPy's to the last bit; np.median takes as long as the rest of a hash."""
    ordered = np.sort(low, axis=None)
    return np.float64((ordered[31] + ordered[32]) / 2)


def search_hashes(plan: Gray, view: Rgb) -> list[str]:
    """`robust_phash` of the trimmed picture (its plan without padding), then of its thumbnail in every orientation."""
    small = pillow_luma(view)
    oriented = [orientation(small) for orientation in ORIENTATIONS]
    return [robust_phash(plan), *(robust_phash(gray[drawn_slices(gray)]) for gray in oriented)]


def edge_hash(view: Rgb) -> str:
    """`robust_phash` of the strong edges of a thumbnail."""
    return robust_phash(edge_mask(view, STRONG_EDGE_STEP))


def outline_hash(plan: Gray, box: ContentBox) -> str | None:
    """`robust_phash` of the silhouette: everything except the white paper that touches the border.

    A dark fill changes it even less than it changes the lines. None if the silhouette fills its box in the plan (a
    full-bleed picture, a flag): all such pictures would have the same hash.
    """
    small = cv2.resize(plan, (INK_MASK_SIDE_PX, INK_MASK_SIDE_PX), interpolation=cv2.INTER_AREA)
    paper = cv2.copyMakeBorder(
        (small >= 255 - EMPTY_TOLERANCE).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1
    )
    cv2.floodFill(paper, None, (0, 0), 2)
    outside = paper[1:-1, 1:-1] == 2
    if outside.size - np.count_nonzero(outside) > 0.95 * box.height * box.width / 4:
        return None
    return robust_phash(np.where(outside, 255, 0).astype(np.uint8))
