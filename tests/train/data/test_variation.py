"""Line art as other pens and scanners would have it: some of the pictures, and nothing but their ink and paper."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from train.data.augment import _change_strokes, _cut_gaps, vary_lines
from train.data.batches import BatchOptions, decode_batch, training_batches
from train.data.order import pair_numbers_at_step
from train.data.pairs import Pairs


def seed(number: int, step: int) -> Any:
    return tf.constant([number, step], tf.int64)


@pytest.fixture(scope="module")
def strokes() -> Any:
    """400 pictures of 32 px with a black stroke 4 px wide: (400, 32, 32, 1)."""
    pixels = np.ones((400, 32, 32, 1), np.float32)
    pixels[:, :, 14:18] = -1
    return tf.constant(pixels)


def test_about_the_share_asked_for_is_varied_and_the_rest_is_as_it_was(strokes: Any) -> None:
    for share in (0.0, 0.3, 1.0):
        made = vary_lines(strokes, seed(0, 1), share).numpy()
        changed = (made != strokes.numpy()).any(axis=(1, 2, 3)).mean()
        assert changed == pytest.approx(share, abs=0.08 if 0 < share < 1 else 0)


def test_variation_follows_from_seed_and_step_alone(strokes: Any) -> None:
    first, again = (vary_lines(strokes, seed(3, 5), 0.5).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for other in (seed(3, 6), seed(4, 5)):
        assert (vary_lines(strokes, other, 0.5).numpy() != first).any()


def test_pictures_are_varied_each_for_itself(strokes: Any) -> None:
    made = vary_lines(strokes, seed(0, 0), 1.0).numpy()
    assert len(np.unique(made.reshape(400, -1), axis=0)) == 400


def test_pixels_stay_between_ink_and_paper(strokes: Any) -> None:
    made = vary_lines(strokes, seed(0, 0), 1.0).numpy()
    assert -1 <= made.min() < made.max() <= 1


def test_ink_is_paled_and_faded_by_as_much_as_it_says(strokes: Any) -> None:
    """Far from edges and gaps, which make less than 2 % of a stroke white: at darkest black, at palest .7 of 225."""
    ink = np.median((1 - vary_lines(strokes, seed(0, 0), 1.0).numpy()[:, :, 15:17, 0]) / 2, axis=(1, 2))
    assert 0.7 * 225 / 255 - 0.03 < ink.min() < 0.7
    assert 0.95 < ink.max() <= 1


def test_noise_has_the_deviation_it_says() -> None:
    gray = tf.zeros((50, 32, 32, 1))
    made = vary_lines(gray, seed(0, 0), 1.0).numpy()
    steps = np.median(abs(np.diff(made[..., 0], axis=2)))  # the median passes over the edges of gaps
    assert steps / 0.6745 / np.sqrt(2) == pytest.approx(2 * 5 / 255, rel=0.1)


def test_strokes_grow_by_a_pixel_or_shrink_by_less_and_half_stay(strokes: Any) -> None:
    draws = tf.reshape(tf.constant([0.0, 0.25, 0.5, 0.75, 1.0]), (5, 1, 1, 1))
    ink = tf.reduce_sum((1 - _change_strokes(strokes[:5], draws)) / 2, axis=(1, 2, 3)).numpy() / 32
    np.testing.assert_allclose(ink, [6, 4, 4, 4, 4 - 2 * 0.6], atol=1e-5)


def test_gaps_are_a_few_small_white_patches() -> None:
    black = -tf.ones((50, 64, 64, 1))
    made = _cut_gaps(black, seed(0, 0), lambda draw: draw(50)).numpy()
    assert set(np.unique(made)) == {-1, 1}
    white = (made == 1).sum(axis=(1, 2, 3))
    assert 1 <= white.min() <= white.max() <= 4 * 4 * 4


def test_nothing_is_varied_outside_the_content_box_nor_in_colours_and_tags(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    boxed = [_narrow(pairs.read_record(number)) for number in range(8)]
    plain, varied = (decode_batch(boxed, 4, pairs, BatchOptions(0, line_variation=one)) for one in (0.0, 1.0))
    outside = varied.mask.numpy() == 0
    assert outside.mean() > 0.3
    assert (varied.lines.numpy()[outside] == 1).all()
    assert (varied.lines.numpy() != plain.lines.numpy())[~outside].mean() > 0.3
    for one, other in zip(plain[1:], varied[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def _narrow(record: bytes) -> bytes:
    """The pair as if its drawing were 20 px wide."""
    example = tf.train.Example.FromString(record)
    example.features.feature["content_box"].int64_list.value[:] = [0, 6, 32, 20]
    return bytes(example.SerializeToString())


def test_lines_that_are_to_be_drawn_again_are_the_unvaried_ones(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    batch = next(iter(training_batches(pairs, 8, BatchOptions(0, target="lines", line_variation=1.0))))
    plain = next(iter(training_batches(pairs, 8, BatchOptions(0, target="lines"))))
    np.testing.assert_array_equal(batch.colors, plain.colors)
    assert (batch.lines.numpy() != plain.lines.numpy()).any()


def test_pairs_decoded_by_themselves_are_those_of_the_batch(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    choices = BatchOptions(2, True, 0.3, 0.3, jitter=0.6, line_variation=0.7)
    numbers = pair_numbers_at_step(2, 11, 20, len(pairs))  # more than a thread takes at once
    eager = decode_batch([pairs.read_record(number) for number in numbers], 11, pairs, choices)
    graph = next(iter(training_batches(pairs, 20, choices, 11)))
    for one, other in zip(eager, graph, strict=True):
        np.testing.assert_allclose(one, other, atol=0.008)  # a level: sines of jitter
