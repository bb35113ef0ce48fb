"""Jitter moves pairs by as much as the map says, and as TensorFlow's projective transform does."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from train.data.jitter import affine_maps, warp_pair

SIZE = 24


def jittered(picture: npt.NDArray[np.uint8], draws: tuple[float, ...], share: float = 1.0) -> tuple[Any, Any, Any]:
    """Lines, colours and mask of a gray picture (size, size, 1) whose content box is the whole square."""
    affine_map = affine_maps(tf.constant([draws], tf.float32), len(picture), share).numpy()[0]
    return warp_pair(picture, np.repeat(picture, 3, axis=2), np.ones_like(picture), affine_map)


def tensorflow_warped(pixels: npt.NDArray[Any], affine_map: tf.Tensor, interpolation: str) -> npt.NDArray[np.float32]:
    """The same by TensorFlow, with 0 beyond the edges."""
    warped: npt.NDArray[np.float32] = tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels[None].astype(np.float32),
        transforms=tf.pad(affine_map, [[0, 0], [0, 2]]),
        output_shape=[SIZE, SIZE],
        fill_value=0.0,
        interpolation=interpolation,
        fill_mode="CONSTANT",
    ).numpy()[0]
    return warped


def source_positions(affine_map: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(size, size, 2): where each new pixel comes from."""
    down, right = np.mgrid[:SIZE, :SIZE]
    return np.stack([right, down, np.ones_like(down)], axis=2) @ affine_map.astype(np.float64).reshape(2, 3).T


@given(st.tuples(*[st.floats(-1, 1, width=32)] * 5), st.floats(0, 1), st.integers(0, 99))
def test_a_warped_pair_equals_tensorflows_projective_transform_of_it(
    draws: tuple[float, ...], share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    line, color = (random.integers(0, 256, (SIZE, SIZE, count), np.uint8) for count in (1, 3))
    mask = np.zeros((SIZE, SIZE, 1), np.uint8)
    mask[random.integers(12) :, : random.integers(12, SIZE)] = 1
    affine_map = affine_maps(tf.constant([draws], tf.float32), SIZE, share)
    inside = tensorflow_warped(mask, affine_map, "NEAREST") > 0
    ink = np.concatenate([line, color], axis=2) - np.float32(255)  # white is 0
    expected = np.where(inside, 255 + tensorflow_warped(ink, affine_map, "BILINEAR"), 255)
    *pixels, new_mask = warp_pair(line, color, mask, affine_map.numpy()[0])
    # halfway between two pixels, rounding decides which is the nearest
    tie = (abs(source_positions(affine_map.numpy()[0]) % 1 - 0.5) < 1e-3).any(axis=2, keepdims=True)
    assert ((new_mask == inside) | tie).all()
    assert (np.isclose(np.concatenate(pixels, axis=2), expected, atol=0.52) | tie).all()  # to the nearest level


def test_a_shift_is_a_share_of_the_side_and_brings_in_white_outside_the_mask() -> None:
    line, color, mask = jittered(np.zeros((100, 100, 1), np.uint8), (0.0, 0.0, 0.0, 0.5, -0.5))
    assert (mask[4:, :96] == 1).all()
    assert mask[:4].max() == mask[:, 96:].max() == 0
    for pixels in (line, color):
        np.testing.assert_array_equal(pixels, np.where(mask, 0, 255) + np.zeros_like(pixels))


def test_jitter_of_strength_zero_changes_nothing() -> None:
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    line, color, mask = jittered(picture, (1.0, -1.0, 0.5, 1.0, 1.0), share=0)
    np.testing.assert_array_equal(line, picture)
    np.testing.assert_array_equal(color, np.repeat(line, 3, axis=2))
    assert mask.all()
