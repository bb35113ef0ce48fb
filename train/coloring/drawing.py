"""A line drawing of any size: read, fitted into the model's square, and what its colours keep of it."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import NamedTuple
from warnings import catch_warnings

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from train.errors import DrawingError

MAX_DRAWING_PIXELS = 100_000_000  # pixels of a drawing: some 2 GB while it is coloured
MAX_DRAWING_BYTES = 1 << 30  # bytes of its file
JPEG_SCAN_MARKER = b"\xff\xda"  # where a scan of a JPEG begins, which may be thirty bytes and goes over all pixels
MAX_SCANNED_PIXELS = 5e9  # most pixels that all of them together may go over: some ten seconds
BoxSlices = tuple[slice, slice]
Pixels = npt.NDArray[np.uint8]


class Drawing(NamedTuple):
    """Line art as a file holds it."""

    gray: Pixels
    """(height, width), 255 = paper; what is transparent lies on paper."""
    alpha: Pixels | None = None
    """(height, width), 255 = opaque; None where the file has no transparency."""


def read_drawing(path: Path) -> Drawing:
    """Open a PNG or JPEG, of 8 or 16 bits, gray or in colour.

    Raises PictureError if it is no picture, or one of more than MOST pixels, which is told by its header.
    """
    data = _bytes(path)
    try:
        pixels = (
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if _is_png_or_jpeg(path, data) else None
        )
    except cv2.error as error:
        raise DrawingError(f"{path} cannot be read ({error.err}): give a PNG or JPEG of line art") from None
    if pixels is None:
        raise DrawingError(f"{path} is not a picture that can be read: give a PNG or JPEG of line art")
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    if pixels.ndim == 2:
        return Drawing(np.asarray(pixels, np.uint8))
    alpha = np.asarray(pixels[..., 3], np.uint8) if pixels.shape[2] == 4 else None
    if alpha is not None:
        share = alpha[..., None].astype(np.float32) / 255
        pixels = np.rint(pixels[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
    return Drawing(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8), alpha)


def _bytes(path: Path) -> bytes:
    """What a file holds; of a FIFO nothing is waited for."""
    try:
        if not path.is_file():
            raise DrawingError(f"{path} is no file: give a PNG or JPEG of line art")
        with path.open("rb") as file:
            data = file.read(min(path.stat().st_size, MAX_DRAWING_BYTES) + 1)
    except OSError as error:
        raise DrawingError(f"{path} cannot be read ({error.strerror}): give a PNG or JPEG of line art") from None
    if len(data) > MAX_DRAWING_BYTES:
        raise DrawingError(f"{path} has more than {MAX_DRAWING_BYTES:,} bytes: give a smaller PNG or JPEG of line art")
    return data


def _is_png_or_jpeg(path: Path, data: bytes) -> bool:
    """Whether a file is a PNG or JPEG at all. Raises PictureError if it is one of too many pixels."""
    try:
        with catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        width = height = MAX_DRAWING_PIXELS
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):
        return False
    if width * height > MAX_DRAWING_PIXELS:
        raise DrawingError(f"{path} has more than {MAX_DRAWING_PIXELS:,} pixels: give a smaller one")
    if data.count(JPEG_SCAN_MARKER) * width * height > MAX_SCANNED_PIXELS and data.count(JPEG_SCAN_MARKER) > 1:
        raise DrawingError(f"{path} has {data.count(JPEG_SCAN_MARKER):,} scans, too many for its size: save it anew")
    return True


def fit_to_square(gray: Pixels, size: int) -> tuple[npt.NDArray[np.float32], BoxSlices]:
    """Shrink (height, width) into a white square of `size` px, as the training pairs were.

    Returns lines (size, size) in [-1, 1] and the box that they fill: INTER_AREA, centred; a smaller one is enlarged.
    """
    scale = size / max(gray.shape)
    height, width = (max(1, round(side * scale)) for side in gray.shape)
    top, left = (size - height) // 2, (size - width) // 2
    box = slice(top, top + height), slice(left, left + width)
    square = np.full((size, size), 255, np.uint8)
    square[box] = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
    return square.astype(np.float32) / 127.5 - 1, box


def box_mask(box: BoxSlices, size: int) -> npt.NDArray[np.float32]:
    """(size, size, 1): 1 inside the box."""
    mask = np.zeros((size, size, 1), np.float32)
    mask[box] = 1
    return mask


def restore_drawing_parts(rgb: Pixels, drawing: Drawing, *, keep_lines: bool, keep_transparency: bool) -> Pixels:
    """Colours (height, width, 3) of a drawing of that size, with what is to be kept of it: (height, width, 3 or 4).

    `lines` multiplies its own gray on top, so that they are as sharp as they were drawn; `transparency` gives the
    picture its alpha, if it has any.
    """
    if keep_lines:
        rgb = np.rint(rgb * (drawing.gray[..., None].astype(np.float32) / 255)).astype(np.uint8)
    if keep_transparency and drawing.alpha is not None:
        rgb = np.concatenate([rgb, drawing.alpha[..., None]], axis=-1)
    return rgb
