"""Shards -> batches. Which pairs a step sees, and every random choice about them, is a pure function of (seed, step).

So a training goes on after a kill from the step number alone: there is no iterator to save.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from train.augment import jitter, other, vary_lines
from train.config import Config
from train.errors import RunError
from train.order import batch_numbers
from train.pairs import Pairs, style_places, weights


class Batch(NamedTuple):
    """Pairs ready for the networks. Pixels are float32 in [-1, 1], where 1 is paper and white."""

    lines: Any
    """(b, size, size, 1)"""
    colors: Any
    """(b, size, size, 3), white outside the box"""
    mask: Any
    """(b, size, size, 1): 1 inside the content box, 0 over its padding"""
    tags: Any
    """(b, vocabulary) multi-hot"""


@dataclass(frozen=True)
class Choices:
    """How pairs are varied in training."""

    seed: int
    flip: bool = False
    tag_dropout: float = 0.0
    single_tag_dropout: float = 0.0
    target: str = "colors"
    """`lines`: the pair's line art is to be drawn again, in place of its colours."""
    jitter: float = 0.0
    """How far they are turned, stretched and moved."""
    lines: tuple[str, ...] = ()
    """Line styles to draw from; none means all that are stored."""
    line_variation: float = 0.0
    """Share of the pictures whose line art is varied."""
    balance: float = 0.0
    """0 shows each pair alike, 1 rare tags about as often as common ones."""
    worker: int = 0
    workers: int = 1
    """Of so many workers each decodes its own part of a batch, in order; what is drawn for a pair stays the same."""

    @classmethod
    def of(cls, config: Config, worker: int = 0, workers: int = 1) -> Choices:
        """What a training's config says of its pairs, for one of its workers."""
        same = ("seed", "flip", "tag_dropout", "single_tag_dropout", "target", "jitter", "line_variation", "balance")
        return cls(
            lines=config.line_styles, worker=worker, workers=workers, **{name: getattr(config, name) for name in same}
        )


def training_batches(pairs: Pairs, batch_size: int, choices: Choices, first_step: int = 0) -> tf.data.Dataset:
    """Endless batches from `first_step` on, or a worker's part of each.

    Raises RunError if there are no pairs, or no such line style.
    """
    if not len(pairs):
        raise RunError(f"{pairs.folder} has no {pairs.split} pairs: shard more pictures, or choose another --split")

    own = batch_size // choices.workers
    style_places(pairs.index, choices.lines)
    weighed = weights(pairs, choices.balance) if choices.balance else None

    def steps() -> Iterator[tuple[npt.NDArray[np.object_], int]]:
        step = first_step
        while True:
            numbers = batch_numbers(choices.seed, step, batch_size, len(pairs), weighed)
            numbers = numbers[choices.worker * own : (choices.worker + 1) * own]
            yield np.array([pairs.read(number) for number in numbers], object), step
            step += 1

    signature = (tf.TensorSpec((own,), tf.string), tf.TensorSpec((), tf.int64))
    source = tf.data.Dataset.from_generator(steps, output_signature=signature)
    # one batch at a time: in deterministic mode TensorFlow would undo parallel calls; the prefetch hides the work
    return source.map(lambda records, step: decode(records, step, pairs, choices)).prefetch(2)


def fixed_batch(pairs: Pairs, numbers: list[int], style: int = 0, target: str = "colors") -> Batch:
    """The pairs `numbers` in one batch, unvaried, in the line style number `style`."""
    records = tf.constant([pairs.read(number) for number in numbers])
    return decode(records, tf.constant(0, tf.int64), pairs, Choices(0, target=target), style)


def decode(records: Any, step: Any, pairs: Pairs, choices: Choices, style: int | None = None) -> Batch:
    """Serialised Examples (b,) -> Batch. What is varied, and the line style unless given, follows from (seed, step)."""
    index, size = pairs.index, pairs.index.size
    features = {f"line_{method}": tf.io.FixedLenFeature((), tf.string) for method in index.lines}
    features |= {"color": tf.io.FixedLenFeature((), tf.string), "content_box": tf.io.FixedLenFeature((4,), tf.int64)}
    parsed = tf.io.parse_example(
        records, {**features, "tags": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)}
    )
    count = tf.shape(records)[0]
    seed = tf.stack([tf.cast(choices.seed, tf.int64), step])
    styles = tf.stack([parsed[f"line_{method}"] for method in index.lines], axis=1)
    places = style_places(index, choices.lines)
    drawn = _draw_styles(seed, count, places, choices) if style is None else tf.fill((count,), style)
    lines = _pixels(tf.gather(styles, drawn, batch_dims=1), size, 1, index.encoding)
    mask = content_mask(parsed["content_box"], size)
    colors = white_outside(_pixels(parsed["color"], size, 3, index.encoding), mask)
    tags = _multi_hot(parsed["tags"], len(pairs.vocabulary))
    if choices.target == "lines":
        colors = white_outside(tf.repeat(lines, 3, axis=-1), mask)
    if choices.jitter:
        lines, colors, mask = _jitter(lines, colors, mask, seed, choices)
    if choices.line_variation:
        own = partial(_own, choices, count)
        lines = white_outside(vary_lines(lines, other(seed, 50), choices.line_variation, own), mask)
    batch = Batch(lines, colors, mask, _drop_tags(tags, seed, choices))
    return _flip(batch, seed, choices, pairs.sided) if choices.flip else batch


def content_mask(boxes: Any, size: int) -> Any:
    """(b, 4) top, left, height, width -> (b, size, size, 1) float32: 1 inside."""
    places = tf.range(size, dtype=boxes.dtype)[None]
    top, left, height, width = (boxes[:, one, None] for one in range(4))
    rows = (places >= top) & (places < top + height)
    columns = (places >= left) & (places < left + width)
    return tf.cast(rows[:, :, None, None] & columns[:, None, :, None], tf.float32)


def white_outside(pixels: Any, mask: Any) -> Any:
    """Pixels with white (1) wherever mask is 0: nobody shall learn from padding, or be judged by it."""
    return pixels * mask + (1 - mask)


def _own(choices: Choices, count: Any, draw: Callable[[Any], Any]) -> Any:
    """A worker's `count` of what is drawn, by the number of pairs, for the whole batch."""
    if choices.workers == 1:
        return draw(count)
    return draw(count * choices.workers)[choices.worker * count : (choices.worker + 1) * count]


def _draw_styles(seed: Any, count: Any, places: list[int], choices: Choices) -> Any:
    drawn = _own(choices, count, lambda n: tf.random.stateless_uniform((n,), seed, 0, len(places), tf.int32))
    return tf.gather(places, drawn)


def _pixels(encoded: Any, size: int, channels: int, encoding: str) -> Any:
    def one(data: Any) -> Any:
        if encoding == "raw":
            return tf.reshape(tf.io.decode_raw(data, tf.uint8), (size, size, channels))
        return tf.ensure_shape(tf.io.decode_png(data, channels), (size, size, channels))

    pixels = tf.map_fn(one, encoded, fn_output_signature=tf.TensorSpec((size, size, channels), tf.uint8))
    return tf.cast(pixels, tf.float32) / 127.5 - 1


def _multi_hot(tags: Any, vocabulary: int) -> Any:
    rows, values = tags.value_rowids(), tags.flat_values
    shape = (tags.nrows(), vocabulary)
    return tf.scatter_nd(tf.stack([rows, values], axis=1), tf.ones_like(values, tf.float32), shape)


def _drop_tags(tags: Any, seed: Any, choices: Choices) -> Any:
    count, width = tf.shape(tags)[0], tags.shape[1]
    whole = _own(choices, count, lambda n: tf.random.stateless_uniform((n, 1), other(seed, 1)))
    each = _own(choices, count, lambda n: tf.random.stateless_uniform((n, width), other(seed, 2)))
    kept = (whole >= choices.tag_dropout) & (each >= choices.single_tag_dropout)
    return tags * tf.cast(kept, tf.float32)


def _jitter(lines: Any, colors: Any, mask: Any, seed: Any, choices: Choices) -> tuple[Any, Any, Any]:
    """All three alike; what comes in from beyond the picture is outside the mask."""
    count = tf.shape(lines)[0]
    draws = _own(choices, count, lambda n: tf.random.stateless_uniform((n, 5), other(seed, 4), -1, 1))
    moved = jitter(tf.concat([lines, colors, 1 - mask], axis=-1), draws, choices.jitter)
    mask = tf.cast(moved[..., 4:] < 0.5, tf.float32)
    return white_outside(moved[..., :1], mask), white_outside(moved[..., 1:4], mask), mask


def _flip(batch: Batch, seed: Any, choices: Choices, sided: npt.NDArray[np.float32]) -> Batch:
    """Mirror half of the pairs, but for those whose tags would then be wrong."""
    count = tf.shape(batch.tags)[0]
    mirrored = _own(choices, count, lambda n: tf.random.stateless_uniform((n, 1, 1, 1), other(seed, 3))) < 0.5
    mirrored &= (tf.linalg.matvec(batch.tags, sided) == 0)[:, None, None, None]
    lines, colors, mask = (tf.where(mirrored, tf.reverse(one, [2]), one) for one in batch[:3])
    return Batch(lines, colors, mask, batch.tags)
