"""PNGs that extract writes: any reader's pixels are those that were stored, in as many bytes as OpenCV's or fewer."""

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
few = st.sampled_from([0, 1, 254, 255])  # so that there are flat pictures, too
pictures = shapes.flatmap(lambda shape: st.one_of(arrays(np.uint8, shape), arrays(np.uint8, shape, elements=few)))


@given(pictures)
def test_opencv_and_pillow_read_the_pixels_that_were_stored(pixels: Pixels) -> None:
    data = encode_png(pixels)
    flags = cv2.IMREAD_COLOR_RGB if pixels.ndim > 2 else cv2.IMREAD_GRAYSCALE
    assert np.array_equal(np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), flags)), pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    assert np.array_equal(decode(data).rgb, pixels if pixels.ndim > 2 else np.stack([pixels] * 3, axis=-1))


@given(arrays(np.bool_, st.tuples(sides, sides)))
def test_one_bit_a_pixel_is_read_as_black_and_white(white: npt.NDArray[np.bool_]) -> None:
    data = encode_png(np.where(white, 255, 0).astype(np.uint8), bilevel=True)
    assert Image.open(io.BytesIO(data)).mode == "1"
    found = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))
    assert np.array_equal(found, np.where(white, 255, 0))


def test_a_view_of_other_pixels_is_stored_as_it_looks() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    for view in (pixels[3:, 5:], pixels[::-1], pixels[..., ::-1], pixels[::2, ::3]):
        assert np.array_equal(decode(encode_png(view)).rgb, view)


@pytest.mark.parametrize(("pixels", "expected"), [("flat", FILTER_NONE), ("shaded", FILTER_SUB)])
def test_what_repeats_is_stored_as_it_is_and_what_is_shaded_by_differences(pixels: str, expected: int) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    data = encode_png(np.full_like(ramp, 9) if pixels == "flat" else ramp)
    packed = data[data.index(b"IDAT") + 4 :]
    rows = np.frombuffer(zlib.decompressobj().decompress(packed), np.uint8).reshape(64, 65)
    assert (rows[:, 0] == expected).all()
    if pixels == "shaded":
        assert (rows[:, 2:] == 3).all()


def padded(pixels: Pixels, share: float) -> Pixels:
    """A picture so much wider than high, on white."""
    height = round(share * len(pixels))
    return letterbox(np.asarray(cv2.resize(pixels, (len(pixels), height), interpolation=cv2.INTER_AREA), np.uint8), 128)


@pytest.mark.parametrize(
    ("kind", "most"), [("flat", 0.7), ("line", 1.02), ("shaded", 1.02), ("2:1", 1.02), ("3:2", 1.02)]
)
def test_flat_art_takes_fewer_bytes_than_opencv_writes_and_other_art_about_as_many(
    art: Path, kind: str, most: float
) -> None:
    ours = opencvs = 0
    slope = np.linspace(0.6, 1, 128)[:, None, None]
    for path in sorted(art.glob("*.png")):
        small = letterbox(decode(path.read_bytes()).rgb, 128)
        shaded = np.asarray(cv2.GaussianBlur(small, (0, 0), 2) * slope, np.uint8)
        made = {"flat": small, "shaded": shaded, "2:1": padded(shaded, 1 / 2), "3:2": padded(shaded, 2 / 3)}
        pixels = made[kind] if kind in made else letterbox(dilate(small), 128)
        ours += len(encode_png(pixels))
        opencvs += len(cv2.imencode(".png", pixels)[1])
    assert 0 < ours < most * opencvs
