"""PNGs that extract writes: any reader's pixels are those that were stored, in no more bytes than OpenCV takes."""

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

from curate.decode import decode
from curate.png import NONE, SUB, png
from curate.square import square

Pixels = npt.NDArray[np.uint8]
sides = st.integers(1, 40)
shapes = st.one_of(st.tuples(sides, sides), st.tuples(sides, sides, st.just(3)))
few = st.sampled_from([0, 1, 254, 255])  # so that there are flat pictures, too
pictures = shapes.flatmap(lambda shape: st.one_of(arrays(np.uint8, shape), arrays(np.uint8, shape, elements=few)))


@given(pictures)
def test_opencv_and_pillow_read_the_pixels_that_were_stored(pixels: Pixels) -> None:
    data = png(pixels)
    flags = cv2.IMREAD_COLOR_RGB if pixels.ndim > 2 else cv2.IMREAD_GRAYSCALE
    assert np.array_equal(np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), flags)), pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    assert np.array_equal(decode(data).rgb, pixels if pixels.ndim > 2 else np.stack([pixels] * 3, axis=-1))


@given(arrays(np.bool_, st.tuples(sides, sides)))
def test_one_bit_a_pixel_is_read_as_black_and_white(white: npt.NDArray[np.bool_]) -> None:
    data = png(np.where(white, 255, 0).astype(np.uint8), bilevel=True)
    assert Image.open(io.BytesIO(data)).mode == "1"
    found = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))
    assert np.array_equal(found, np.where(white, 255, 0))


def test_a_view_of_other_pixels_is_stored_as_it_looks() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    for view in (pixels[3:, 5:], pixels[::-1], pixels[..., ::-1], pixels[::2, ::3]):
        assert np.array_equal(decode(png(view)).rgb, view)


@pytest.mark.parametrize(("pixels", "expected"), [("flat", NONE), ("shaded", SUB)])
def test_what_repeats_is_stored_as_it_is_and_what_is_shaded_by_differences(pixels: str, expected: int) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    data = png(np.full_like(ramp, 9) if pixels == "flat" else ramp)
    packed = data[data.index(b"IDAT") + 4 :]
    rows = np.frombuffer(zlib.decompressobj().decompress(packed), np.uint8).reshape(64, 65)
    assert (rows[:, 0] == expected).all()
    if pixels == "shaded":
        assert (rows[:, 2:] == 3).all()


def test_real_art_takes_no_more_bytes_than_opencv_writes(art: Path) -> None:
    ours = opencvs = 0
    for path in sorted(art.glob("*.png")):
        small = square(decode(path.read_bytes()).rgb, 128)
        soft = cv2.GaussianBlur(small, (0, 0), 2)
        for pixels in (small, np.asarray(soft, np.uint8)):
            ours += len(png(pixels))
            opencvs += len(cv2.imencode(".png", pixels)[1])
    assert 0 < ours < opencvs
