"""Bytes -> an upright RGB picture on white."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from curate.errors import DecodeError

Rgb = npt.NDArray[np.uint8]
"""(height, width, 3) uint8 RGB."""

# Pillow knows more, and hands some of them (EPS) to other programs; JPEG covers the MPO of stereo cameras
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

# Pillow's plugins let these through on damaged files; anything else is a bug and may be seen
FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    NotImplementedError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class Header:
    """What a file says of itself before its pixels are decoded. Size in px as stored, before EXIF rotation."""

    width: int
    height: int
    format: str
    mode: str
    frames: int


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    rgb: Rgb
    header: Header


class TooLargeError(DecodeError):
    """The header promises more pixels than allowed; nothing was decoded."""

    def __init__(self, header: Header, max_pixels: int) -> None:
        self.header = header
        pixels = header.width * header.height
        super().__init__(f"{pixels:,} pixels is over the limit of {max_pixels:,}: raise --max-pixels to take it")


def decode(data: bytes, max_pixels: int = 200_000_000) -> Picture:
    """Decode a JPEG, PNG, WebP, GIF, BMP or TIFF, whatever its name; the first frame of an animation.

    EXIF orientation is applied, transparency laid on white, 16-bit gray brought to 8.

    Raises TooLargeError, before decoding, if the header promises more than `max_pixels`, and DecodeError if the bytes
    are no picture or a damaged one.
    """
    try:
        with warnings.catch_warnings(action="ignore"), _open(data) as image:  # of flaws in files that can be read
            header = _header(image)
            if header.width * header.height > max_pixels:
                raise TooLargeError(header, max_pixels)
            return Picture(np.asarray(_on_white(ImageOps.exif_transpose(image))), header)
    except UnidentifiedImageError:
        raise DecodeError("not a known picture format" if data else "the file is empty") from None
    except FAULTS as error:
        raise DecodeError(_one_line(error)) from None


def _open(data: bytes) -> Image.Image:
    # decode() has a limit of its own, which the caller can raise; Pillow's would refuse honest large scans
    Image.MAX_IMAGE_PIXELS = None
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _header(image: Image.Image) -> Header:
    width, height = image.size
    return Header(width, height, (image.format or "unknown").lower(), image.mode, getattr(image, "n_frames", 1))


def _on_white(image: Image.Image) -> Image.Image:
    """Composite rather than `convert("RGB")`, which would show the colours hidden under transparent pixels."""
    if image.mode.startswith("I;16"):  # convert() would clip all but the darkest 256th to white
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _one_line(error: BaseException) -> str:
    """Class and message without line breaks and addresses, which differ from run to run."""
    message = re.sub(r"\s+", " ", re.sub(r"<[^>]* at 0x[0-9a-fA-F]+>", "the file", str(error)))
    return f"{type(error).__name__}: {message}"[:300]
