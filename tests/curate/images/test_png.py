"""PNGs that extract writes: every reader gets the stored pixels, and flat art takes fewer bytes than OpenCV's."""

import io
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from curate.images.decode import decode
from curate.images.lineart import dilate
from curate.images.png import FILTER_NONE, FILTER_SUB, encode_png
from curate.images.square import letterbox

Pixels = npt.NDArray[np.uint8]
sides = st.integers(1, 40)
shapes = st.one_of(st.tuples(sides, sides), st.tuples(sides, sides, st.just(3)))
few_levels = st.sampled_from([0, 1, 254, 255])  # so that some pictures are flat
pictures = shapes.flatmap(
    lambda shape: st.one_of(arrays(np.uint8, shape), arrays(np.uint8, shape, elements=few_levels))
)


@given(pictures)
def test_opencv_and_pillow_read_the_pixels_that_were_stored(pixels: Pixels) -> None:
    data = encode_png(pixels)
    flags = cv2.IMREAD_COLOR_RGB if pixels.ndim > 2 else cv2.IMREAD_GRAYSCALE
    assert np.array_equal(np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), flags)), pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    assert np.array_equal(decode(data).rgb, pixels if pixels.ndim > 2 else np.stack([pixels] * 3, axis=-1))


@given(arrays(np.bool_, st.tuples(sides, sides)))
def test_a_bilevel_png_is_read_as_black_and_white(white: npt.NDArray[np.bool_]) -> None:
    data = encode_png(np.where(white, 255, 0).astype(np.uint8), bilevel=True)
    assert Image.open(io.BytesIO(data)).mode == "1"
    gray = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))
    assert np.array_equal(gray, np.where(white, 255, 0))


def test_strided_views_are_stored_with_their_own_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    for view in (pixels[3:, 5:], pixels[::-1], pixels[..., ::-1], pixels[::2, ::3]):
        assert np.array_equal(decode(encode_png(view)).rgb, view)


@pytest.mark.parametrize(("kind", "expected"), [("flat", FILTER_NONE), ("shaded", FILTER_SUB)])
def test_flat_art_is_stored_unfiltered_and_shaded_art_as_differences(kind: str, expected: int) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    data = encode_png(np.full_like(ramp, 9) if kind == "flat" else ramp)
    packed = data[data.index(b"IDAT") + 4 :]
    rows = np.frombuffer(zlib.decompressobj().decompress(packed), np.uint8).reshape(64, 65)
    assert (rows[:, 0] == expected).all()
    if kind == "shaded":
        assert (rows[:, 2:] == 3).all()


def padded(pixels: Pixels, share: float) -> Pixels:
    """A picture on white whose height is this share of its width."""
    height = round(share * len(pixels))
    return letterbox(np.asarray(cv2.resize(pixels, (len(pixels), height), interpolation=cv2.INTER_AREA), np.uint8), 128)


@pytest.mark.parametrize(
    ("kind", "max_ratio"), [("flat", 0.7), ("line", 1.02), ("shaded", 1.02), ("2:1", 1.02), ("3:2", 1.02)]
)
def test_flat_art_takes_fewer_bytes_than_opencv_writes_and_other_art_about_as_many(
    art: Path, kind: str, max_ratio: float
) -> None:
    our_bytes = opencv_bytes = 0
    slope = np.linspace(0.6, 1, 128)[:, None, None]
    for path in sorted(art.glob("*.png")):
        small = letterbox(decode(path.read_bytes()).rgb, 128)
        shaded = np.asarray(cv2.GaussianBlur(small, (0, 0), 2) * slope, np.uint8)
        kinds = {"flat": small, "shaded": shaded, "2:1": padded(shaded, 1 / 2), "3:2": padded(shaded, 2 / 3)}
        pixels = kinds[kind] if kind in kinds else letterbox(dilate(small), 128)
        our_bytes += len(encode_png(pixels))
        opencv_bytes += len(cv2.imencode(".png", pixels)[1])
    assert 0 < our_bytes < max_ratio * opencv_bytes
