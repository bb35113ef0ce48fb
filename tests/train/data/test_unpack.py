"""Pixels out of shards: those that were stored, whatever PNG they are stored as."""

import io

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from curate.images.png import encode_png
from train.data.unpack import decode_png, decode_raw_pixels
from train.errors import RunError

PICTURES = st.sampled_from([1, 3]).flatmap(lambda channels: arrays.arrays(np.uint8, (9, 9, channels)))


@given(PICTURES, st.booleans())
def test_pngs_of_ours_and_opencvs_and_raw_bytes_are_the_pixels_stored(
    pixels: npt.NDArray[np.uint8], flat: bool
) -> None:
    pixels = np.where(pixels < 250, 0, pixels) if flat else pixels
    channels = pixels.shape[2]
    ours = encode_png(pixels if channels == 3 else pixels[..., 0])
    opencvs = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    for data in (ours, opencvs):
        np.testing.assert_array_equal(decode_png(data, 9, channels), pixels)
    np.testing.assert_array_equal(decode_raw_pixels(pixels.tobytes(), 9, channels), pixels)


@given(PICTURES, st.booleans())
def test_a_png_with_other_filters_is_read_alike(pixels: npt.NDArray[np.uint8], small: bool) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).save(file, "png", optimize=small)
    np.testing.assert_array_equal(decode_png(file.getvalue(), 9, pixels.shape[2]), pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_of_one_bit_is_black_and_white(channels: int) -> None:
    pixels = np.where(np.random.default_rng(0).random((9, 9, 1)) < 0.5, 0, 255).astype(np.uint8)
    data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes()
    np.testing.assert_array_equal(decode_png(data, 9, channels), np.repeat(pixels, channels, axis=2))


def test_a_damaged_png_or_one_of_another_size_is_one_line() -> None:
    whole = encode_png(np.full((9, 9), 7, np.uint8))
    for data, size in ((whole, 8), (whole[:50], 9)):
        with pytest.raises(RunError, match="curate shard"):
            decode_png(data, size, 1)
