"""Align the thumbnails of two trimmed pictures and measure how far their colours and strokes differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from curate.images.array_types import Rgb
from curate.images.square import letterbox
from curate.signatures.strokes import edge_mask, line_difference

THUMBNAIL_SIDE_PX = 96
COLOR_CELLS_PER_SIDE = 32  # colours are compared cell by cell
ECC_TERMINATION = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)
ECC_BLUR_PX = 5  # smoothing, so that the search looks further than a stroke's width
MAX_SCALE_CHANGE = 0.25  # a map that scales by more would match a dash with a square
MAX_EXPOSURE_DISTANCE = 25.0  # a larger distance is not due to exposure: a picture a tenth brighter has 16
# levels within 3x3 px up to which an area is flat; at edges, shrinking mixes ink with clipped paper, which no gain fits
MAX_FLAT_GRADIENT = 24
MIN_STROKE_PIXELS = THUMBNAIL_SIDE_PX * THUMBNAIL_SIDE_PX // 100  # a soft picture has hardly any strokes
CLIPPED_LEVELS = 4  # this near to black or white, a change of exposure loses detail
GAIN_RANGE, MAX_LIFT_LEVELS = (0.7, 1.4), 50.0  # the changes of exposure that are considered

_INVERSE_WARP_FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_CORNER = np.ones((2, 2), np.uint8)
_WINDOW = np.ones((3, 3), np.uint8)
_FULL_MASK = np.full((THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), 255, np.uint8)

Lab = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AlignedDifference:
    """How far two pictures differ: the largest CIELAB difference (CIE 1976) of their colours, taken in three ways."""

    cell_distance: float
    """The largest difference of any cell."""
    region_distance: float
    """The largest of any square of 2x2 cells, which ignores strokes: a fraction of a pixel changes their cells."""
    exposure_matched_distance: float
    """The largest of any such square after the exposures are made equal."""
    line_difference: float
    """`strokes.line_difference` of the area that both pictures show."""


def thumbnail(trimmed: Rgb) -> Rgb:
    """The trimmed picture in a square of 96 px, the same for copies with different borders."""
    return letterbox(trimmed, THUMBNAIL_SIDE_PX)


def aligned_difference(first: Rgb, second: Rgb) -> AlignedDifference:
    """Compare two thumbnails (96, 96, 3), each aligned to the other; the order does not matter.

    A thumbnail is moved by the affine map that correlates best, so crops and resizes shift nothing. Colours are
    compared in 32x32 cells, each with the most similar of nine around its place. Source: Evangelidis and Psarakis,
    "Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization" (IEEE PAMI 30, 2008).
    """
    both_ways = (_compare(first, second), _compare(second, first))
    cells, regions, exposure_matched, lines = zip(*both_ways, strict=True)
    # the smaller exposure distance: aligning may blur an edge of a copy one way, but brings no recolour below the limit
    return AlignedDifference(max(cells), max(regions), min(exposure_matched), max(lines))


def _compare(fixed: Rgb, moved: Rgb) -> tuple[float, float, float, float]:
    """The four fields of AlignedDifference, with `moved` aligned to `fixed`."""
    aligned, inside = _align(fixed, moved)
    cell, region = _color_distances(fixed, aligned, inside)
    if region > MAX_EXPOSURE_DISTANCE:
        return cell, region, region, math.inf
    exposures = [(_match_exposure(fixed, aligned), aligned), (fixed, _match_exposure(aligned, fixed))]
    regions = [_color_distances(a, b, inside)[1] for a, b in exposures if a is not None and b is not None]
    return cell, region, min([region, *regions]), _aligned_line_difference(fixed, aligned, inside)


def _align(fixed: Rgb, moved: Rgb) -> tuple[Rgb, npt.NDArray[np.bool_]]:
    """`moved` aligned to `fixed`, and the cells (32, 32) that it covers; unchanged if the two cannot be aligned."""
    grays = [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in (fixed, moved)]
    try:
        start = np.eye(2, 3, dtype=np.float32)
        _, warp = cv2.findTransformECC(
            grays[0], grays[1], start, cv2.MOTION_AFFINE, ECC_TERMINATION, _FULL_MASK, ECC_BLUR_PX
        )
        warp = np.asarray(warp, np.float32)
    except cv2.error:  # one is flat, or they are too different
        return moved, np.ones((COLOR_CELLS_PER_SIDE, COLOR_CELLS_PER_SIDE), np.bool_)
    if np.abs(np.linalg.svd(warp[:, :2], compute_uv=False) - 1).max() > MAX_SCALE_CHANGE:
        return moved, np.ones((COLOR_CELLS_PER_SIDE, COLOR_CELLS_PER_SIDE), np.bool_)
    aligned = cv2.warpAffine(
        moved, warp, (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), flags=_INVERSE_WARP_FLAGS, borderValue=(255, 255, 255)
    )
    covered = cv2.warpAffine(_FULL_MASK, warp, (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), flags=_INVERSE_WARP_FLAGS)
    inside = cv2.resize(covered, (COLOR_CELLS_PER_SIDE, COLOR_CELLS_PER_SIDE), interpolation=cv2.INTER_AREA) >= 250
    return np.asarray(aligned, np.uint8), np.asarray(inside, np.bool_)


def _color_distances(first: Rgb, second: Rgb, inside: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Largest difference of a cell, and of a region of 2x2 cells."""
    a, b = _cells(first), _cells(second)
    distances = np.where(inside, np.maximum(_nearest_distances(a, b), _nearest_distances(b, a)), 0).astype(np.float32)
    return float(distances.max()), float(cv2.morphologyEx(distances, cv2.MORPH_OPEN, _CORNER).max())


def _aligned_line_difference(fixed: Rgb, aligned: Rgb, inside: npt.NDArray[np.bool_]) -> float:
    shown = (
        cv2.resize(inside.astype(np.uint8), (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), interpolation=cv2.INTER_NEAREST) > 0
    )
    a, b = (np.where(shown, edge_mask(rgb), 255).astype(np.uint8) for rgb in (fixed, aligned))
    return line_difference(a, b, MIN_STROKE_PIXELS)


def _cells(rgb: Rgb) -> Lab:
    small = cv2.resize(rgb, (COLOR_CELLS_PER_SIDE, COLOR_CELLS_PER_SIDE), interpolation=cv2.INTER_AREA).astype(
        np.float32
    ) / np.float32(255)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.float32)


def _nearest_distances(first: Lab, second: Lab) -> npt.NDArray[np.float32]:
    """Difference of each cell from the most similar of the nine cells around its place in `second`: (32, 32)."""
    padded = cv2.copyMakeBorder(second, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    shifts = [padded[y : y + COLOR_CELLS_PER_SIDE, x : x + COLOR_CELLS_PER_SIDE] for y in range(3) for x in range(3)]
    return np.asarray(np.min([np.linalg.norm(first - shifted, axis=2) for shifted in shifts], axis=0), np.float32)


def _match_exposure(rgb: Rgb, goal: Rgb) -> Rgb | None:
    """`rgb` with the gain and lift, equal for all channels, that bring it nearest to the goal; None if none fits.

    A recolour changes some colours but neither paper nor strokes, which no gain and lift can do. Gain and lift are
    fitted to flat areas if there are enough.
    """
    usable = ((goal > CLIPPED_LEVELS) | (rgb <= CLIPPED_LEVELS)) & (goal < 255 - CLIPPED_LEVELS)
    steep = np.maximum(*(cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, _WINDOW) for picture in (rgb, goal)))
    flat = usable & (steep.max(axis=2) < MAX_FLAT_GRADIENT)[..., None]
    if flat.sum() >= THUMBNAIL_SIDE_PX and np.ptp(rgb[flat]) > 0:
        usable = flat
    x, y = rgb[usable].astype(np.float64), goal[usable].astype(np.float64)
    near = np.ones(len(x), np.bool_)
    gain, lift = 1.0, 0.0
    for _ in range(4):  # least squares, then again without outliers
        if near.sum() < THUMBNAIL_SIDE_PX or np.ptp(x[near]) == 0:
            return None
        gain = float(np.cov(x[near], y[near], bias=True)[0, 1] / x[near].var())
        lift = float(y[near].mean() - gain * x[near].mean())
        errors = np.abs(gain * x + lift - y)
        near = errors <= max(6.0, 2 * float(np.median(errors)))
    if not GAIN_RANGE[0] < gain < GAIN_RANGE[1] or abs(lift) >= MAX_LIFT_LEVELS:
        return None
    return np.asarray(np.clip(np.rint(rgb * gain + lift), 0, 255), np.uint8)
