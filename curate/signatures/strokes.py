"""Small pictures -> where their strokes lie, and how unlike those are. Pure functions."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from curate.images.decode import Rgb
from curate.images.lineart import Gray

MIN_EDGE_STEP = 30  # a step of a channel within 3x3 px, the least that counts
_NEAR = np.ones((3, 3), np.uint8)
_THICK = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
_RING = np.ones((5, 5), np.uint8)


def edge_mask(view: Rgb, step: int = MIN_EDGE_STEP) -> Gray:
    """0 where a small view changes by more than `step` in any channel, else 255: another hue moves no edge."""
    red, green, blue = cv2.split(cv2.morphologyEx(view, cv2.MORPH_GRADIENT, _NEAR))
    return np.asarray(cv2.threshold(cv2.max(cv2.max(red, green), blue), step, 255, cv2.THRESH_BINARY_INV)[1], np.uint8)


def line_difference(one: Gray, other: Gray, few: int = 0) -> float:
    """How unlike two ink masks (height, width; 0 = ink) are: 0 for the same strokes.

    What differs is told as a share of the lesser drawing's ink, or of `few` pixels if that is less; infinite if there
    are none. Strokes may lie 1 px off. A solid fill that the other drawing only outlines (black hair beside blond hair)
    is no difference: a thick region counts only where its rim is not drawn in the other.
    """
    a, b = (one == 0).astype(np.uint8), (other == 0).astype(np.uint8)
    least = max(few, min(int(a.sum()), int(b.sum())))
    if least == 0:
        return float("inf")
    return (_count_unmatched_ink(a, cv2.dilate(b, _NEAR)) + _count_unmatched_ink(b, cv2.dilate(a, _NEAR))) / least


def _count_unmatched_ink(ink: npt.NDArray[np.uint8], other: npt.ArrayLike) -> int:
    """Ink pixels that have no counterpart in `other` (already widened), fills that it outlines left out."""
    near = np.asarray(other, np.uint8)
    extra = ink & (1 - near)
    thick = cv2.morphologyEx(extra, cv2.MORPH_OPEN, _THICK)
    if not thick.any():
        return int(extra.sum())
    outlined = np.zeros_like(extra)
    regions, labels = cv2.connectedComponents(thick)
    for region in range(1, regions):
        inside = (labels == region).astype(np.uint8)
        rim = np.asarray(cv2.dilate(inside, _RING), np.uint8) & (1 - inside)
        if 2 * int((rim & near).sum()) >= int(rim.sum()):
            outlined |= inside
    return int((extra & (1 - np.asarray(cv2.dilate(outlined, _THICK), np.uint8))).sum())
