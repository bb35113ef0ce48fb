"""Picture -> what dedupe compares: perceptual hashes, the colour signature, and how empty it is. Pure functions."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fftpack

from curate.images.decode import Rgb
from curate.images.lanczos import resize_lanczos
from curate.images.lineart import Gray, opencv_gray, xdog_of_luma
from curate.images.resample import bounds_darker_than, pillow_luma, resize_by_area
from curate.images.square import ContentBox, letterbox
from curate.signatures.orientations import ORIENTATIONS
from curate.signatures.strokes import edge_mask

# A border reaches to the first pixel this much darker than white. Measured on re-encoded OpenMoji: ringing of JPEG 40
# stays below it, so a copy is trimmed as its original is (99 % of colour signatures within 5.6; 37 at a tolerance of 8)
BORDER_TOLERANCE = 96
EMPTY_TOLERANCE = 8  # gray levels from the commonest one that still count as nothing drawn
INK_MASK_SIDE_PX = 128  # px, side of the ink mask
COLOR_GRID_SIDE = 8  # cells a side of the colour signature
# A wave of an amplitude of 0.6 gray levels, in units of the unnormalised DCT-II of 32x32 px (4 * 32 * 32 / 4 a level)
COEFFICIENT_MARGIN = 600.0
STRONG_EDGE_STEP = 90  # a step of a channel within 3x3 px: weak ones are noise to a hash, but tell strangers apart
_DCT = 2 * np.cos(np.pi * np.outer(np.arange(8), 2 * np.arange(32) + 1) / 64)  # (8, 32), type II


def phash(rgb: Rgb) -> str:
    """64-bit perceptual hash as 16 hex digits, equal to `str(imagehash.phash(PIL picture))`.

    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), section 3.2: signs of the
    lowest 8x8 DCT coefficients of the 32x32 luma against their median.
    """
    return phash_from_luma32(resize_lanczos(pillow_luma(rgb)))


def phash_from_luma32(small: Gray) -> str:
    """`phash` of a picture whose luma, Pillow's, by Lanczos is known (32, 32).

    By the very calls of imagehash: in a symmetric drawing half of the coefficients are 0 but for the last bits, which
    another way to the DCT has otherwise.
    """
    low = fftpack.dct(fftpack.dct(small, axis=0), axis=1)[:8, :8]
    return np.packbits(low > _median(low)).tobytes().hex()


def robust_phash(drawing: Gray) -> str:
    """`phash` of a drawing (height, width) in which a coefficient counts only where it clearly passes the median.

    In flat or symmetric drawings many coefficients are nearly equal, and re-encoding tosses their bits. With those at
    0, of OpenMoji's copies as JPEG 40 99 in 100 (from 90) stay within 6 bits, of those at half size too (from 85).
    """
    low = _DCT @ resize_lanczos(drawing).astype(np.float64) @ _DCT.T
    return np.packbits(low - _median(low) >= COEFFICIENT_MARGIN).tobytes().hex()


def _median(low: npt.NDArray[np.float64]) -> np.float64:
    """Of 64 numbers, to the last bit as NumPy's, which takes as long as all else of a hash."""
    ordered = np.sort(low, axis=None)
    return np.float64((ordered[31] + ordered[32]) / 2)


def search_hashes(plan: Gray, view: Rgb) -> list[str]:
    """`steady_hash` of the trimmed picture (its plan without padding), then of its small view in every variant."""
    small = pillow_luma(view)
    variants = [variant(small) for variant in ORIENTATIONS]
    return [robust_phash(plan), *(robust_phash(one[drawn_slices(one)]) for one in variants)]


def normalized_luma(trimmed: Gray) -> Gray:
    """Luma of the trimmed picture in a square of 256 px, whatever its own size: so a copy gives the same strokes."""
    return letterbox(trimmed, 2 * INK_MASK_SIDE_PX)


def ink_mask(plan: Gray) -> Gray:
    """The ink of the trimmed picture in a 128 px square, 0 or 255: what a recolour leaves as it is."""
    small = cv2.resize(xdog_of_luma(plan), (INK_MASK_SIDE_PX, INK_MASK_SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.where(small < 140, 0, 255).astype(np.uint8)


def edge_hash(view: Rgb) -> str:
    """Hash of the strong edges."""
    return robust_phash(edge_mask(view, STRONG_EDGE_STEP))


def outline_hash(plan: Gray, box: ContentBox) -> str | None:
    """Hash of the silhouette: what paper does not reach from the border. A dark fill moves it even less than the lines.

    None where the silhouette fills its box in the plan (a full-bleed picture, a flag): it would say the same of all.
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


def drawn_slices(gray: Gray) -> tuple[slice, slice]:
    """Rows and columns of what is drawn, by a picture's luma; all of it where nothing is."""
    top, left, bottom, right = bounds_darker_than(gray, 255 - BORDER_TOLERANCE)
    if top == bottom:
        return slice(0, gray.shape[0]), slice(0, gray.shape[1])
    return slice(top, bottom), slice(left, right)


def trim_white_borders(rgb: Rgb) -> Rgb:
    """The picture without its white borders. A view, no copy."""
    return rgb[drawn_slices(pillow_luma(rgb))]


def color_grid(trimmed: Rgb) -> npt.NDArray[np.float32]:
    """Mean CIELAB over an 8x8 grid, (192,) float32: L 0..100, a and b about -128..127.

    Averaged in Lab over a 64x64 thumbnail, so that a fine pattern of two colours is not one muddy colour.
    """
    small = resize_by_area(trimmed, 8 * COLOR_GRID_SIDE, 8 * COLOR_GRID_SIDE)
    lab = cv2.cvtColor(small.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    return np.asarray(
        cv2.resize(lab, (COLOR_GRID_SIDE, COLOR_GRID_SIDE), interpolation=cv2.INTER_AREA), np.float32
    ).reshape(-1)


def emptiness(rgb: Rgb) -> float:
    """Share of a 64x64 thumbnail that has the picture's commonest gray: 1 = nothing is drawn."""
    small = opencv_gray(resize_by_area(rgb, 64, 64))
    counts = np.bincount(small.ravel(), minlength=256)
    commonest = int(counts.argmax())
    near = counts[max(0, commonest - EMPTY_TOLERANCE) : commonest + EMPTY_TOLERANCE + 1]
    return float(near.sum() / small.size)
