"""Shards -> batches. Which pairs a step sees, and every random choice about them, is a pure function of (seed, step).

So a training goes on after a kill from the step number alone: there is no iterator to save. TensorFlow draws what is
random; what is done to each pair for itself is done in NumPy, at a third of the cost, by threads that share a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from train.config import Config
from train.data import jitter
from train.data.augment import derive_seed, vary_lines
from train.data.order import pair_numbers_at_step
from train.data.pairs import Pairs, line_style_indices, read_pair_weights
from train.data.tags import check_tag_indices
from train.data.unpack import Pixels, unpack_pair
from train.errors import NurieError, RunError

PAIRS_PER_TASK = 8  # pairs that a thread takes at once; handing over fewer would cost as much as is gained


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
class BatchOptions:
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
    def from_config(cls, config: Config, worker: int = 0, workers: int = 1) -> BatchOptions:
        """What a training's config says of its pairs, for one of its workers."""
        same = ("seed", "flip", "tag_dropout", "single_tag_dropout", "target", "jitter", "line_variation", "balance")
        return cls(
            lines=config.line_styles, worker=worker, workers=workers, **{name: getattr(config, name) for name in same}
        )


class RandomDraws(NamedTuple):
    """What is drawn for the pairs of a batch: TensorFlow's tensors or their arrays."""

    styles: Any
    """(b,) places among the stored line styles"""
    kept_tags: Any
    """(b, vocabulary) float32: 0 for tags that are left out"""
    affine_maps: Any
    """(b, 6) float32: where jitter takes pixels from"""
    mirrored: Any
    """(b,) bool"""


class NumpyBatch(NamedTuple):
    """A batch in NumPy: pixels are bytes."""

    lines: Any
    colors: Any
    mask: Any
    tags: Any
    mirrored: Any
    """(b,) bool: which are mirrored, all but lines that are yet to be varied."""


def training_batches(pairs: Pairs, batch_size: int, choices: BatchOptions, first_step: int = 0) -> tf.data.Dataset:
    """Endless batches from `first_step` on, or a worker's part of each.

    Raises RunError if there are no pairs, or no such line style. Of a damaged pair TensorFlow raises an error of its
    own: `pairs.fault` is what was wrong.
    """
    if not len(pairs):
        raise RunError(f"{pairs.folder} has no {pairs.split} pairs: shard more pictures, or choose another --split")
    own = batch_size // choices.workers
    places = line_style_indices(pairs.index, choices.lines)
    weighed = read_pair_weights(pairs, choices.balance) if choices.balance else None
    cv2.setNumThreads(1)  # threads share a batch already: OpenCV's own would wait beside them, at the cost of a core

    def read(step: int, *drawn: Any) -> NumpyBatch:
        numbers = pair_numbers_at_step(choices.seed, step, batch_size, len(pairs), weighed)
        try:
            records = [
                pairs.read_record(number) for number in numbers[choices.worker * own : (choices.worker + 1) * own]
            ]
            return _assemble_batch(records, RandomDraws(*drawn), pairs, choices, pairs.pool)
        except NurieError as fault:
            pairs.read_error = fault
            raise

    def batch(step: Any) -> Batch:
        kinds = _array_specs(own, pairs)
        made = tf.numpy_function(
            read, [step, *_draw_random(step, own, places, pairs, choices)], [kind for _, kind in kinds]
        )
        shaped = (tf.ensure_shape(one, shape) for one, (shape, _) in zip(made, kinds, strict=True))
        return _to_float_batch(step, NumpyBatch(*shaped), choices)

    options = tf.data.Options()
    options.autotune.enabled = False  # there is nothing to tune
    # operations of microseconds, one after another: others' threads would be woken for each
    options.threading.private_threadpool_size = options.threading.max_intra_op_parallelism = 1
    # one batch at a time: in deterministic mode TensorFlow would undo parallel calls; threads share it all the same
    # no `counter`: what that is made of stays in TensorFlow's graph of all graphs
    return tf.data.Dataset.range(first_step, tf.int64.max).map(batch).prefetch(2).with_options(options)


def fixed_batch(pairs: Pairs, numbers: list[int], style: int = 0, target: str = "colors") -> Batch:
    """The pairs `numbers` in one batch, unvaried, in the line style number `style`."""
    return decode_batch(
        [pairs.read_record(number) for number in numbers], 0, pairs, BatchOptions(0, target=target), style
    )


def decode_batch(
    records: Sequence[bytes], step: int, pairs: Pairs, choices: BatchOptions, style: int | None = None
) -> Batch:
    """Serialised Examples (b,) -> Batch. What is varied, and the line style unless given, follows from (seed, step)."""
    at, count = tf.constant(step, tf.int64), len(records)
    drawn = _draw_random(
        at, count, line_style_indices(pairs.index, choices.lines) if style is None else [style], pairs, choices
    )
    return _to_float_batch(at, _assemble_batch(records, RandomDraws(*map(np.asarray, drawn)), pairs, choices), choices)


def content_mask(box: Sequence[int], size: int) -> Pixels:
    """Top, left, height, width -> (size, size, 1): 1 inside."""
    mask = np.zeros((size, size, 1), np.uint8)
    mask[_inside(box)] = 1
    return mask


def white_outside(pixels: Any, mask: Any) -> Any:
    """Pixels with white (1) wherever mask is 0: nobody shall learn from padding, or be judged by it."""
    return pixels * mask + (1 - mask)


def _inside(box: Sequence[int]) -> tuple[slice, slice]:
    top, left, height, width = box
    return slice(top, top + height), slice(left, left + width)


def _array_specs(count: int, pairs: Pairs) -> NumpyBatch:
    """Shape and type of each array of a batch of `count`."""
    square = (count, pairs.index.size, pairs.index.size)
    tags = ((count, len(pairs.vocabulary)), np.float32)
    lines, colors, mask = (((*square, channels), np.uint8) for channels in (1, 3, 1))
    return NumpyBatch(lines, colors, mask, tags, ((count,), np.bool_))


def _draw_random(step: Any, count: int, places: list[int], pairs: Pairs, choices: BatchOptions) -> RandomDraws:
    """For `count` pairs of a step, with line styles out of `places`."""
    seed, width = _seed(step, choices), len(pairs.vocabulary)
    uniform, own = tf.random.stateless_uniform, partial(_take_worker_rows, choices, count)
    styles = tf.gather(places, own(lambda n: uniform((n,), seed, 0, len(places), tf.int32)))
    kept, maps, mirrored = tf.ones((count, width)), tf.zeros((count, 6)), tf.zeros((count,), tf.bool)
    if choices.tag_dropout or choices.single_tag_dropout:
        whole = own(lambda n: uniform((n, 1), derive_seed(seed, 1)))
        each = own(lambda n: uniform((n, width), derive_seed(seed, 2)))
        kept = tf.cast((whole >= choices.tag_dropout) & (each >= choices.single_tag_dropout), tf.float32)
    if choices.jitter:
        draws = own(lambda n: uniform((n, 5), derive_seed(seed, 4), -1, 1))
        maps = jitter.affine_maps(draws, pairs.index.size, choices.jitter)
    if choices.flip:
        mirrored = own(lambda n: uniform((n,), derive_seed(seed, 3))) < 0.5
    return RandomDraws(styles, kept, maps, mirrored)


def _seed(step: Any, choices: BatchOptions) -> Any:
    return tf.stack([tf.constant(choices.seed, tf.int64), step])


def _take_worker_rows(choices: BatchOptions, count: int, draw: Callable[[Any], Any]) -> Any:
    """A worker's `count` of what is drawn, by the number of pairs, for the whole batch."""
    if choices.workers == 1:
        return draw(count)
    return draw(count * choices.workers)[choices.worker * count : (choices.worker + 1) * count]


def _assemble_batch(
    records: Sequence[bytes],
    drawn: RandomDraws,
    pairs: Pairs,
    choices: BatchOptions,
    pool: ThreadPoolExecutor | None = None,
) -> NumpyBatch:
    """Pairs side by side, each varied for itself."""
    whole = NumpyBatch(*(np.empty(shape, kind) for shape, kind in _array_specs(len(records), pairs)))

    def part(first: int) -> None:
        for place in range(first, min(first + PAIRS_PER_TASK, len(records))):
            _write_varied_pair(
                records[place], RandomDraws(*(one[place] for one in drawn)), pairs, choices, whole, place
            )

    for _ in (pool.map if pool and len(records) > PAIRS_PER_TASK else map)(
        part, range(0, len(records), PAIRS_PER_TASK)
    ):
        pass  # a fault of a part is raised here
    return whole


def _write_varied_pair(
    record: bytes, drawn: RandomDraws, pairs: Pairs, choices: BatchOptions, whole: NumpyBatch, place: int
) -> None:
    """One pair, into its place."""
    pair = unpack_pair(record, int(drawn.styles), pairs.index)
    mask, inside = content_mask(pair.content_box, pairs.index.size), _inside(pair.content_box)
    color = np.full_like(pair.color, 255)
    color[inside] = pair.line[inside] if choices.target == "lines" else pair.color[inside]
    check_tag_indices(pair.tag_indices, len(pairs.vocabulary))
    tags = np.zeros(len(pairs.vocabulary), np.float32)
    tags[pair.tag_indices] = drawn.kept_tags[pair.tag_indices]
    whole.tags[place] = tags
    whole.mirrored[place] = mirrored = bool(drawn.mirrored) and not tags @ pairs.side_tag_mask
    parts: tuple[Any, Any, Any] = (pair.line, color, mask)
    if choices.jitter:
        parts = jitter.warp_pair(pair.line, color, mask, drawn.affine_maps)
    if mirrored:  # by OpenCV, ten times as fast
        turned = [cv2.flip(one, 1).reshape(one.shape) for one in parts]
        parts = (parts[0] if choices.line_variation else turned[0], *turned[1:])
    whole.lines[place], whole.colors[place], whole.mask[place] = parts


def _to_float_batch(step: Any, gathered: NumpyBatch, choices: BatchOptions) -> Batch:
    """Pixels as floats, and lines as other pens would have them."""
    lines, colors, mask, tags, mirrored = map(tf.convert_to_tensor, gathered)
    mask = tf.cast(mask, tf.float32)
    lines, colors = (tf.cast(one, tf.float32) / 127.5 - 1 for one in (lines, colors))
    if choices.line_variation:
        own = partial(_take_worker_rows, choices, lines.shape[0])
        lines = vary_lines(lines, derive_seed(_seed(step, choices), 50), choices.line_variation, own)
        lines = white_outside(tf.where(mirrored[:, None, None, None], tf.reverse(lines, [2]), lines), mask)
    return Batch(lines, colors, mask, tags)
