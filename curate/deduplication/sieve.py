"""Pairs of pictures with near hashes -> those that can be look-alikes, judged by what is in memory.

Icons of one style have near hashes by the thousand: all discs have one silhouette. But a recolour keeps the places
where colours change: the steps between neighbouring cells of its colour signature rise and fall with those of its
original. A pair of one colouring always passes, so that no duplicate is lost.

The thresholds come from one half of OpenMoji's families. In the other half no family of skin tones falls apart, and of
the pairs of strangers that the searches find, one in eleven passes.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.deduplication.pictures import Pictures
from curate.hash_search import hamming
from curate.hash_search.bucket_join import popcount
from curate.hash_search.hamming import Mask, RowPairs
from curate.jit import compiled
from curate.signatures import similarity
from curate.signatures.color_grid import COLOR_GRID_SIDE
from curate.signatures.orientations import SLANTS

STEP_SCALE_CIELAB = 3.0  # smaller steps between cells hardly count
UNIT_LENGTH = 4096  # length of a row of steps, so that products of rows are integers
# Least correlation of steps, and how much more for each bit between the line or edge hashes, whichever are nearer
MIN_CORRELATION, CORRELATION_PER_BIT = 0.67, 0.01
ALWAYS_PASS_BITS = 1  # so few bits between those hashes always pass: flags of two colours have other steps
# For a copy in another orientation, once its signature is reoriented: all but 11 of 1,574 slanted and 3,336 mirrored or
# turned copies pass
REORIENTED_MIN_CORRELATION, REORIENTED_MAX_COLOR_DISTANCE = 0.75, 50.0

SIGNATURES_PER_BLOCK = 1 << 14  # so many are worked on at once, to save memory

ColorSteps = npt.NDArray[np.int16]


class Sieve:
    """Judges pairs of pictures. Takes 224 bytes a picture, and as much again for each mirror image or quarter turn."""

    def __init__(self, pictures: Pictures) -> None:
        self.color_grids = pictures.color_grids
        self._steps: dict[int, ColorSteps] = {}
        self._hashes = pictures.hashes_by_search

    @cached_property
    def _line_and_edge_hashes(self) -> tuple[hamming.Hashes, hamming.Hashes]:
        lines, edges = (
            hamming.parse_hex_hashes([text or "0" for text in self._hashes[name]]) for name in ("line", "edge")
        )
        return lines, edges

    def may_be_lookalikes(self, pairs: RowPairs) -> Mask:
        """(m,) whether pairs (m, 2) may be duplicates or recolours."""
        lines, edges = self._line_and_edge_hashes
        limit = similarity.MAX_COPY_SIGNATURE_DISTANCE
        return np.asarray(
            _may_be_lookalikes(pairs, lines, edges, self._color_steps(0), self.color_grids, limit), np.bool_
        )

    def may_be_duplicates(self, pairs: RowPairs) -> Mask:
        """(m,) whether pairs (m, 2) may be duplicates."""
        limit = similarity.MAX_COPY_SIGNATURE_DISTANCE
        return np.asarray(_colors_are_near(pairs, self.color_grids, self.color_grids, limit), np.bool_)

    def may_be_reoriented_duplicates(self, pairs: RowPairs, orientation: int) -> Mask:
        """(m,) whether the second of each pair, in this orientation (from 1), may be a duplicate of the first."""
        reoriented = _reorient_grids(self.color_grids, orientation)
        passed = np.asarray(
            _colors_are_near(pairs, self.color_grids, reoriented, REORIENTED_MAX_COLOR_DISTANCE), np.bool_
        )
        remaining = np.flatnonzero(passed)
        least = round(REORIENTED_MIN_CORRELATION * UNIT_LENGTH**2)
        passed[remaining] = _steps_correlate(
            pairs[remaining], self._color_steps(0), self._color_steps(orientation), least
        )
        return passed

    def _color_steps(self, orientation: int) -> ColorSteps:
        orientation = 0 if orientation <= len(SLANTS) else orientation
        if orientation not in self._steps:
            self._steps[orientation] = color_steps(_reorient_grids(self.color_grids, orientation))
        return self._steps[orientation]


def color_steps(colors: npt.NDArray[np.float32]) -> ColorSteps:
    """How colours change from cell to cell, (n, 112), given colour signatures (n, 192).

    A row has mean 0 and length UNIT_LENGTH, so that the product of two rows is their correlation; a row is all 0 if its
    picture has one colour.
    """
    blocks = [
        _steps(colors[first : first + SIGNATURES_PER_BLOCK]) for first in range(0, len(colors), SIGNATURES_PER_BLOCK)
    ]
    return np.concatenate([np.empty((0, 2 * COLOR_GRID_SIDE * (COLOR_GRID_SIDE - 1)), np.int16), *blocks])


def _steps(colors: npt.NDArray[np.float32]) -> ColorSteps:
    cells = colors.reshape(-1, COLOR_GRID_SIDE, COLOR_GRID_SIDE, 3)
    across, down = cells[:, :, 1:] - cells[:, :, :-1], cells[:, 1:] - cells[:, :-1]
    steps = np.concatenate([np.linalg.norm(side, axis=3).reshape(len(cells), -1) for side in (across, down)], axis=1)
    steps = np.log1p(steps / np.float32(STEP_SCALE_CIELAB))
    steps -= steps.mean(axis=1, keepdims=True)
    length = np.linalg.norm(steps, axis=1, keepdims=True)
    return np.asarray(np.rint(steps * (UNIT_LENGTH / np.maximum(length, 1e-3))), np.int16)


def _reorient_grids(colors: npt.NDArray[np.float32], orientation: int) -> npt.NDArray[np.float32]:
    """Colour signatures of pictures in another orientation. A slant moves less than a cell, so it changes nothing."""
    number = orientation - len(SLANTS)
    if number <= 0:
        return colors
    cells = colors.reshape(-1, COLOR_GRID_SIDE, COLOR_GRID_SIDE, 3)
    reoriented = cells[:, :, ::-1] if number == 1 else np.rot90(cells, number - 1, axes=(1, 2))
    return np.ascontiguousarray(reoriented).reshape(colors.shape)


@compiled
def _may_be_lookalikes(pairs: Any, lines: Any, edges: Any, steps: Any, colors: Any, limit: Any) -> Any:
    passed = np.empty(len(pairs), np.bool_)
    for row in range(len(pairs)):
        a, b = pairs[row]
        bits = min(popcount(lines[a] ^ lines[b]), popcount(edges[a] ^ edges[b]))
        least = np.int64(UNIT_LENGTH * UNIT_LENGTH * (MIN_CORRELATION + CORRELATION_PER_BIT * bits))
        passed[row] = (
            bits <= ALWAYS_PASS_BITS
            or _product(steps[a], steps[b]) >= least
            or _colors_within(colors[a], colors[b], limit)
        )
    return passed


@compiled
def _colors_are_near(pairs: Any, colors: Any, colors_of_second: Any, limit: Any) -> Any:
    passed = np.empty(len(pairs), np.bool_)
    for row in range(len(pairs)):
        a, b = pairs[row]
        passed[row] = _colors_within(colors[a], colors_of_second[b], limit)
    return passed


@compiled
def _steps_correlate(pairs: Any, steps: Any, steps_of_second: Any, least: Any) -> Any:
    passed = np.empty(len(pairs), np.bool_)
    for row in range(len(pairs)):
        a, b = pairs[row]
        passed[row] = _product(steps[a], steps_of_second[b]) >= least
    return passed


@compiled
def _product(row_a: Any, row_b: Any) -> Any:
    total = np.int64(0)
    for place in range(len(row_a)):
        total += np.int64(row_a[place]) * np.int64(row_b[place])
    return total


@compiled
def _colors_within(signature_a: Any, signature_b: Any, limit: Any) -> Any:
    """Whether no cell differs by more than the limit, with a margin for rounding."""
    most = np.float32(limit * limit) * np.float32(1.0001)
    for cell in range(0, len(signature_a), 3):
        total = np.float32(0)
        for place in range(cell, cell + 3):
            difference = signature_a[place] - signature_b[place]
            total += difference * difference
        if total > most:
            return False
    return True
