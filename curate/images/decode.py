"""Decode the bytes of a file into an upright RGB picture on white."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from curate.images import svg
from curate.images.array_types import Rgb
from curate.system.errors import DecodeError

# Pillow reads more formats but hands some of them (EPS) to other programs; JPEG includes the MPO of stereo cameras
PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
ICC_COLOR_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}
"""Pillow mode -> the colour space that an ICC profile for it declares."""

# reads of a file while it is decoded: about ten seconds in Pillow, or a GIF of 250 MB
MAX_READS = 2_000_000
# reads while the pages of a TIFF are counted, 22 per page: Pillow's time grows with the square of the page count
MAX_TIFF_READS = 5_000 * 22
JPEG_SCAN_MARKER = b"\xff\xda"  # begins a scan of a JPEG, and never occurs in its pixels
MAX_JPEG_SCAN_PIXELS = 5e9  # pixels times scans of a JPEG: about ten seconds
MAX_HEADER_VALUE = 2**31 - 1  # the largest width, height (px) or number of frames that the manifest can hold

# Pillow's plugins raise these on damaged files; any other exception is a bug and passes through
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    RuntimeError,
    MemoryError,
    AssertionError,  # raised by Pillow if a second header contradicts the first
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class PictureHeader:
    """The header of a picture file. Width and height in px as stored, before EXIF rotation."""

    width: int
    height: int
    format: str
    mode: str
    frames: int


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    rgb: Rgb
    header: PictureHeader


class DecodeMemoryError(DecodeError, MemoryError):
    """The picture needs more memory than this process can get; another process may succeed."""


class TooLargeError(DecodeError):
    """The header declares more pixels than allowed; nothing was decoded."""

    def __init__(self, header: PictureHeader, max_pixels: int) -> None:
        self.header = header
        pixels = header.width * header.height
        super().__init__(f"{pixels:,} pixels is over the limit of {max_pixels:,}: raise --max-pixels to take it")


def decode(data: bytes, max_pixels: int = 200_000_000) -> Picture:
    """Decode a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or SVG by its bytes; of an animation, the first frame.

    EXIF orientation is applied, transparency is laid on white, colours with an ICC profile are converted to sRGB, and
    gray of more than 8 bits is reduced to 8. CMYK without a profile is converted by Pillow's formula,
    R = (255 - C)(255 - K) / 255.

    Raises TooLargeError, before decoding, if the header declares more than `max_pixels`; DecodeMemoryError if memory
    runs out; DecodeError if the bytes are not a picture, or the picture is damaged.
    """
    try:
        file = svg.render_svg(data) if svg.is_svg(data) else data
        with warnings.catch_warnings(action="ignore"), _open(file) as image:  # Pillow warns of flaws in readable files
            header = _header(image)
            header = header if file is data else replace(header, format="svg")
            if header.width * header.height > max_pixels:
                raise TooLargeError(header, max_pixels)
            if image.format in {"JPEG", "MPO"}:
                _check_scans(file, header)
            rgb = _plain_jpeg(file, image)
            return Picture(np.asarray(_on_white(_upright(image))) if rgb is None else rgb, header)
    except UnidentifiedImageError:
        raise DecodeError("not a known picture format" if data else "the file is empty") from None
    except PILLOW_ERRORS as error:
        # Pillow's decoders report a lack of memory as an OSError
        out_of_memory = isinstance(error, MemoryError) or str(error).startswith("out of memory")
        raise (DecodeMemoryError if out_of_memory else DecodeError)(_one_line(error)) from None


class _Bytes(io.BytesIO):
    """A file with a limit on the number of reads, which stops a parser that would loop for ever."""

    reads_left = MAX_READS

    def read(self, size: int | None = -1) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise DecodeError(
                "the file is in too many pieces, or has too many pages: save it anew, the first page alone"
            )
        return super().read(size)


def _open(data: bytes) -> Image.Image:
    # decode() has its own limit, which the caller can raise; Pillow's limit would refuse large scans
    Image.MAX_IMAGE_PIXELS = None
    return Image.open(_Bytes(data), formats=PILLOW_FORMATS)


def _header(image: Image.Image) -> PictureHeader:
    width, height = image.size
    file = getattr(image, "fp", None)
    if isinstance(file, _Bytes) and image.format == "TIFF":
        file.reads_left = MAX_TIFF_READS
    frames = getattr(image, "n_frames", 1)
    if isinstance(file, _Bytes):
        file.reads_left = MAX_READS
    if max(width, height, frames) > MAX_HEADER_VALUE:
        raise DecodeError(f"the header tells of {width} x {height} px and {frames} frames: it is damaged")
    return PictureHeader(width, height, (image.format or "unknown").lower(), image.mode, frames)


def _check_scans(data: bytes, header: PictureHeader) -> None:
    """Raise DecodeError for too many scans: a scan of thirty bytes can still make the decoder visit every pixel."""
    scans = data.count(JPEG_SCAN_MARKER[1:])  # an upper bound; counting one byte takes a third of the time
    if scans * header.width * header.height > MAX_JPEG_SCAN_PIXELS:
        scans = data.count(JPEG_SCAN_MARKER)
    if scans * header.width * header.height > MAX_JPEG_SCAN_PIXELS and scans > 1:
        raise DecodeError(f"the JPEG has {scans:,} scans, too many for its size: save it anew")


def _plain_jpeg(data: bytes, image: Image.Image) -> Rgb | None:
    """Pixels of a sound JPEG that needs no rotation and no conversion to sRGB, as nearly all do; None for other files.

    They equal Pillow's and take half the time: Pillow decodes to four bytes per pixel and copies them to three.
    """
    if image.format != "JPEG" or image.mode not in {"RGB", "L"} or _is_rotated(image):
        return None
    profile = image.info.get("icc_profile")
    if profile and _transform(profile, image.mode) is not None:
        return None
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB", strict=True), np.uint8)
    except ValueError:  # damaged or unusual: Pillow decides
        return None


def _is_rotated(image: Image.Image) -> bool:
    return bool(image.getexif().get(ExifTags.Base.Orientation, 1) != 1)


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image) if _is_rotated(image) else image  # exif_transpose copies


def _on_white(image: Image.Image) -> Image.Image:
    """Lay the picture on white, as RGB. `convert("RGB")` would show the colours hidden under transparent pixels."""
    image = _eight_bits(image)
    if image.has_transparency_data:
        image = _srgb(image.convert("RGBA"))
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    image = _srgb(image if image.mode in ICC_COLOR_SPACES else image.convert("RGB"))
    return image if image.mode == "RGB" else image.convert("RGB")  # convert copies


def _eight_bits(image: Image.Image) -> Image.Image:
    """Reduce gray of more than 8 bits, which `convert` would clip at 255, and transparent colour keys of 16 bits."""
    key = image.info.get("transparency")
    if (
        image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255
    ):  # a 16-bit PNG, whose pixels Pillow cuts to 8 bits
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    peak = float(values.max()) if image.mode in {"I", "F"} else 65535.0
    scale = 255.0 if peak <= 1 else 1.0 if peak <= 255 else 1 / 256  # floats range to 1 or to 255
    gray = Image.fromarray(np.clip(values * scale, 0, 255).astype(np.uint8))
    if isinstance(key, int):
        gray.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    gray.info |= {name: value for name, value in image.info.items() if name == "icc_profile"}
    return gray


def _srgb(image: Image.Image) -> Image.Image:
    """Convert to sRGB by the embedded ICC profile if it fits the mode; ignore a broken profile."""
    profile = image.info.get("icc_profile")
    bands = image.mode.removesuffix("A")
    transform = _transform(profile, bands) if profile else None
    if transform is None:
        return image
    opaque = image.convert(bands)
    opaque = ImageCms.applyTransform(opaque, transform) or opaque
    if bands != image.mode:
        opaque.putalpha(image.getchannel("A"))
    return opaque


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from an ICC profile to sRGB; None if the profile is sRGB, broken, or for another mode.

    Building one takes milliseconds.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ICC_COLOR_SPACES.get(mode) != source.profile.xcolor_space:
            return None
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _one_line(error: BaseException) -> str:
    """The error's class and message, without line breaks and memory addresses, which differ from run to run."""
    message = re.sub(r"\s+", " ", re.sub(r"<[^>]* at 0x[0-9a-fA-F]+>", "the file", str(error)))
    return f"{type(error).__name__}: {message}"[:300]
