"""Random changes to pictures on TensorFlow tensors, as pure functions of a seed.

A seed is (2,) int64, [config seed, step], as TensorFlow's stateless random functions take it. Pixels are
(b, size, size, c) in [-1, 1], where 1 is paper and white.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

MAX_THINNING_PX = 0.6  # off each edge of a stroke: a whole pixel would delete strokes that are 2 px wide
MAX_INK_LIGHTENING = 30 / 255  # of black ink, before fading
MIN_FADED_STRENGTH = 0.7  # share of the ink that the strongest fading leaves
NOISE = 2 * 5 / 255  # standard deviation: 5 levels of 255, on a scale from -1 to 1
GAPS = 4  # white squares in a picture
MAX_GAP_SHARE = 1 / 16  # side of the largest gap, as a share of the picture's side

RandomDraw = Callable[[Any], Any]
"""Random numbers for a number of pictures: (count) -> tensor (count, ...)."""
RowSelector = Callable[[RandomDraw], Any]
"""Random numbers for the pictures at hand: their rows of what a RandomDraw gives for the whole batch."""


def derive_seed(seed: Any, number: int) -> Any:
    """The seed of a step's random choice number `number`, so that its choices are independent."""
    return seed + tf.constant([number, 0], tf.int64)


def uniform_per_picture(
    seed: Any, rows: int, count: Any, least: Any = 0.0, bound: Any = 1.0, dtype: Any = tf.float32
) -> Any:
    """Uniform numbers (rows, count) in [least, bound), one column for each picture.

    They are drawn for the whole batch, and a device takes the columns of its own pictures. So the number of devices
    changes nothing for a picture.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tf.random.stateless_uniform((rows, count), seed, least, bound, dtype)
    whole = tf.random.stateless_uniform((rows, count * context.num_replicas_in_sync), seed, least, bound, dtype)
    first = context.replica_id_in_sync_group * count
    return whole[:, first : first + count]


def translate_and_cutout(pixels: Any, seed: Any, share: float) -> Any:
    """Shift each picture by up to `share` of its side and whiten one square of that side. Gradients pass.

    Colours stay as they are, since colours are what the generator learns. Source: Zhao et al., "Differentiable
    augmentation" (2020), arXiv:2006.10738, translation and cutout.
    """
    count, size = tf.shape(pixels)[0], pixels.shape[1]
    reach = int(share * size)
    shifts = uniform_per_picture(seed, 2, count, -reach, reach + 1, tf.int32)
    corners = uniform_per_picture(derive_seed(seed, 1), 2, count, 0, size - reach + 1, tf.int32)
    ink = pixels - 1  # white is 0, which the products below bring in from outside
    # a product with a shifted identity shifts, and so does its gradient; the gradient of tf.gather is slow
    ink = tf.einsum("bij,bjwc->biwc", _shift_matrices(shifts[0], size), ink)
    ink = tf.einsum("bij,bhjc->bhic", _shift_matrices(shifts[1], size), ink)
    rows, columns = (_span_mask(corner, reach, size) for corner in tf.unstack(corners))
    return 1 + ink * (1 - rows[:, :, None, None] * columns[:, None, :, None])


def vary_lines(lines: Any, seed: Any, share: float, own: RowSelector | None = None) -> Any:
    """Lines (b, size, size, 1) as other pens and scanners would draw them, in about `share` of the pictures.

    Half of these get thicker or thinner strokes. All of them get gaps, ink lightened by 0 to 30 levels of 255 and faded
    to between 1 and 0.7 of its strength, and noise with a standard deviation of 5 levels. The other pictures stay
    bit-equal. `own` selects the rows of these pictures if they are part of a larger batch.
    """
    own = own or (lambda draw: draw(tf.shape(lines)[0]))
    draws = tf.unstack(own(lambda rows: tf.random.stateless_uniform((rows, 4, 1, 1, 1), seed)), axis=1)
    varied = _cut_gaps(_change_strokes(lines, draws[0]), derive_seed(seed, 1), own)
    ink = (1 - MAX_INK_LIGHTENING * draws[1]) * (MIN_FADED_STRENGTH + (1 - MIN_FADED_STRENGTH) * draws[2])
    noise = NOISE * own(lambda rows: tf.random.stateless_normal((rows, *lines.shape[1:]), derive_seed(seed, 2)))
    varied = tf.clip_by_value(1 + ink * (varied - 1) + noise, -1, 1)
    return tf.where(draws[3] < share, varied, lines)


def _change_strokes(lines: Any, draws: Any) -> Any:
    """Lines with thicker strokes for draws below 1/4 (by up to 1 px an edge), thinner ones above 3/4."""
    thicker, thinner = tf.nn.relu(1 - 4 * draws), MAX_THINNING_PX * tf.nn.relu(4 * draws - 3)
    dark = -tf.nn.max_pool2d(-lines, 3, 1, "SAME")
    light = tf.nn.max_pool2d(lines, 3, 1, "SAME")
    return lines + thicker * (dark - lines) + thinner * (light - lines)


def _cut_gaps(lines: Any, seed: Any, own: RowSelector) -> Any:
    """Lines with GAPS white squares in each picture, with sides from 1 px to MAX_GAP_SHARE of the picture's."""
    size = lines.shape[1]
    widest = max(1, int(MAX_GAP_SHARE * size))
    sides = own(lambda rows: tf.random.stateless_uniform((rows, GAPS), seed, 1, widest + 1, tf.int32))
    corners = own(lambda rows: tf.random.stateless_uniform((rows, GAPS, 2), derive_seed(seed, 10), 0, size, tf.int32))
    for gap in range(GAPS):
        side, row, column = sides[:, gap], corners[:, gap, 0], corners[:, gap, 1]
        white = _span_mask(row, side, size)[:, :, None, None] * _span_mask(column, side, size)[:, None, :, None]
        lines = lines + white * (1 - lines)
    return lines


def _shift_matrices(shifts: Any, size: int) -> Any:
    """Shifts (b,) in px -> (b, size, size): row i has its 1 in column i - shift, or nowhere if that is outside."""
    positions = tf.range(size)
    return tf.cast(positions[None, :, None] - shifts[:, None, None] == positions[None, None, :], tf.float32)


def _span_mask(first: Any, length: Any, size: int) -> Any:
    """Spans (b,) -> (b, size): 1 from position `first` on, for `length` px, which is one number or (b,)."""
    positions, first = tf.range(size)[None], first[:, None]
    return tf.cast((positions >= first) & (positions < first + tf.reshape(length, (-1, 1))), tf.float32)
