"""Pictures of pictures: rows of squares with a header, for samples, TensorBoard and colorize."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from curate.system.files import atomic_write

Rgb = npt.NDArray[np.uint8]
GAP, HEADER, CAPTION = 4, 18, 14  # px
SAMPLE = ("lines", "no tags", "true tags", "swapped tags", "truth")  # columns of RUN/samples


def to_uint8(pixels: npt.NDArray[np.float32]) -> Rgb:
    """[-1, 1] floats of any shape -> 0..255; one channel becomes three."""
    bytes_ = np.rint((np.clip(pixels, -1, 1) + 1) * 127.5).astype(np.uint8)
    return np.repeat(bytes_, 3, axis=-1) if bytes_.shape[-1] == 1 else bytes_


def grid(columns: Sequence[npt.NDArray[np.float32]], titles: Sequence[str], captions: Sequence[str] = ()) -> Rgb:
    """Columns of (n, size, size, 1 or 3) pictures in [-1, 1] -> one RGB picture, a row each, titles on top."""
    pictures = [to_uint8(column) for column in columns]
    count, size = pictures[0].shape[:2]
    caption = CAPTION if captions else 0
    height, width = size + GAP + caption, size + GAP
    sheet = np.full((HEADER + count * height + GAP, GAP + len(pictures) * width, 3), 255, np.uint8)
    for place, (column, title) in enumerate(zip(pictures, titles, strict=True)):
        _write(sheet, title, GAP + place * width, HEADER - 5)
        for row, picture in enumerate(column):
            top, left = HEADER + row * height + caption, GAP + place * width
            sheet[top : top + size, left : left + size] = picture
    for row, text in enumerate(captions):
        _write(sheet, text, GAP, HEADER + row * height + caption - 4)
    return sheet


def cut(sheet: Rgb, columns: int) -> list[Rgb]:
    """The columns of a `grid` without captions, each (rows * size, size, 3). Raises ValueError if it is none."""
    height, width = sheet.shape[:2]
    size, odd = divmod(width - GAP * (columns + 1), columns)
    count, more = divmod(height - HEADER - GAP, size + GAP) if size > 0 else (0, 1)
    if odd or more or not count:
        raise ValueError(f"no grid of {columns} columns: {width} x {height} px")
    rows = HEADER + np.arange(count)[:, None] * (size + GAP) + np.arange(size)
    lefts = [GAP + place * (size + GAP) for place in range(columns)]
    return [sheet[rows.ravel(), left : left + size] for left in lefts]


def _write(sheet: Rgb, text: str, left: int, base: int) -> None:
    cv2.putText(sheet, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (40, 40, 40), 1, cv2.LINE_AA)


def save_png(path: Path, rgb: Rgb) -> None:
    """Write a (height, width, 3) RGB picture, or (height, width, 4) RGBA, atomically."""
    turn = cv2.COLOR_RGBA2BGRA if rgb.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, encoded = cv2.imencode(".png", cv2.cvtColor(rgb, turn))
    if not done:
        raise MemoryError("OpenCV could not encode a PNG")
    with atomic_write(path) as file:
        file.write(encoded.tobytes())
