from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from curate.images.decode import decode
from curate.images.lanczos import resize_lanczos
from curate.images.max_filter import maximum_filter, minimum_filter
from curate.images.resample import pillow_luma, resize_by_area

sides = st.integers(1, 90)
grays = arrays(np.uint8, st.tuples(sides, sides))
colors = arrays(np.uint8, st.tuples(sides, sides, st.just(3)))


def by_opencv(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))


@settings(max_examples=60)
@given(st.one_of(grays, colors), sides, sides)
@example(np.full((3001, 7, 3), 255, np.uint8), 3, 2)  # the sum of so many rows overflows 16 bits
@example(np.random.default_rng(0).integers(0, 256, (3001, 7), dtype=np.uint8), 3, 2)
def test_resizing_by_area_is_within_one_level_of_opencvs(pixels: np.ndarray, width: int, height: int) -> None:
    resized, expected = resize_by_area(pixels, width, height), by_opencv(pixels, width, height)
    assert resized.shape == expected.shape
    assert np.abs(resized.astype(int) - expected).max() <= 1


def test_resizing_real_art_by_area_differs_from_opencvs_in_fewer_than_one_byte_in_ten_thousand(art: Path) -> None:
    differing = total = 0
    for path in sorted(art.glob("*.png")):
        rgb = decode(path.read_bytes()).rgb
        for width, height in ((128, 113), (90, 96), (50, 128), (101, 77)):
            for pixels in (rgb, pillow_luma(rgb), rgb[7:, 5:]):  # the last is not contiguous in memory
                resized = resize_by_area(pixels, width, height)
                differing += int((resized != by_opencv(pixels, width, height)).sum())
                total += resized.size
    assert total > 1_000_000
    assert differing / total <= 1e-4


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_a_flat_picture_keeps_its_value_when_resized(value: int) -> None:
    assert np.unique(resize_by_area(np.full((331, 417, 3), value, np.uint8), 128, 99)).tolist() == [value]
    assert np.unique(resize_lanczos(np.full((331, 417), value, np.uint8))).tolist() == [value]


@settings(max_examples=60)
@given(st.one_of(grays, arrays(np.uint8, st.tuples(st.integers(1, 700), st.integers(300, 700)))))
@example(np.random.default_rng(0).integers(0, 256, (600, 400), dtype=np.uint8))
@example(np.random.default_rng(0).integers(0, 256, (900, 300), dtype=np.uint8))
@example(np.random.default_rng(0).integers(0, 2, (32, 999), dtype=np.uint8) * np.uint8(255))
def test_lanczos_equals_pillows_bit_for_bit(gray: np.ndarray) -> None:
    expected = Image.fromarray(gray).resize((32, 32), Image.Resampling.LANCZOS)
    assert resize_lanczos(gray).tolist() == np.asarray(expected).tolist()


def test_lanczos_equals_pillows_at_every_small_size_and_where_pillow_resizes_columns_first() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1300, 600), dtype=np.uint8)
    limits = [(2 * width - 32 + more, width) for width in (64, 100, 333, 600) for more in (-1, 0, 1, 2)]
    for height, width in [*product(range(1, 65), range(1, 49)), *limits]:
        gray = noise[:height, :width]
        expected = np.asarray(Image.fromarray(gray).resize((32, 32), Image.Resampling.LANCZOS))
        assert np.array_equal(resize_lanczos(gray), expected), (height, width)


def test_luma_equals_pillows_for_every_colour() -> None:
    red, green = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for blue in range(256):
        rgb = np.stack([red, green, np.full_like(red, blue)], axis=-1)
        assert np.array_equal(pillow_luma(rgb), np.asarray(Image.fromarray(rgb).convert("L")))


@given(grays, st.integers(0, 50))
@example(np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)[5:, 7:], 9)  # not contiguous in memory
def test_maximum_and_minimum_filters_equal_opencvs(gray: np.ndarray, radius: int) -> None:
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    assert np.array_equal(maximum_filter(gray, radius), cv2.dilate(gray, window))
    assert np.array_equal(minimum_filter(gray, radius), cv2.erode(gray, window))
    out = np.full_like(gray, 77)
    assert minimum_filter(gray, radius, out) is out
    assert np.array_equal(out, cv2.erode(gray, window))
    for wrong_out in (gray, np.zeros((len(gray) + 1, 1), np.uint8)):
        with pytest.raises(ValueError, match="another array of the shape"):
            maximum_filter(gray, radius, wrong_out)
