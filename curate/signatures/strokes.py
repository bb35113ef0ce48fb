"""Masks of the strokes of a small picture, and how far two masks differ."""

from __future__ import annotations

import cv2
import numpy as np

from curate.images.array_types import Gray, Rgb
from curate.images.lineart import xdog_of_luma
from curate.images.square import letterbox

INK_MASK_SIDE_PX = 128
MIN_EDGE_STEP = 30  # levels within 3x3 px that make an edge, in any channel
_NEAR = np.ones((3, 3), np.uint8)
_THICK = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
_RING = np.ones((5, 5), np.uint8)


def normalized_luma(trimmed: Gray) -> Gray:
    """The plan of a picture: the luma of the trimmed picture in a square of 256 px, whatever the picture's size."""
    return letterbox(trimmed, 2 * INK_MASK_SIDE_PX)


def ink_mask(plan: Gray) -> Gray:
    """The ink of a plan in a square of 128 px, 0 for ink and 255 for paper. A recolour does not change it."""
    small = cv2.resize(xdog_of_luma(plan), (INK_MASK_SIDE_PX, INK_MASK_SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.where(small < 140, 0, 255).astype(np.uint8)


def edge_mask(view: Rgb, step: int = MIN_EDGE_STEP) -> Gray:
    """0 where a thumbnail changes by more than `step` levels in any channel, else 255; a recolour moves no edge."""
    red, green, blue = cv2.split(cv2.morphologyEx(view, cv2.MORPH_GRADIENT, _NEAR))
    return np.asarray(cv2.threshold(cv2.max(cv2.max(red, green), blue), step, 255, cv2.THRESH_BINARY_INV)[1], np.uint8)


def line_difference(first: Gray, second: Gray, min_ink: int = 0) -> float:
    """How far two ink masks (height, width; 0 = ink) differ: 0 for the same strokes.

    The number of pixels that differ, as a share of the ink of the drawing with less ink, which counts as at least
    `min_ink` px; infinite if it has none. Strokes may be 1 px off. A solid fill that the other drawing only outlines
    (black hair and blond hair) is no difference: a thick region counts only if the other drawing lacks its rim.
    """
    a, b = (first == 0).astype(np.uint8), (second == 0).astype(np.uint8)
    least = max(min_ink, min(int(a.sum()), int(b.sum())))
    if least == 0:
        return float("inf")
    return (_count_unmatched_ink(a, cv2.dilate(b, _NEAR)) + _count_unmatched_ink(b, cv2.dilate(a, _NEAR))) / least


def _count_unmatched_ink(ink: Gray, other_widened: cv2.typing.MatLike) -> int:
    """Number of ink pixels without a counterpart in the other mask, except fills that it outlines."""
    near = np.asarray(other_widened, np.uint8)
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
