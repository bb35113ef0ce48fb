"""Pictures turned, enlarged, stretched and moved: by as much as is drawn, and as TensorFlow does it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from train.data.jitter import affine_maps, warp_pair

SIZE = 24


def moved(picture: npt.NDArray[np.uint8], draws: tuple[float, ...], share: float = 1.0) -> tuple[Any, Any, Any]:
    """Of a gray picture (size, size, 1) that is drawn in all of its square."""
    by = affine_maps(tf.constant([draws], tf.float32), len(picture), share).numpy()[0]
    return warp_pair(picture, np.repeat(picture, 3, axis=2), np.ones_like(picture), by)


def transformed(pixels: npt.NDArray[Any], by: tf.Tensor, interpolation: str) -> npt.NDArray[np.float32]:
    """By TensorFlow, zeros coming in."""
    found: npt.NDArray[np.float32] = tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels[None].astype(np.float32),
        transforms=tf.pad(by, [[0, 0], [0, 2]]),
        output_shape=[SIZE, SIZE],
        fill_value=0.0,
        interpolation=interpolation,
        fill_mode="CONSTANT",
    ).numpy()[0]
    return found


def places(by: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(size, size, 2) where each new pixel is from."""
    down, right = np.mgrid[:SIZE, :SIZE]
    return np.stack([right, down, np.ones_like(down)], axis=2) @ by.astype(np.float64).reshape(2, 3).T


@given(st.tuples(*[st.floats(-1, 1, width=32)] * 5), st.floats(0, 1), st.integers(0, 99))
def test_it_is_the_projective_transform_of_tensorflow(draws: tuple[float, ...], share: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    line, color = (random.integers(0, 256, (SIZE, SIZE, count), np.uint8) for count in (1, 3))
    mask = np.zeros((SIZE, SIZE, 1), np.uint8)
    mask[random.integers(12) :, : random.integers(12, SIZE)] = 1
    by = affine_maps(tf.constant([draws], tf.float32), SIZE, share)
    inside = transformed(mask, by, "NEAREST") > 0
    drawn = transformed(np.concatenate([line, color], axis=2) - np.float32(255), by, "BILINEAR")  # 0 is white
    found = warp_pair(line, color, mask, by.numpy()[0])
    edge = (abs(places(by.numpy()[0]) % 1 - 0.5) < 1e-3).any(axis=2, keepdims=True)  # where rounding decides
    assert ((found[2] == inside) | edge).all()
    levels = np.where(inside, 255 + drawn, 255)
    assert (np.isclose(np.concatenate(found[:2], axis=2), levels, atol=0.52) | edge).all()  # to the nearest level


def test_it_moves_by_a_share_of_the_side_and_brings_in_white_outside_the_mask() -> None:
    line, color, inside = moved(np.zeros((100, 100, 1), np.uint8), (0.0, 0.0, 0.0, 0.5, -0.5))
    assert (inside[4:, :96] == 1).all()
    assert inside[:4].max() == inside[:, 96:].max() == 0
    for pixels in (line, color):
        np.testing.assert_array_equal(pixels, np.where(inside, 0, 255) + np.zeros_like(pixels))


def test_a_share_of_nothing_changes_nothing() -> None:
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    line, color, inside = moved(picture, (1.0, -1.0, 0.5, 1.0, 1.0), share=0)
    np.testing.assert_array_equal(line, picture)
    np.testing.assert_array_equal(color, np.repeat(line, 3, axis=2))
    assert inside.all()
