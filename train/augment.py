"""Random changes to pictures, as pure functions of a seed: (2,) int64, [seed, step], what stateless draws take.

All work on (b, size, size, c) pixels in [-1, 1], where 1 is paper and white.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def other(seed: Any, number: int) -> Any:
    """A step's seed for another of its random choices."""
    return seed + tf.constant([number, 0], tf.int64)


def uniform(seed: Any, rows: int, count: Any, least: Any = 0.0, bound: Any = 1.0, dtype: Any = tf.float32) -> Any:
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


def move_and_cut(pixels: Any, seed: Any, share: float) -> Any:
    """Move each picture by at most `share` of its side either way, then whiten a square of that side somewhere in it.

    Colours stay as they are: they are what is to be learnt. Gradients pass. Source: Zhao et al., "Differentiable
    augmentation" (2020), arXiv:2006.10738, translation and cutout.
    """
    count, size = tf.shape(pixels)[0], pixels.shape[1]
    reach = int(share * size)
    moves = uniform(seed, 2, count, -reach, reach + 1, tf.int32)
    corners = uniform(other(seed, 1), 2, count, 0, size - reach + 1, tf.int32)
    ink = pixels - 1  # 0 where it is white: what is moved in from outside
    # a product with a shifted identity is a move, and its gradient one too; gathering is slow backwards
    ink = tf.einsum("bij,bjwc->biwc", _shifted(moves[0], size), ink)
    ink = tf.einsum("bij,bhjc->bhic", _shifted(moves[1], size), ink)
    rows, columns = (_within(corner, reach, size) for corner in tf.unstack(corners))
    return 1 + ink * (1 - rows[:, :, None, None] * columns[:, None, :, None])


def _shifted(moves: Any, size: int) -> Any:
    """(b,) moves in px -> (b, size, size): row i has its 1 at column i - move, or nowhere."""
    places = tf.range(size)
    return tf.cast(places[None, :, None] - moves[:, None, None] == places[None, None, :], tf.float32)


def _within(corner: Any, reach: int, size: int) -> Any:
    """(b,) -> (b, size): 1 from `corner` on, for `reach` px."""
    places = tf.range(size)[None]
    return tf.cast((places >= corner[:, None]) & (places < corner[:, None] + reach), tf.float32)
