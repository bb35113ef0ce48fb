"""Random changes to pictures, as pure functions of a seed: (2,) int64, [seed, step], what stateless draws take.

All work on (b, size, size, c) pixels in [-1, 1], where 1 is paper and white.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

MAX_THINNING_PX = 0.6  # of a pixel off a stroke's edges at most: a whole one would leave nothing of strokes 2 px wide
MAX_INK_LIGHTENING, MIN_FADED_STRENGTH = (
    30 / 255,
    0.7,
)  # ink at its lightest, and what of it the strongest fading leaves
NOISE = 2 * 5 / 255  # standard deviation, on a scale from -1 to 1
GAPS, MAX_GAP_SHARE = 4, 1 / 16  # white squares in a picture, and the side of the largest as a share of the picture's


def derive_seed(seed: Any, number: int) -> Any:
    """A step's seed for another of its random choices."""
    return seed + tf.constant([number, 0], tf.int64)


def uniform_per_picture(
    seed: Any, rows: int, count: Any, least: Any = 0.0, bound: Any = 1.0, dtype: Any = tf.float32
) -> Any:
    """(rows, count) draws in [least, bound), a column a picture.

    They are made for the whole of a batch, of which a device takes those of its own pictures: what a picture meets does
    not depend on how many devices there are.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tf.random.stateless_uniform((rows, count), seed, least, bound, dtype)
    whole = tf.random.stateless_uniform((rows, count * context.num_replicas_in_sync), seed, least, bound, dtype)
    first = context.replica_id_in_sync_group * count
    return whole[:, first : first + count]


def translate_and_cutout(pixels: Any, seed: Any, share: float) -> Any:
    """Move each picture by at most `share` of its side either way, then whiten a square of that side somewhere in it.

    Colours stay as they are: they are what is to be learnt. Gradients pass. Source: Zhao et al., "Differentiable
    augmentation" (2020), arXiv:2006.10738, translation and cutout.
    """
    count, size = tf.shape(pixels)[0], pixels.shape[1]
    reach = int(share * size)
    moves = uniform_per_picture(seed, 2, count, -reach, reach + 1, tf.int32)
    corners = uniform_per_picture(derive_seed(seed, 1), 2, count, 0, size - reach + 1, tf.int32)
    ink = pixels - 1  # 0 where it is white: what is moved in from outside
    # a product with a shifted identity is a move, and its gradient one too; gathering is slow backwards
    ink = tf.einsum("bij,bjwc->biwc", _shift_matrices(moves[0], size), ink)
    ink = tf.einsum("bij,bhjc->bhic", _shift_matrices(moves[1], size), ink)
    rows, columns = (_within(corner, reach, size) for corner in tf.unstack(corners))
    return 1 + ink * (1 - rows[:, :, None, None] * columns[:, None, :, None])


RandomDraw = Callable[[Any], Any]


def vary_lines(lines: Any, seed: Any, share: float, own: Callable[[RandomDraw], Any] | None = None) -> Any:
    """Line art (b, size, size, 1) as other pens and scanners would have it, in about `share` of the pictures.

    Those have their strokes made thicker or thinner (half of them), gaps cut into these, ink of 0 to 30 in 255 faded to
    between 1 and 0.7 of itself, and noise of a standard deviation of 5 in 255 laid over all. The others stay as they
    are, bit for bit. Where the lines are part of a larger batch, `own` takes their rows of what is drawn for all of it.
    """
    own = own or (lambda draw: draw(tf.shape(lines)[0]))
    draws = tf.unstack(own(lambda rows: tf.random.stateless_uniform((rows, 4, 1, 1, 1), seed)), axis=1)
    varied = _cut_gaps(_change_strokes(lines, draws[0]), derive_seed(seed, 1), own)
    ink = (1 - MAX_INK_LIGHTENING * draws[1]) * (MIN_FADED_STRENGTH + (1 - MIN_FADED_STRENGTH) * draws[2])
    noise = NOISE * own(lambda rows: tf.random.stateless_normal((rows, *lines.shape[1:]), derive_seed(seed, 2)))
    varied = tf.clip_by_value(1 + ink * (varied - 1) + noise, -1, 1)
    return tf.where(draws[3] < share, varied, lines)


def _change_strokes(lines: Any, draws: Any) -> Any:
    """Draws below 1/4 thicken by up to 1 px on each side, above 3/4 thin by up to SHRINK; between, nothing changes."""
    thicker, thinner = tf.nn.relu(1 - 4 * draws), MAX_THINNING_PX * tf.nn.relu(4 * draws - 3)
    dark = -tf.nn.max_pool2d(-lines, 3, 1, "SAME")
    light = tf.nn.max_pool2d(lines, 3, 1, "SAME")
    return lines + thicker * (dark - lines) + thinner * (light - lines)


def _cut_gaps(lines: Any, seed: Any, own: Callable[[RandomDraw], Any]) -> Any:
    """White squares, GAPS a picture, of 1 px to WIDEST of the side."""
    size = lines.shape[1]
    widest = max(1, int(MAX_GAP_SHARE * size))
    sides = own(lambda rows: tf.random.stateless_uniform((rows, GAPS), seed, 1, widest + 1, tf.int32))
    corners = own(lambda rows: tf.random.stateless_uniform((rows, GAPS, 2), derive_seed(seed, 10), 0, size, tf.int32))
    for gap in range(GAPS):
        side, row, column = sides[:, gap], corners[:, gap, 0], corners[:, gap, 1]
        white = _within(row, side, size)[:, :, None, None] * _within(column, side, size)[:, None, :, None]
        lines = lines + white * (1 - lines)
    return lines


def _shift_matrices(moves: Any, size: int) -> Any:
    """(b,) moves in px -> (b, size, size): row i has its 1 at column i - move, or nowhere."""
    places = tf.range(size)
    return tf.cast(places[None, :, None] - moves[:, None, None] == places[None, None, :], tf.float32)


def _within(corner: Any, reach: Any, size: int) -> Any:
    """(b,) -> (b, size): 1 from `corner` on, for `reach` px: a number, or (b,) of them."""
    places, corner = tf.range(size)[None], corner[:, None]
    return tf.cast((places >= corner) & (places < corner + tf.reshape(reach, (-1, 1))), tf.float32)
