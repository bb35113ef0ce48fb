"""Line art of any size: read it, fit it into the model's square, and give its lines and transparency to the colours."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any, NamedTuple
from warnings import catch_warnings

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from train.errors import DrawingError

MAX_DRAWING_PIXELS = 100_000_000  # colouring a drawing of this size takes about 2 GB
MAX_DRAWING_BYTES = 1 << 30
JPEG_SCAN_MARKER = b"\xff\xda"  # starts a scan of a JPEG; a scan may be thirty bytes and still covers all pixels
MAX_SCANNED_PIXELS = 5e9  # scans times pixels; decoding this many takes some ten seconds
BoxSlices = tuple[slice, slice]
Pixels = npt.NDArray[np.uint8]


class Drawing(NamedTuple):
    """Line art of one file."""

    gray: Pixels
    """(height, width), 255 = paper; transparent parts lie on white paper."""
    alpha: Pixels | None = None
    """(height, width), 255 = opaque; None if the file has no transparency."""


def read_drawing(path: Path) -> Drawing:
    """Read a PNG or JPEG of 8 or 16 bits, gray or coloured.

    Raises DrawingError if the file is not such a picture, or has more than MAX_DRAWING_PIXELS, which its header says.
    """
    data = _read_bytes(path)
    pixels = _decode(path, data) if _is_png_or_jpeg(path, data) else None
    if pixels is None:
        raise DrawingError(f"{path} is not a picture that can be read: give a PNG or JPEG of line art")
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    if pixels.ndim == 2:
        return Drawing(np.asarray(pixels, np.uint8))
    alpha = np.asarray(pixels[..., 3], np.uint8) if pixels.shape[2] == 4 else None
    if alpha is not None:
        opacity = alpha[..., None].astype(np.float32) / 255
        pixels = np.rint(pixels[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)
    return Drawing(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8), alpha)


def _decode(path: Path, data: bytes) -> npt.NDArray[Any] | None:
    """Pixels as OpenCV stores them: uint8 or uint16, gray, BGR or BGRA; None if it cannot decode them."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DrawingError(f"{path} cannot be read ({error.err}): give a PNG or JPEG of line art") from None


def _read_bytes(path: Path) -> bytes:
    """The bytes of a regular file; a FIFO is refused, as reading it could wait for ever."""
    try:
        if not path.is_file():
            raise DrawingError(f"{path} is not a file: give a PNG or JPEG of line art")
        with path.open("rb") as file:
            data = file.read(min(path.stat().st_size, MAX_DRAWING_BYTES) + 1)
    except OSError as error:
        raise DrawingError(f"{path} cannot be read ({error.strerror}): give a PNG or JPEG of line art") from None
    if len(data) > MAX_DRAWING_BYTES:
        raise DrawingError(f"{path} has more than {MAX_DRAWING_BYTES:,} bytes: give a smaller PNG or JPEG of line art")
    return data


def _is_png_or_jpeg(path: Path, data: bytes) -> bool:
    """Whether the bytes begin as a PNG or JPEG. Raises DrawingError for one that would take too long to decode."""
    try:
        with catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        width = height = MAX_DRAWING_PIXELS
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):
        return False
    if width * height > MAX_DRAWING_PIXELS:
        raise DrawingError(f"{path} has more than {MAX_DRAWING_PIXELS:,} pixels: give a smaller one")
    scans = data.count(JPEG_SCAN_MARKER)
    if scans > 1 and scans * width * height > MAX_SCANNED_PIXELS:
        raise DrawingError(f"{path} has {scans:,} JPEG scans, too many for its size: save it again as a PNG")
    return True


def fit_to_square(gray: Pixels, size: int) -> tuple[npt.NDArray[np.float32], BoxSlices]:
    """Fit (height, width) pixels into a white square of `size` px, as `curate` made the training pairs.

    Returns the square (size, size) in [-1, 1] and the box that the drawing fills: centred, scaled by INTER_AREA. A
    drawing smaller than the square is enlarged.
    """
    scale = size / max(gray.shape)
    height, width = (max(1, round(side * scale)) for side in gray.shape)
    top, left = (size - height) // 2, (size - width) // 2
    box = slice(top, top + height), slice(left, left + width)
    square = np.full((size, size), 255, np.uint8)
    square[box] = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
    return square.astype(np.float32) / 127.5 - 1, box


def box_mask(box: BoxSlices, size: int) -> npt.NDArray[np.float32]:
    """(size, size, 1) float32: 1 inside the box, 0 outside."""
    mask = np.zeros((size, size, 1), np.float32)
    mask[box] = 1
    return mask


def restore_drawing_parts(rgb: Pixels, drawing: Drawing, *, keep_lines: bool, keep_transparency: bool) -> Pixels:
    """Colours (height, width, 3) with the parts of the drawing to keep: (height, width, 3), or 4 channels with alpha.

    `keep_lines` multiplies the drawing's gray on top, so that lines are as sharp as they were drawn.
    `keep_transparency` adds the drawing's alpha, if it has any.
    """
    if keep_lines:
        rgb = np.rint(rgb * (drawing.gray[..., None].astype(np.float32) / 255)).astype(np.uint8)
    if keep_transparency and drawing.alpha is not None:
        rgb = np.concatenate([rgb, drawing.alpha[..., None]], axis=-1)
    return rgb
