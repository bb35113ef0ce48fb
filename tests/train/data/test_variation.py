"""Line variation changes a share of the pictures, within stated limits, and nothing but their lines."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from train.data.augment import _change_strokes, _cut_gaps, vary_lines
from train.data.batches import BatchOptions, decode_batch, training_batches
from train.data.pairs import Pairs
from train.data.sampling_order import pair_numbers_at_step


def seed(number: int, step: int) -> Any:
    return tf.constant([number, step], tf.int64)


@pytest.fixture(scope="module")
def strokes() -> Any:
    """400 pictures of 32 px with a black stroke 4 px wide: (400, 32, 32, 1)."""
    pixels = np.ones((400, 32, 32, 1), np.float32)
    pixels[:, :, 14:18] = -1
    return tf.constant(pixels)


def test_about_the_given_share_is_varied_and_the_rest_stays_bit_equal(strokes: Any) -> None:
    for share in (0.0, 0.3, 1.0):
        varied = vary_lines(strokes, seed(0, 1), share).numpy()
        changed = (varied != strokes.numpy()).any(axis=(1, 2, 3)).mean()
        assert changed == pytest.approx(share, abs=0.08 if 0 < share < 1 else 0)


def test_variation_depends_on_seed_and_step_alone(strokes: Any) -> None:
    first, again = (vary_lines(strokes, seed(3, 5), 0.5).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for other in (seed(3, 6), seed(4, 5)):
        assert (vary_lines(strokes, other, 0.5).numpy() != first).any()


def test_each_picture_is_varied_differently(strokes: Any) -> None:
    varied = vary_lines(strokes, seed(0, 0), 1.0).numpy()
    assert len(np.unique(varied.reshape(400, -1), axis=0)) == 400


def test_pixels_stay_between_ink_and_paper(strokes: Any) -> None:
    varied = vary_lines(strokes, seed(0, 0), 1.0).numpy()
    assert -1 <= varied.min() < varied.max() <= 1


def test_ink_is_lightened_and_faded_within_its_limits(strokes: Any) -> None:
    """Ink lies between black and 0.7 of level 225. The median ignores edges and gaps, under 2 % of a stroke."""
    ink = np.median((1 - vary_lines(strokes, seed(0, 0), 1.0).numpy()[:, :, 15:17, 0]) / 2, axis=(1, 2))
    assert 0.7 * 225 / 255 - 0.03 < ink.min() < 0.7
    assert 0.95 < ink.max() <= 1


def test_noise_has_a_standard_deviation_of_five_levels() -> None:
    gray = tf.zeros((50, 32, 32, 1))
    varied = vary_lines(gray, seed(0, 0), 1.0).numpy()
    steps = np.median(abs(np.diff(varied[..., 0], axis=2)))  # the median ignores the edges of gaps
    assert steps / 0.6745 / np.sqrt(2) == pytest.approx(2 * 5 / 255, rel=0.1)


def test_strokes_grow_by_up_to_a_pixel_shrink_by_less_or_stay(strokes: Any) -> None:
    draws = tf.reshape(tf.constant([0.0, 0.25, 0.5, 0.75, 1.0]), (5, 1, 1, 1))
    ink = tf.reduce_sum((1 - _change_strokes(strokes[:5], draws)) / 2, axis=(1, 2, 3)).numpy() / 32
    np.testing.assert_allclose(ink, [6, 4, 4, 4, 4 - 2 * 0.6], atol=1e-5)


def test_gaps_are_up_to_four_small_white_squares() -> None:
    black = -tf.ones((50, 64, 64, 1))
    cut = _cut_gaps(black, seed(0, 0), lambda draw: draw(50)).numpy()
    assert set(np.unique(cut)) == {-1, 1}
    white = (cut == 1).sum(axis=(1, 2, 3))
    assert 1 <= white.min() <= white.max() <= 4 * 4 * 4


def test_padding_colours_and_tags_are_not_varied(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    records = [_narrow(pairs.read_record(number)) for number in range(8)]
    plain, varied = (decode_batch(records, 4, pairs, BatchOptions(0, line_variation=share)) for share in (0.0, 1.0))
    outside = varied.mask.numpy() == 0
    assert outside.mean() > 0.3
    assert (varied.lines.numpy()[outside] == 1).all()
    assert (varied.lines.numpy() != plain.lines.numpy())[~outside].mean() > 0.3
    for before, after in zip(plain[1:], varied[1:], strict=True):
        np.testing.assert_array_equal(before, after)


def _narrow(record: bytes) -> bytes:
    """The pair with a content box 20 px wide."""
    example = tf.train.Example.FromString(record)
    example.features.feature["content_box"].int64_list.value[:] = [0, 6, 32, 20]
    return bytes(example.SerializeToString())


def test_with_the_target_lines_the_target_is_not_varied(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    batch = next(iter(training_batches(pairs, 8, BatchOptions(0, target="lines", line_variation=1.0))))
    plain = next(iter(training_batches(pairs, 8, BatchOptions(0, target="lines"))))
    np.testing.assert_array_equal(batch.colors, plain.colors)
    assert (batch.lines.numpy() != plain.lines.numpy()).any()


def test_decode_batch_gives_the_batch_that_training_reads(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    options = BatchOptions(2, True, 0.3, 0.3, jitter=0.6, line_variation=0.7)
    numbers = pair_numbers_at_step(2, 11, 20, len(pairs))  # more than a thread takes at once
    eager = decode_batch([pairs.read_record(number) for number in numbers], 11, pairs, options)
    graph = next(iter(training_batches(pairs, 20, options, 11)))
    for left, right in zip(eager, graph, strict=True):
        np.testing.assert_allclose(left, right, atol=0.008)  # one level: sines of jitter differ in the last bit
