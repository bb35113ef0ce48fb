"""Grids of pictures: columns of squares under titles, for samples of a training, TensorBoard and `train colorize`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from curate.system.files import atomic_write

RgbUint8 = npt.NDArray[np.uint8]
GAP_PX, HEADER_PX, CAPTION_PX = 4, 18, 14
SAMPLE_COLUMNS = ("lines", "no tags", "true tags", "swapped tags", "truth")
"""Titles of the columns of RUN/samples."""


def to_uint8(pixels: npt.NDArray[np.float32]) -> RgbUint8:
    """Pixels in [-1, 1] as bytes 0 to 255; a last axis of one channel becomes three equal ones."""
    levels = np.rint((np.clip(pixels, -1, 1) + 1) * 127.5).astype(np.uint8)
    return np.repeat(levels, 3, axis=-1) if levels.shape[-1] == 1 else levels


def draw_grid(
    columns: Sequence[npt.NDArray[np.float32]], titles: Sequence[str], captions: Sequence[str] = ()
) -> RgbUint8:
    """One RGB picture of columns of (n, size, size, 1 or 3) pictures in [-1, 1].

    Each column has its title on top. `captions`, one for each row, stand above the row's pictures.
    """
    pictures = [to_uint8(column) for column in columns]
    count, size = pictures[0].shape[:2]
    caption_px = CAPTION_PX if captions else 0
    row_px, column_px = size + GAP_PX + caption_px, size + GAP_PX
    sheet = np.full((HEADER_PX + count * row_px + GAP_PX, GAP_PX + len(pictures) * column_px, 3), 255, np.uint8)
    for place, (column, title) in enumerate(zip(pictures, titles, strict=True)):
        left = GAP_PX + place * column_px
        _draw_text(sheet, title, left, HEADER_PX - 5)
        for row, picture in enumerate(column):
            top = HEADER_PX + row * row_px + caption_px
            sheet[top : top + size, left : left + size] = picture
    for row, caption in enumerate(captions):
        _draw_text(sheet, caption, GAP_PX, HEADER_PX + row * row_px + caption_px - 4)
    return sheet


def split_columns(sheet: RgbUint8, columns: int) -> list[RgbUint8]:
    """Cut a `draw_grid` picture without captions back into its columns, each (rows * size, size, 3).

    Raises ValueError if the picture's size is not that of a grid with so many columns.
    """
    height, width = sheet.shape[:2]
    size, extra_width = divmod(width - GAP_PX * (columns + 1), columns)
    count, extra_height = divmod(height - HEADER_PX - GAP_PX, size + GAP_PX) if size > 0 else (0, 1)
    if extra_width or extra_height or not count:
        raise ValueError(f"{width} x {height} px is not the size of a grid of {columns} columns")
    rows = HEADER_PX + np.arange(count)[:, None] * (size + GAP_PX) + np.arange(size)
    lefts = [GAP_PX + place * (size + GAP_PX) for place in range(columns)]
    return [sheet[rows.ravel(), left : left + size] for left in lefts]


def _draw_text(sheet: RgbUint8, text: str, left: int, baseline: int) -> None:
    cv2.putText(sheet, text, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (40, 40, 40), 1, cv2.LINE_AA)


def save_png(path: Path, rgb: RgbUint8) -> None:
    """Write a (height, width, 3) RGB or (height, width, 4) RGBA picture as a PNG, atomically."""
    to_bgr = cv2.COLOR_RGBA2BGRA if rgb.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, encoded = cv2.imencode(".png", cv2.cvtColor(rgb, to_bgr))
    if not done:
        raise MemoryError("OpenCV could not encode a PNG")
    with atomic_write(path) as file:
        file.write(encoded.tobytes())
