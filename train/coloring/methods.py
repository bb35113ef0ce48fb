"""How a drawing larger than the model's pairs is coloured: enlarged colours of the whole, or with detail from tiles.

A method takes (gray, size, paint) and returns colours (height, width, 3) in [-1, 1], of the drawing's size; `paint`
colours lines and masks (n, size, size, 1) -> (n, size, size, 3).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from train.coloring.drawing import BoxSlices, Pixels, box_mask, fit_to_square

Float32Array = npt.NDArray[np.float32]
PaintFunction = Callable[[Float32Array, Float32Array], Float32Array]
TILE_DETAIL_SCALE = (
    2  # times the model's size: further in, a tile shows too little of the drawing, and strokes wider than known
)


def color_resized(gray: Pixels, size: int, paint: PaintFunction) -> Float32Array:
    """The whole drawing, shrunk as the pairs were, and its colours enlarged: what the model was trained to do."""
    return _enlarged(_whole(gray, size, paint), (gray.shape[0], gray.shape[1]))


def color_with_tiles(gray: Pixels, size: int, paint: PaintFunction) -> Float32Array:
    """Detail of nine overlapping tiles at twice the model's size, on the colours of the whole.

    A tile alone knows not what it is a part of, and its colours are wrong. So whatever is wider than a pixel of the
    model comes from `resize`: tiles + blur(whole - tiles). A drawing no larger than the model is coloured by `resize`.
    Source: of taking bands of frequency from two pictures, Burt and Adelson (1983), ACM Transactions on Graphics 2(4).
    """
    if max(gray.shape) <= size:
        return color_resized(gray, size, paint)
    lines, box = fit_to_square(gray, TILE_DETAIL_SCALE * size)
    detail = blend_tiles(lines, box_mask(box, TILE_DETAIL_SCALE * size), size, paint)[box]
    whole = _enlarged(_whole(gray, size, paint), (detail.shape[0], detail.shape[1]))
    mended = detail + cv2.GaussianBlur(whole - detail, (0, 0), TILE_DETAIL_SCALE)
    return _enlarged(np.asarray(mended, np.float32), (gray.shape[0], gray.shape[1]))


COLORING_METHODS: dict[str, Callable[[Pixels, int, PaintFunction], Float32Array]] = {
    "resize": color_resized,
    "tiles": color_with_tiles,
}


def blend_tiles(lines: Float32Array, mask: Float32Array, size: int, paint: PaintFunction) -> Float32Array:
    """Colour lines (side, side) with their mask (side, side, 1) tile by tile: (side, side, 3).

    Tiles lie half a tile apart, and fade into one another along the square of a sine.
    """
    places = range(0, len(lines) - size + 1, size // 2)
    boxes: list[BoxSlices] = [(slice(top, top + size), slice(left, left + size)) for top in places for left in places]
    made = paint(np.stack([lines[box] for box in boxes])[..., None], np.stack([mask[box] for box in boxes]))
    wave = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    window = (wave[:, None] * wave)[..., None].astype(np.float32)
    total, weight = np.zeros((*lines.shape, 3), np.float32), np.zeros((*lines.shape, 1), np.float32)
    for box, colors in zip(boxes, made, strict=True):
        total[box] += window * colors
        weight[box] += window
    return np.asarray(total / weight, np.float32)


def _whole(gray: Pixels, size: int, paint: PaintFunction) -> Float32Array:
    lines, box = fit_to_square(gray, size)
    return np.asarray(paint(lines[None, ..., None], box_mask(box, size)[None])[0][box])


def _enlarged(pixels: Float32Array, shape: tuple[int, int]) -> Float32Array:
    large = cv2.resize(pixels, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(large, -1, 1), np.float32)
