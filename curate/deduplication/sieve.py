"""Pairs of near hashes -> those that can be look-alikes, by what memory holds of each picture; nothing is read for it.

Icons of one style have near hashes by the thousand: all discs have one silhouette. But a recolour keeps where colours
change, if not by how much: along the sides between the cells of a colour signature, its steps rise and fall with those
of its original. A pair of one colouring always passes, so no duplicate is lost.

Thresholds by one half of OpenMoji's families; of the other half's tone families none falls apart, and of the pairs that
searches find of its strangers one in eleven passes.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.deduplication.pictures import Pictures
from curate.jit import compiled
from curate.search import hamming
from curate.search.bucket_join import popcount
from curate.search.hamming import Mask, RowPairs
from curate.signatures import likeness
from curate.signatures.orientations import SLANTS
from curate.signatures.phash import COLOR_GRID_SIDE

STEP_SCALE_CIELAB = 3.0  # CIELAB: smaller steps between cells hardly count
UNIT_LENGTH = 4096  # in which correlations are counted
# least correlation of steps, and how much more for each bit between the nearer of the line and edge hashes
MIN_CORRELATION, CORRELATION_PER_BIT = 0.67, 0.01
ALWAYS_PASS_BITS = 1  # bits between those hashes at which all passes: flags of two colours have other steps
# Of a copy that was turned, laid as the other is: of 1,574 slanted and 3,336 mirrored or turned ones all but 11
TRANSFORMED_MIN_CORRELATION, TRANSFORMED_MAX_COLOR_DISTANCE = 0.75, 50.0

SIGNATURES_PER_BLOCK = 1 << 14  # signatures at once

ColorSteps = npt.NDArray[np.int16]


class Sieve:
    """Of pictures in memory: 224 bytes each, and as many for every variant that is asked of."""

    def __init__(self, pictures: Pictures) -> None:
        self.color_grids = pictures.color_grids
        self._steps: dict[int, ColorSteps] = {}
        self._hashes = pictures.hashes_by_search

    @cached_property
    def _strokes(self) -> tuple[hamming.Hashes, hamming.Hashes]:
        line, edge = (hamming.parse_hex_hashes([one or "0" for one in self._hashes[name]]) for name in ("line", "edge"))
        return line, edge

    def may_be_lookalikes(self, pairs: RowPairs) -> Mask:
        """(m,) whether pairs may be copies or recolours."""
        close = _close(
            pairs, *self._strokes, self._color_steps(0), self.color_grids, likeness.MAX_COPY_SIGNATURE_DISTANCE
        )
        return np.asarray(close, np.bool_)

    def may_be_duplicates(self, pairs: RowPairs) -> Mask:
        """(m,) whether pairs may be copies."""
        return np.asarray(
            _near_colors(pairs, self.color_grids, self.color_grids, likeness.MAX_COPY_SIGNATURE_DISTANCE), np.bool_
        )

    def may_be_transformed_duplicates(self, pairs: RowPairs, variant: int) -> Mask:
        """(m,) whether the second of a pair may be a copy of the first, in a variant (counted from 1)."""
        near = np.asarray(
            _near_colors(
                pairs, self.color_grids, _transform_grids(self.color_grids, variant), TRANSFORMED_MAX_COLOR_DISTANCE
            ),
            np.bool_,
        )
        left = np.flatnonzero(near)
        near[left] = _steps_correlate(
            pairs[left],
            self._color_steps(0),
            self._color_steps(variant),
            round(TRANSFORMED_MIN_CORRELATION * UNIT_LENGTH**2),
        )
        return near

    def _color_steps(self, variant: int) -> ColorSteps:
        variant = 0 if variant <= len(SLANTS) else variant
        if variant not in self._steps:
            self._steps[variant] = color_steps(_transform_grids(self.color_grids, variant))
        return self._steps[variant]


def color_steps(colors: npt.NDArray[np.float32]) -> ColorSteps:
    """Colour signatures (n, 192) -> (n, 112): how colours change from cell to cell, so that a product correlates.

    A row has mean 0 and length `ONE`, or is all 0 where colours never change.
    """
    blocks = [
        _steps(colors[first : first + SIGNATURES_PER_BLOCK]) for first in range(0, len(colors), SIGNATURES_PER_BLOCK)
    ]
    return np.concatenate([np.empty((0, 2 * COLOR_GRID_SIDE * (COLOR_GRID_SIDE - 1)), np.int16), *blocks])


def _steps(colors: npt.NDArray[np.float32]) -> ColorSteps:
    cells = colors.reshape(-1, COLOR_GRID_SIDE, COLOR_GRID_SIDE, 3)
    across, down = cells[:, :, 1:] - cells[:, :, :-1], cells[:, 1:] - cells[:, :-1]
    found = np.concatenate([np.linalg.norm(one, axis=3).reshape(len(cells), -1) for one in (across, down)], axis=1)
    found = np.log1p(found / np.float32(STEP_SCALE_CIELAB))
    found -= found.mean(axis=1, keepdims=True)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(np.rint(found * (UNIT_LENGTH / np.maximum(length, 1e-3))), np.int16)


def _transform_grids(colors: npt.NDArray[np.float32], variant: int) -> npt.NDArray[np.float32]:
    """Colour signatures of pictures in a variant; a slant is less than a cell."""
    mirrored = variant - len(SLANTS)
    if mirrored <= 0:
        return colors
    cells = colors.reshape(-1, COLOR_GRID_SIDE, COLOR_GRID_SIDE, 3)
    laid = cells[:, :, ::-1] if mirrored == 1 else np.rot90(cells, mirrored - 1, axes=(1, 2))
    return np.ascontiguousarray(laid).reshape(colors.shape)


@compiled
def _close(pairs: Any, line: Any, edge: Any, laid: Any, colors: Any, limit: Any) -> Any:
    passed = np.empty(len(pairs), np.bool_)
    for row in range(len(pairs)):
        a, b = pairs[row]
        unlike = min(popcount(line[a] ^ line[b]), popcount(edge[a] ^ edge[b]))
        least = np.int64(UNIT_LENGTH * UNIT_LENGTH * (MIN_CORRELATION + CORRELATION_PER_BIT * unlike))
        passed[row] = (
            unlike <= ALWAYS_PASS_BITS
            or _product(laid[a], laid[b]) >= least
            or _colors_within(colors[a], colors[b], limit)
        )
    return passed


@compiled
def _near_colors(pairs: Any, colors: Any, others: Any, limit: Any) -> Any:
    passed = np.empty(len(pairs), np.bool_)
    for row in range(len(pairs)):
        a, b = pairs[row]
        passed[row] = _colors_within(colors[a], others[b], limit)
    return passed


@compiled
def _steps_correlate(pairs: Any, laid: Any, others: Any, least: Any) -> Any:
    passed = np.empty(len(pairs), np.bool_)
    for row in range(len(pairs)):
        a, b = pairs[row]
        passed[row] = _product(laid[a], others[b]) >= least
    return passed


@compiled
def _product(one: Any, other: Any) -> Any:
    total = np.int64(0)
    for place in range(len(one)):
        total += np.int64(one[place]) * np.int64(other[place])
    return total


@compiled
def _colors_within(one: Any, other: Any, limit: Any) -> Any:
    """Whether no cell differs by more, but for what rounding may do to it."""
    most = np.float32(limit * limit) * np.float32(1.0001)
    for cell in range(0, len(one), 3):
        total = np.float32(0)
        for place in range(cell, cell + 3):
            total += (one[place] - other[place]) * (one[place] - other[place])
        if total > most:
            return False
    return True
