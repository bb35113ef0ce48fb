"""Pixels decoded from shards equal the pixels stored, whatever kind of PNG they are stored as."""

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
def test_decoding_a_png_from_curate_or_opencv_or_raw_bytes_gives_the_pixels_stored(
    pixels: npt.NDArray[np.uint8], flat: bool
) -> None:
    pixels = np.where(pixels < 250, 0, pixels) if flat else pixels
    channels = pixels.shape[2]
    from_curate = encode_png(pixels if channels == 3 else pixels[..., 0])
    from_opencv = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    for data in (from_curate, from_opencv):
        np.testing.assert_array_equal(decode_png(data, 9, channels), pixels)
    np.testing.assert_array_equal(decode_raw_pixels(pixels.tobytes(), 9, channels), pixels)


@given(PICTURES, st.booleans())
def test_decoding_a_png_from_pillow_with_any_row_filters_gives_the_pixels_stored(
    pixels: npt.NDArray[np.uint8], optimize: bool
) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).save(file, "png", optimize=optimize)
    np.testing.assert_array_equal(decode_png(file.getvalue(), 9, pixels.shape[2]), pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_of_one_bit_a_pixel_is_read_as_black_and_white(channels: int) -> None:
    pixels = np.where(np.random.default_rng(0).random((9, 9, 1)) < 0.5, 0, 255).astype(np.uint8)
    data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes()
    np.testing.assert_array_equal(decode_png(data, 9, channels), np.repeat(pixels, channels, axis=2))


def test_a_truncated_png_or_one_of_another_size_is_an_error_that_names_the_remedy() -> None:
    data = encode_png(np.full((9, 9), 7, np.uint8))
    for damaged, size in ((data, 8), (data[:50], 9)):
        with pytest.raises(RunError, match="curate shard"):
            decode_png(damaged, size, 1)
