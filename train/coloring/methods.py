"""Methods to colour a drawing larger than the model's square: enlarge the colours, or sharpen them by tiles.

A method takes (gray, size, paint) and returns colours (height, width, 3) in [-1, 1] of the drawing's size. `paint` is
the model: it takes lines and content masks, both (n, size, size, 1), and returns colours (n, size, size, 3).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from train.coloring.drawing import BoxSlices, Pixels, box_mask, fit_to_square

Float32Array = npt.NDArray[np.float32]
PaintFunction = Callable[[Float32Array, Float32Array], Float32Array]
TILE_DETAIL_SCALE = 2
"""Resolution of the tiled drawing as a multiple of the model's size. At higher ones a tile shows too little of the
drawing, and strokes are wider than the model has seen."""


def color_resized(gray: Pixels, size: int, paint: PaintFunction) -> Float32Array:
    """Shrink the whole drawing to the model's size, as the training pairs were, and enlarge its colours."""
    return _enlarge(_color_whole(gray, size, paint), (gray.shape[0], gray.shape[1]))


def color_with_tiles(gray: Pixels, size: int, paint: PaintFunction) -> Float32Array:
    """Take fine detail from nine overlapping tiles at twice the model's size, and colours from the whole drawing.

    A tile does not show what it is a part of, so its colours are often wrong. Everything coarser than a pixel of the
    model therefore comes from the whole: tiles + blur(whole - tiles). A drawing no larger than the model's square is
    coloured by `color_resized`.

    Source for combining frequency bands of two pictures: Burt and Adelson (1983), ACM Transactions on Graphics 2(4).
    """
    if max(gray.shape) <= size:
        return color_resized(gray, size, paint)
    lines, box = fit_to_square(gray, TILE_DETAIL_SCALE * size)
    tiled = blend_tiles(lines, box_mask(box, TILE_DETAIL_SCALE * size), size, paint)[box]
    whole = _enlarge(_color_whole(gray, size, paint), (tiled.shape[0], tiled.shape[1]))
    combined = tiled + cv2.GaussianBlur(whole - tiled, (0, 0), TILE_DETAIL_SCALE)
    return _enlarge(np.asarray(combined, np.float32), (gray.shape[0], gray.shape[1]))


COLORING_METHODS: dict[str, Callable[[Pixels, int, PaintFunction], Float32Array]] = {
    "resize": color_resized,
    "tiles": color_with_tiles,
}


def blend_tiles(lines: Float32Array, mask: Float32Array, size: int, paint: PaintFunction) -> Float32Array:
    """Colour lines (side, side) with their content mask (side, side, 1) tile by tile: (side, side, 3).

    Tiles of `size` px lie half a tile apart and fade into each other by a squared sine.
    """
    starts = range(0, len(lines) - size + 1, size // 2)
    boxes: list[BoxSlices] = [(slice(top, top + size), slice(left, left + size)) for top in starts for left in starts]
    tiles = paint(np.stack([lines[box] for box in boxes])[..., None], np.stack([mask[box] for box in boxes]))
    fade = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    window = (fade[:, None] * fade)[..., None].astype(np.float32)
    total, weight = np.zeros((*lines.shape, 3), np.float32), np.zeros((*lines.shape, 1), np.float32)
    for box, tile in zip(boxes, tiles, strict=True):
        total[box] += window * tile
        weight[box] += window
    return np.asarray(total / weight, np.float32)


def _color_whole(gray: Pixels, size: int, paint: PaintFunction) -> Float32Array:
    """Colours of the whole drawing at the model's size, without the padding of the square."""
    lines, box = fit_to_square(gray, size)
    return np.asarray(paint(lines[None, ..., None], box_mask(box, size)[None])[0][box])


def _enlarge(pixels: Float32Array, shape: tuple[int, int]) -> Float32Array:
    """Resize to (height, width) by cubic interpolation; its overshoot is clipped to [-1, 1]."""
    large = cv2.resize(pixels, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(large, -1, 1), np.float32)
