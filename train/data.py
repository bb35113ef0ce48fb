"""Shards -> batches. Which pairs a step sees, and every random choice about them, is a pure function of (seed, step).

So a training goes on after a kill from the step number alone: there is no iterator to save.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from curate.contract import NurieError, ShardIndex, read_index, read_vocabulary
from train.augment import other
from train.errors import RunError


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
    worker: int = 0
    workers: int = 1
    """Of so many workers each decodes its own part of a batch, in order; what is drawn for a pair stays the same."""


def open_index(shards: Path) -> ShardIndex:
    """The table of contents of shards that can be trained on. Raises NurieError if they are of another format."""
    index = read_index(shards)
    if index.format != "tfrecord":
        remedy = "make others with `curate shard DATASET SHARDS`, whose format is tfrecord"
        raise NurieError(f"{shards} is of the format {index.format}, which `train` does not read: {remedy}")
    return index


class Pairs:
    """The pairs of one split: where each lies, and its bytes on demand. Memory: 20 bytes a pair."""

    def __init__(self, shards: Path, split: str) -> None:
        self.folder, self.split = shards, split
        self.index: ShardIndex = open_index(shards)
        self.vocabulary = read_vocabulary(shards)
        names = self.index.shards(split)
        tables = [pd.read_parquet((shards / name).with_suffix(".parquet")) for name in names]
        self.files = [np.memmap(shards / name, np.uint8, "r") for name in names]
        self.shard = np.repeat(np.arange(len(names), dtype=np.int32), [len(table) for table in tables])
        listing = pd.concat(tables) if tables else pd.DataFrame({"id": [], "family": [], "offset": [], "length": []})
        self.offset = listing["offset"].to_numpy(np.int64)
        self.length = listing["length"].to_numpy(np.int32)
        self.ids: list[str] = listing["id"].to_list()
        self.families: list[str] = listing["family"].to_list()

    def __len__(self) -> int:
        return len(self.offset)

    def read(self, number: int) -> bytes:
        """Serialised tf.train.Example of pair `number`."""
        start = self.offset[number]
        return bytes(self.files[self.shard[number]][start : start + self.length[number]])


def batch_numbers(seed: int, step: int, batch_size: int, count: int) -> npt.NDArray[np.int64]:
    """Pairs of a step: (batch_size,) int64. Each epoch is a permutation of all pairs; batches run across its end."""
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    return np.array([_epoch(seed, int(at // count), count)[at % count] for at in positions], np.int64)


@lru_cache(maxsize=2)
def _epoch(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)


def training_batches(pairs: Pairs, batch_size: int, choices: Choices, first_step: int = 0) -> tf.data.Dataset:
    """Endless batches from `first_step` on, or a worker's part of each. Raises RunError if there are no pairs."""
    if not len(pairs):
        raise RunError(f"{pairs.folder} has no {pairs.split} pairs: shard more pictures, or choose another --split")

    own = batch_size // choices.workers

    def steps() -> Iterator[tuple[npt.NDArray[np.object_], int]]:
        step = first_step
        while True:
            numbers = batch_numbers(choices.seed, step, batch_size, len(pairs))
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
    """Serialised Examples (b,) -> Batch. Line style (unless given), flips and dropped tags follow from (seed, step)."""
    index, size = pairs.index, pairs.index.size
    features = {f"line_{method}": tf.io.FixedLenFeature((), tf.string) for method in index.lines}
    features |= {"color": tf.io.FixedLenFeature((), tf.string), "content_box": tf.io.FixedLenFeature((4,), tf.int64)}
    parsed = tf.io.parse_example(
        records, {**features, "tags": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)}
    )
    count = tf.shape(records)[0]
    seed = tf.stack([tf.cast(choices.seed, tf.int64), step])
    styles = tf.stack([parsed[f"line_{method}"] for method in index.lines], axis=1)
    drawn = _draw_styles(seed, count, len(index.lines), choices) if style is None else tf.fill((count,), style)
    lines = _pixels(tf.gather(styles, drawn, batch_dims=1), size, 1, index.encoding)
    mask = content_mask(parsed["content_box"], size)
    colors = white_outside(_pixels(parsed["color"], size, 3, index.encoding), mask)
    tags = _multi_hot(parsed["tags"], len(pairs.vocabulary))
    if choices.target == "lines":
        colors = white_outside(tf.repeat(lines, 3, axis=-1), mask)
    batch = Batch(lines, colors, mask, _drop_tags(tags, seed, choices))
    return _flip(batch, seed, choices) if choices.flip else batch


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


def _draw_styles(seed: Any, count: Any, styles: int, choices: Choices) -> Any:
    return _own(choices, count, lambda n: tf.random.stateless_uniform((n,), seed, 0, styles, tf.int32))


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


def _flip(batch: Batch, seed: Any, choices: Choices) -> Batch:
    count = tf.shape(batch.tags)[0]
    mirrored = _own(choices, count, lambda n: tf.random.stateless_uniform((n, 1, 1, 1), other(seed, 3))) < 0.5
    lines, colors, mask = (tf.where(mirrored, tf.reverse(one, [2]), one) for one in batch[:3])
    return Batch(lines, colors, mask, batch.tags)
