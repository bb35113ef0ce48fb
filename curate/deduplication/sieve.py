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
from curate.search import hamming
from curate.search.bucket_join import bits
from curate.search.hamming import Mask, Pairs
from curate.signatures import likeness
from curate.signatures.phash import GRID
from curate.signatures.variants import SLANTED
from curate.system.jit import compiled

STEP = 3.0  # CIELAB: smaller steps between cells hardly count
ONE = 4096  # in which correlations are counted
# least correlation of steps, and how much more for each bit between the nearer of the line and edge hashes
ALIKE, BY_BIT = 0.67, 0.01
CLOSE = 1  # bits between those hashes at which all passes: flags of two colours have other steps
# Of a copy that was turned, laid as the other is: of 1,574 slanted and 3,336 mirrored or turned ones all but 11
TURNED_ALIKE, TURNED_COLORS = 0.75, 50.0

BLOCK = 1 << 14  # signatures at once

Steps = npt.NDArray[np.int16]


class Sieve:
    """Of pictures in memory: 224 bytes each, and as many for every variant that is asked of."""

    def __init__(self, pictures: Pictures) -> None:
        self.colors = pictures.colors
        self._steps: dict[int, Steps] = {}
        self._hashes = pictures.hashes

    @cached_property
    def _strokes(self) -> tuple[hamming.Hashes, hamming.Hashes]:
        line, edge = (hamming.parse([one or "0" for one in self._hashes[name]]) for name in ("line", "edge"))
        return line, edge

    def as_they_lie(self, pairs: Pairs) -> Mask:
        """(m,) whether pairs may be copies or recolours."""
        close = _close(pairs, *self._strokes, self._laid(0), self.colors, likeness.PERHAPS_SAME)
        return np.asarray(close, np.bool_)

    def copies(self, pairs: Pairs) -> Mask:
        """(m,) whether pairs may be copies."""
        return np.asarray(_near_colors(pairs, self.colors, self.colors, likeness.PERHAPS_SAME), np.bool_)

    def turned(self, pairs: Pairs, variant: int) -> Mask:
        """(m,) whether the second of a pair may be a copy of the first, in a variant (counted from 1)."""
        near = np.asarray(_near_colors(pairs, self.colors, _lay(self.colors, variant), TURNED_COLORS), np.bool_)
        left = np.flatnonzero(near)
        near[left] = _alike(pairs[left], self._laid(0), self._laid(variant), round(TURNED_ALIKE * ONE**2))
        return near

    def _laid(self, variant: int) -> Steps:
        variant = 0 if variant <= len(SLANTED) else variant
        if variant not in self._steps:
            self._steps[variant] = steps(_lay(self.colors, variant))
        return self._steps[variant]


def steps(colors: npt.NDArray[np.float32]) -> Steps:
    """Colour signatures (n, 192) -> (n, 112): how colours change from cell to cell, so that a product correlates.

    A row has mean 0 and length `ONE`, or is all 0 where colours never change.
    """
    blocks = [_steps(colors[first : first + BLOCK]) for first in range(0, len(colors), BLOCK)]
    return np.concatenate([np.empty((0, 2 * GRID * (GRID - 1)), np.int16), *blocks])


def _steps(colors: npt.NDArray[np.float32]) -> Steps:
    cells = colors.reshape(-1, GRID, GRID, 3)
    across, down = cells[:, :, 1:] - cells[:, :, :-1], cells[:, 1:] - cells[:, :-1]
    found = np.concatenate([np.linalg.norm(one, axis=3).reshape(len(cells), -1) for one in (across, down)], axis=1)
    found = np.log1p(found / np.float32(STEP))
    found -= found.mean(axis=1, keepdims=True)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(np.rint(found * (ONE / np.maximum(length, 1e-3))), np.int16)


def _lay(colors: npt.NDArray[np.float32], variant: int) -> npt.NDArray[np.float32]:
    """Colour signatures of pictures in a variant; a slant is less than a cell."""
    mirrored = variant - len(SLANTED)
    if mirrored <= 0:
        return colors
    cells = colors.reshape(-1, GRID, GRID, 3)
    laid = cells[:, :, ::-1] if mirrored == 1 else np.rot90(cells, mirrored - 1, axes=(1, 2))
    return np.ascontiguousarray(laid).reshape(colors.shape)


@compiled
def _close(pairs: Any, line: Any, edge: Any, laid: Any, colors: Any, limit: Any) -> Any:
    passed = np.empty(len(pairs), np.bool_)
    for row in range(len(pairs)):
        a, b = pairs[row]
        unlike = min(bits(line[a] ^ line[b]), bits(edge[a] ^ edge[b]))
        least = np.int64(ONE * ONE * (ALIKE + BY_BIT * unlike))
        passed[row] = unlike <= CLOSE or _product(laid[a], laid[b]) >= least or _within(colors[a], colors[b], limit)
    return passed


@compiled
def _near_colors(pairs: Any, colors: Any, others: Any, limit: Any) -> Any:
    passed = np.empty(len(pairs), np.bool_)
    for row in range(len(pairs)):
        a, b = pairs[row]
        passed[row] = _within(colors[a], others[b], limit)
    return passed


@compiled
def _alike(pairs: Any, laid: Any, others: Any, least: Any) -> Any:
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
def _within(one: Any, other: Any, limit: Any) -> Any:
    """Whether no cell differs by more, but for what rounding may do to it."""
    most = np.float32(limit * limit) * np.float32(1.0001)
    for cell in range(0, len(one), 3):
        total = np.float32(0)
        for place in range(cell, cell + 3):
            total += (one[place] - other[place]) * (one[place] - other[place])
        if total > most:
            return False
    return True
