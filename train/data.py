"""Shards -> batches. Which pairs a step sees, and every random choice about them, is a pure function of (seed, step).

So a training goes on after a kill from the step number alone: there is no iterator to save.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from curate.contract import NurieError, ShardIndex, read_index, read_vocabulary
from train.augment import jitter, other, vary_lines
from train.config import Config
from train.errors import RunError
from train.order import Weights, batch_numbers, rarity, weigh
from train.tags import names_a_side

CHUNK = 1024  # pairs whose tags are read at once


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


def open_index(shards: Path) -> ShardIndex:
    """The table of contents of shards that can be trained on. Raises NurieError if they are of another format."""
    index = read_index(shards)
    if index.format != "tfrecord":
        remedy = "make others with `curate shard DATASET SHARDS`, whose format is tfrecord"
        raise NurieError(f"{shards} is of the format {index.format}, which `train` does not read: {remedy}")
    return index


def style_places(index: ShardIndex, lines: tuple[str, ...]) -> list[int]:
    """Places of these styles among the stored ones; none means all. Raises RunError for one that is not stored."""
    if unknown := [name for name in lines if name not in index.lines]:
        raise RunError(f"the shards have no lines by {unknown[0]}: choose of {', '.join(index.lines)}")
    return [place for place, name in enumerate(index.lines) if name in lines or not lines]


class Pairs:
    """The pairs of one split: where each lies, and its bytes on demand.

    Memory: 16 bytes a pair, until its ids or families are asked for, which a training does not.
    """

    def __init__(self, shards: Path, split: str) -> None:
        self.folder, self.split = shards, split
        self.index: ShardIndex = open_index(shards)
        self.vocabulary = read_vocabulary(shards)
        names = self.index.shards(split)
        self.listings = [(shards / name).with_suffix(".parquet") for name in names]
        tables = [pd.read_parquet(path, columns=["offset", "length"]) for path in self.listings]
        self.files = [np.memmap(shards / name, np.uint8, "r") for name in names]
        self.shard = np.repeat(np.arange(len(names), dtype=np.int32), [len(table) for table in tables])
        listing = pd.concat(tables) if tables else pd.DataFrame({"offset": [], "length": []})
        self.offset = listing["offset"].to_numpy(np.int64)
        self.length = listing["length"].to_numpy(np.int32)

    @cached_property
    def sided(self) -> npt.NDArray[np.float32]:
        """(vocabulary,) 1 for each tag that names a side."""
        return np.array([names_a_side(tag) for tag in self.vocabulary], np.float32)

    @cached_property
    def ids(self) -> list[str]:
        """Id of each pair."""
        return self._listed("id")

    @cached_property
    def families(self) -> list[str]:
        """Family of each pair."""
        return self._listed("family")

    def _listed(self, column: str) -> list[str]:
        return [value for path in self.listings for value in pd.read_parquet(path, columns=[column])[column].to_list()]

    def __len__(self) -> int:
        return len(self.offset)

    def read(self, number: int) -> bytes:
        """Serialised tf.train.Example of pair `number`."""
        start = self.offset[number]
        return bytes(self.files[self.shard[number]][start : start + self.length[number]])


def weights(pairs: Pairs, balance: float) -> Weights:
    """Of each pair, by how rare its tags are in the split. Every record is read once; memory: 8 bytes a pair."""
    counted = pairs.index.tags.get(pairs.split, {})
    rare = rarity(np.array([counted.get(tag, 0) for tag in pairs.vocabulary], np.int64), balance)
    feature = {"tags": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)}
    found = np.empty(len(pairs))
    for start in range(0, len(pairs), CHUNK):
        numbers = range(start, min(start + CHUNK, len(pairs)))
        tags = tf.io.parse_example([pairs.read(number) for number in numbers], feature)["tags"]
        rows, values = tags.value_rowids().numpy(), tags.flat_values.numpy()
        found[start : start + CHUNK] = weigh(values, rows, len(numbers), rare)
    return Weights(found)


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
