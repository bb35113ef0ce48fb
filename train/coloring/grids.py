"""Pictures of pictures: rows of squares with a header, for samples, TensorBoard and colorize."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from curate.system.files import atomic_write

RgbUint8 = npt.NDArray[np.uint8]
GAP_PX, HEADER_PX, CAPTION_PX = 4, 18, 14  # px
SAMPLE_COLUMNS = ("lines", "no tags", "true tags", "swapped tags", "truth")  # columns of RUN/samples


def to_uint8(pixels: npt.NDArray[np.float32]) -> RgbUint8:
    """[-1, 1] floats of any shape -> 0..255; one channel becomes three."""
    bytes_ = np.rint((np.clip(pixels, -1, 1) + 1) * 127.5).astype(np.uint8)
    return np.repeat(bytes_, 3, axis=-1) if bytes_.shape[-1] == 1 else bytes_


def draw_grid(
    columns: Sequence[npt.NDArray[np.float32]], titles: Sequence[str], captions: Sequence[str] = ()
) -> RgbUint8:
    """Columns of (n, size, size, 1 or 3) pictures in [-1, 1] -> one RGB picture, a row each, titles on top."""
    pictures = [to_uint8(column) for column in columns]
    count, size = pictures[0].shape[:2]
    caption = CAPTION_PX if captions else 0
    height, width = size + GAP_PX + caption, size + GAP_PX
    sheet = np.full((HEADER_PX + count * height + GAP_PX, GAP_PX + len(pictures) * width, 3), 255, np.uint8)
    for place, (column, title) in enumerate(zip(pictures, titles, strict=True)):
        _draw_text(sheet, title, GAP_PX + place * width, HEADER_PX - 5)
        for row, picture in enumerate(column):
            top, left = HEADER_PX + row * height + caption, GAP_PX + place * width
            sheet[top : top + size, left : left + size] = picture
    for row, text in enumerate(captions):
        _draw_text(sheet, text, GAP_PX, HEADER_PX + row * height + caption - 4)
    return sheet


def split_columns(sheet: RgbUint8, columns: int) -> list[RgbUint8]:
    """The columns of a `grid` without captions, each (rows * size, size, 3). Raises ValueError if it is none."""
    height, width = sheet.shape[:2]
    size, odd = divmod(width - GAP_PX * (columns + 1), columns)
    count, more = divmod(height - HEADER_PX - GAP_PX, size + GAP_PX) if size > 0 else (0, 1)
    if odd or more or not count:
        raise ValueError(f"no grid of {columns} columns: {width} x {height} px")
    rows = HEADER_PX + np.arange(count)[:, None] * (size + GAP_PX) + np.arange(size)
    lefts = [GAP_PX + place * (size + GAP_PX) for place in range(columns)]
    return [sheet[rows.ravel(), left : left + size] for left in lefts]


def _draw_text(sheet: RgbUint8, text: str, left: int, base: int) -> None:
    cv2.putText(sheet, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (40, 40, 40), 1, cv2.LINE_AA)


def save_png(path: Path, rgb: RgbUint8) -> None:
    """Write a (height, width, 3) RGB picture, or (height, width, 4) RGBA, atomically."""
    turn = cv2.COLOR_RGBA2BGRA if rgb.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, encoded = cv2.imencode(".png", cv2.cvtColor(rgb, turn))
    if not done:
        raise MemoryError("OpenCV could not encode a PNG")
    with atomic_write(path) as file:
        file.write(encoded.tobytes())
