"""Picture -> what dedupe compares: perceptual hashes, the colour signature, and how empty it is. Pure functions."""

from __future__ import annotations

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from curate.decode import Rgb
from curate.lineart import Gray, gray, xdog
from curate.square import content_box, square
from curate.strokes import edges
from curate.variants import VARIANTS

# A border reaches to the first pixel this much darker than white. Measured on re-encoded OpenMoji: ringing of JPEG 40
# stays below it, so a copy is trimmed as its original is (99 % of colour signatures within 5.6; 37 at a tolerance of 8)
BORDER_TOLERANCE = 96
EMPTY_TOLERANCE = 8  # gray levels from the commonest one that still count as nothing drawn
SKETCH = 128  # px, side of the ink mask
GRID = 8  # cells a side of the colour signature
# A wave of an amplitude of 0.6 gray levels, in units of the unnormalised DCT-II of 32x32 px (4 * 32 * 32 / 4 a level)
CLEAR = 600.0
STRONG_EDGE = 90  # a step of a channel within 3x3 px: weak ones are noise to a hash, but tell strangers apart
_DCT = 2 * np.cos(np.pi * np.outer(np.arange(8), 2 * np.arange(32) + 1) / 64)  # (8, 32), type II


def phash(rgb: Rgb) -> str:
    """64-bit perceptual hash as 16 hex digits, equal to `str(imagehash.phash(PIL picture))`.

    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), section 3.2: signs of the
    lowest 8x8 DCT coefficients of the 32x32 luma against their median.
    """
    return str(imagehash.phash(Image.fromarray(rgb)))  # Pillow's luma: OpenCV's differs by 1 in a colour of a thousand


def steady_hash(luma: Gray) -> str:
    """`phash` of a drawing (height, width) in which a coefficient counts only where it clearly passes the median.

    In flat or symmetric drawings many coefficients are nearly equal, and re-encoding tosses their bits. With those at
    0, of OpenMoji's copies as JPEG 40 99 in 100 (from 90) stay within 6 bits, of those at half size too (from 85).
    """
    small = np.asarray(Image.fromarray(luma).resize((32, 32), Image.Resampling.LANCZOS), np.float64)
    low = _DCT @ small @ _DCT.T
    return np.packbits(low - np.median(low) >= CLEAR).tobytes().hex()


def search_hashes(trimmed: Rgb, view: Rgb) -> list[str]:
    """`steady_hash` of the trimmed picture, then of its small view in every variant."""
    others = [trim(variant(view)) for variant in VARIANTS]
    return [steady_hash(luma_of(one)) for one in (trimmed, *others)]


def luma_of(rgb: Rgb) -> Gray:
    """Pillow's luma, the one that `phash` sees."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).convert("L"))


def sketch(trimmed: Rgb) -> Gray:
    """The ink of the trimmed picture in a 128 px square, 0 or 255: what a recolour leaves as it is.

    Taken at twice the size, whatever the picture's own, so that a copy at half size gives the same strokes.
    """
    ink = xdog(square(trimmed, 2 * SKETCH))
    small = cv2.resize(ink, (SKETCH, SKETCH), interpolation=cv2.INTER_AREA)
    return np.where(small < 140, 0, 255).astype(np.uint8)


def edge_hash(view: Rgb) -> str:
    """Hash of the strong edges."""
    return steady_hash(edges(view, STRONG_EDGE))


def outline_hash(trimmed: Rgb) -> str | None:
    """Hash of the silhouette: what paper does not reach from the border. A dark fill moves it even less than the lines.

    None where the silhouette fills its box (a full-bleed picture, a flag): it would say the same of all of them.
    """
    box = content_box(trimmed.shape[0], trimmed.shape[1], SKETCH)
    luma = square(gray(trimmed), SKETCH)
    paper = cv2.copyMakeBorder(
        (luma >= 255 - EMPTY_TOLERANCE).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1
    )
    cv2.floodFill(paper, None, (0, 0), 2)
    outside = paper[1:-1, 1:-1] == 2
    if float((~outside).sum()) > 0.95 * box.height * box.width:
        return None
    return steady_hash(np.where(outside, 255, 0).astype(np.uint8))


def drawn_box(rgb: Rgb) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of what is drawn, in px, the last two exclusive; all of it where nothing is."""
    drawn = gray(rgb) < 255 - BORDER_TOLERANCE
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if not rows.size:
        return 0, 0, rgb.shape[0], rgb.shape[1]
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def trim(rgb: Rgb) -> Rgb:
    """The picture without its white borders. A view, no copy."""
    top, left, bottom, right = drawn_box(rgb)
    return rgb[top:bottom, left:right]


def color_grid(trimmed: Rgb) -> npt.NDArray[np.float32]:
    """Mean CIELAB over an 8x8 grid, (192,) float32: L 0..100, a and b about -128..127.

    Averaged in Lab over a 64x64 thumbnail, so that a fine pattern of two colours is not one muddy colour.
    """
    small = cv2.resize(trimmed, (8 * GRID, 8 * GRID), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    return np.asarray(cv2.resize(lab, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32).reshape(-1)


def emptiness(rgb: Rgb) -> float:
    """Share of a 64x64 thumbnail that has the picture's commonest gray: 1 = nothing is drawn."""
    small = cv2.resize(gray(rgb), (64, 64), interpolation=cv2.INTER_AREA)
    commonest = int(np.bincount(small.ravel(), minlength=256).argmax())
    return float(np.mean(np.abs(small.astype(np.int16) - commonest) <= EMPTY_TOLERANCE))
