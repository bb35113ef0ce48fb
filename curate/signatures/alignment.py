"""Align the thumbnails of two trimmed pictures, and measure how far their colours and strokes differ then."""

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
ECC_BLUR_PX = 5  # smoothing, which lets the search look further than a stroke
MAX_SCALE_CHANGE = 0.25  # a map that scales by more would lay a dash on a square
MAX_EXPOSURE_DISTANCE = 25.0  # more is not a matter of exposure: a tenth brighter is 16
# levels within 3x3 px up to which an area is flat; at edges, shrinking mixed ink with clipped paper, and no gain fits
MAX_FLAT_GRADIENT = 24
MIN_STROKE_PIXELS = THUMBNAIL_SIDE_PX * THUMBNAIL_SIDE_PX // 100  # a soft picture has hardly any strokes
CLIPPED_LEVELS = 4  # so near to black or white, a change of exposure has lost detail
GAIN_RANGE, MAX_LIFT_LEVELS = (0.7, 1.4), 50.0  # the changes of exposure that are sought

_INVERSE_WARP_FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_CORNER = np.ones((2, 2), np.uint8)
_WINDOW = np.ones((3, 3), np.uint8)
_FULL_MASK = np.full((THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), 255, np.uint8)

Lab = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AlignedDifference:
    """How far two pictures differ: the largest CIELAB difference (CIE 1976) of their colours, taken in three ways."""

    cell_distance: float
    """The largest of any cell."""
    region_distance: float
    """The largest of a square of 2x2 cells: strokes, whose cells depend on a fraction of a pixel, are thinner."""
    exposure_matched_distance: float
    """The largest of such a square after exposures are made equal."""
    line_difference: float
    """`strokes.line_difference` of what both pictures show."""


def thumbnail(trimmed: Rgb) -> Rgb:
    """The trimmed picture in a square of 96 px, which is the same for copies with other borders."""
    return letterbox(trimmed, THUMBNAIL_SIDE_PX)


def aligned_difference(one: Rgb, other: Rgb) -> AlignedDifference:
    """Compare two thumbnails (96, 96, 3), each aligned to the other; the order does not matter.

    A thumbnail is moved by the affine map that correlates best, so crops and resizes shift nothing. Colours are
    compared in 32x32 cells, each with the most similar of nine around its place. Source: Evangelidis and Psarakis,
    "Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization" (IEEE PAMI 30, 2008).
    """
    spot, region, exposed, strokes = zip(*(_compared(a, b) for a, b in ((one, other), (other, one))), strict=True)
    # the smaller exposure distance: aligning may blur an edge of a copy one way, but brings no recolour below the limit
    return AlignedDifference(max(spot), max(region), min(exposed), max(strokes))


def _compared(one: Rgb, other: Rgb) -> tuple[float, float, float, float]:
    laid, inside = _align_onto(one, other)
    spot, region = _color_distances(one, laid, inside)
    if region > MAX_EXPOSURE_DISTANCE:
        return spot, region, region, math.inf
    exposures = [(_match_exposure(one, laid), laid), (one, _match_exposure(laid, one))]
    regions = [_color_distances(a, b, inside)[1] for a, b in exposures if a is not None and b is not None]
    return spot, region, min([region, *regions]), _aligned_line_difference(one, laid, inside)


def _align_onto(one: Rgb, other: Rgb) -> tuple[Rgb, npt.NDArray[np.bool_]]:
    """`other` moved onto `one`, and the cells (32, 32) that it covers; unmoved if they cannot be aligned."""
    grays = [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in (one, other)]
    try:
        move = np.eye(2, 3, dtype=np.float32)
        found = cv2.findTransformECC(
            grays[0], grays[1], move, cv2.MOTION_AFFINE, ECC_TERMINATION, _FULL_MASK, ECC_BLUR_PX
        )
        move = np.asarray(found[1], np.float32)
    except cv2.error:  # one is flat, or they are too different
        return other, np.ones((COLOR_CELLS_PER_SIDE, COLOR_CELLS_PER_SIDE), np.bool_)
    if np.abs(np.linalg.svd(move[:, :2], compute_uv=False) - 1).max() > MAX_SCALE_CHANGE:
        return other, np.ones((COLOR_CELLS_PER_SIDE, COLOR_CELLS_PER_SIDE), np.bool_)
    laid = cv2.warpAffine(
        other, move, (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), flags=_INVERSE_WARP_FLAGS, borderValue=(255, 255, 255)
    )
    covered = cv2.warpAffine(_FULL_MASK, move, (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), flags=_INVERSE_WARP_FLAGS)
    inside = cv2.resize(covered, (COLOR_CELLS_PER_SIDE, COLOR_CELLS_PER_SIDE), interpolation=cv2.INTER_AREA) >= 250
    return np.asarray(laid, np.uint8), np.asarray(inside, np.bool_)


def _color_distances(one: Rgb, other: Rgb, inside: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Largest difference of a cell, and of a region of 2x2 cells."""
    a, b = _cells(one), _cells(other)
    unlike = np.where(inside, np.maximum(_to_nearest(a, b), _to_nearest(b, a)), 0).astype(np.float32)
    return float(unlike.max()), float(cv2.morphologyEx(unlike, cv2.MORPH_OPEN, _CORNER).max())


def _aligned_line_difference(one: Rgb, laid: Rgb, inside: npt.NDArray[np.bool_]) -> float:
    shown = (
        cv2.resize(inside.astype(np.uint8), (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), interpolation=cv2.INTER_NEAREST) > 0
    )
    a, b = (np.where(shown, edge_mask(rgb), 255).astype(np.uint8) for rgb in (one, laid))
    return line_difference(a, b, MIN_STROKE_PIXELS)


def _cells(rgb: Rgb) -> Lab:
    small = cv2.resize(rgb, (COLOR_CELLS_PER_SIDE, COLOR_CELLS_PER_SIDE), interpolation=cv2.INTER_AREA).astype(
        np.float32
    ) / np.float32(255)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.float32)


def _to_nearest(one: Lab, other: Lab) -> npt.NDArray[np.float32]:
    padded = cv2.copyMakeBorder(other, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    shifts = [padded[y : y + COLOR_CELLS_PER_SIDE, x : x + COLOR_CELLS_PER_SIDE] for y in range(3) for x in range(3)]
    return np.asarray(np.min([np.linalg.norm(one - shifted, axis=2) for shifted in shifts], axis=0), np.float32)


def _match_exposure(rgb: Rgb, goal: Rgb) -> Rgb | None:
    """`rgb` with the gain and lift, equal for all channels, that bring it nearest to the goal; None if none fits.

    A recolour changes some colours but neither paper nor strokes, which no gain and lift can do. They are fitted to
    flat areas if there are enough.
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
        off = np.abs(gain * x + lift - y)
        near = off <= max(6.0, 2 * float(np.median(off)))
    if not GAIN_RANGE[0] < gain < GAIN_RANGE[1] or abs(lift) >= MAX_LIFT_LEVELS:
        return None
    return np.asarray(np.clip(np.rint(rgb * gain + lift), 0, 255), np.uint8)
