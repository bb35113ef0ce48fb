"""Pairs -> batches. Which pairs a step sees, and each random choice about them, is a pure function of (seed, step).

So a training resumes from its step number alone: no iterator has to be saved. TensorFlow draws the random numbers.
NumPy and OpenCV apply them, at a third of TensorFlow's cost, in threads that share a batch.
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
from train.data.array_types import BytePixels
from train.data.augment import derive_seed, vary_lines
from train.data.pairs import Pairs, line_style_indices, read_pair_weights
from train.data.sampling_order import pair_numbers_at_step
from train.data.tags import check_tag_indices
from train.data.unpack import unpack_pair
from train.errors import NurieError, RunError

PAIRS_PER_TASK = 8  # that a thread takes at once; handing over fewer costs as much as it gains


class Batch(NamedTuple):
    """Pairs ready for the networks: float32 tensors, pixels in [-1, 1], where 1 is paper and white."""

    lines: Any
    """(b, size, size, 1)"""
    colors: Any
    """(b, size, size, 3), white outside the content box"""
    mask: Any
    """(b, size, size, 1): 1 inside the content box, 0 over its padding"""
    tags: Any
    """(b, vocabulary) multi-hot"""


@dataclass(frozen=True)
class BatchOptions:
    """How pairs are varied in training, and which part of each batch this worker decodes.

    The fields that a Config has as well are explained there.
    """

    seed: int
    flip: bool = False
    tag_dropout: float = 0.0
    single_tag_dropout: float = 0.0
    target: str = "colors"
    jitter: float = 0.0
    lines: tuple[str, ...] = ()
    """Line styles to draw from; empty means all that are stored."""
    line_variation: float = 0.0
    balance: float = 0.0
    worker: int = 0
    """This process's number among the workers: it decodes part `worker` of each batch."""
    workers: int = 1
    """Processes that share each batch in equal parts. Their number does not change what is drawn for a pair."""

    @classmethod
    def from_config(cls, config: Config, worker: int = 0, workers: int = 1) -> BatchOptions:
        """The options that a training's config states, for one of its workers."""
        same = ("seed", "flip", "tag_dropout", "single_tag_dropout", "target", "jitter", "line_variation", "balance")
        return cls(
            lines=config.line_styles, worker=worker, workers=workers, **{name: getattr(config, name) for name in same}
        )


class RandomDraws(NamedTuple):
    """Random choices for the pairs of a batch: TensorFlow tensors or NumPy arrays."""

    styles: Any
    """(b,) positions among the stored line styles"""
    kept_tags: Any
    """(b, vocabulary) float32: 0 for tags that are dropped, else 1"""
    affine_maps: Any
    """(b, 6) float32: the jitter, see `jitter.affine_maps`"""
    mirrored: Any
    """(b,) bool"""


class NumpyBatch(NamedTuple):
    """A batch in NumPy, its pixels 0 to 255; the shapes are those of Batch."""

    lines: Any
    colors: Any
    mask: Any
    tags: Any
    mirrored: Any
    """(b,) bool: pairs that are mirrored already, except for lines that are still to be varied."""


def training_batches(pairs: Pairs, batch_size: int, options: BatchOptions, first_step: int = 0) -> tf.data.Dataset:
    """Endless batches from step `first_step` on; for one of several workers, its part of each.

    Raises RunError if the split has no pairs or a line style is not stored. If a damaged pair is met, TensorFlow raises
    an error of its own, and `pairs.read_error` holds the cause.
    """
    if not len(pairs):
        raise RunError(f"{pairs.folder} has no {pairs.split} pairs: shard more pictures, or choose another --split")
    count = batch_size // options.workers
    styles = line_style_indices(pairs.index, options.lines)
    weights = read_pair_weights(pairs, options.balance) if options.balance else None
    cv2.setNumThreads(1)  # threads share a batch already; OpenCV's own would spin beside them and cost a core

    def read(step: int, *draws: Any) -> NumpyBatch:
        numbers = pair_numbers_at_step(options.seed, step, batch_size, len(pairs), weights)
        own_numbers = numbers[options.worker * count : (options.worker + 1) * count]
        try:
            records = [pairs.read_record(number) for number in own_numbers]
            return _assemble_batch(records, RandomDraws(*draws), pairs, options, pairs.pool)
        except NurieError as error:
            pairs.read_error = error
            raise

    def batch(step: Any) -> Batch:
        specs = _array_specs(count, pairs)
        draws = _draw_random(step, count, styles, pairs, options)
        arrays = tf.numpy_function(read, [step, *draws], [dtype for _, dtype in specs])
        shaped = (tf.ensure_shape(array, shape) for array, (shape, _) in zip(arrays, specs, strict=True))
        return _to_float_batch(step, NumpyBatch(*shaped), options)

    # One batch at a time: in deterministic mode TensorFlow would serialise parallel calls, and threads share a batch
    # anyway. Steps come from `range`, not from `Dataset.counter`, whose parts stay in TensorFlow's global graph.
    steps = tf.data.Dataset.range(first_step, tf.int64.max)
    return steps.map(batch).prefetch(2).with_options(_dataset_options())


def _dataset_options() -> tf.data.Options:
    options = tf.data.Options()
    options.autotune.enabled = False  # nothing here can be tuned
    # operations of microseconds in a row: waking further threads for each would cost more
    options.threading.private_threadpool_size = options.threading.max_intra_op_parallelism = 1
    return options


def fixed_batch(pairs: Pairs, numbers: list[int], style: int = 0, target: str = "colors") -> Batch:
    """The pairs `numbers` in one batch, without variation, with lines of stored style number `style`."""
    return decode_batch(
        [pairs.read_record(number) for number in numbers], 0, pairs, BatchOptions(0, target=target), style
    )


def decode_batch(
    records: Sequence[bytes], step: int, pairs: Pairs, options: BatchOptions, style: int | None = None
) -> Batch:
    """The Batch of b serialised Examples. Its variation, and the line style unless given, follow from (seed, step)."""
    step_tensor = tf.constant(step, tf.int64)
    styles = line_style_indices(pairs.index, options.lines) if style is None else [style]
    draws = RandomDraws(*map(np.asarray, _draw_random(step_tensor, len(records), styles, pairs, options)))
    return _to_float_batch(step_tensor, _assemble_batch(records, draws, pairs, options), options)


def content_mask(box: Sequence[int], size: int) -> BytePixels:
    """Mask (size, size, 1) of a box of top, left, height and width in px: 1 inside, else 0."""
    mask = np.zeros((size, size, 1), np.uint8)
    mask[_box_slices(box)] = 1
    return mask


def white_outside(pixels: Any, mask: Any) -> Any:
    """Pixels in [-1, 1], with white (1) wherever the mask is 0, so that padding neither teaches nor is judged."""
    return pixels * mask + (1 - mask)


def _box_slices(box: Sequence[int]) -> tuple[slice, slice]:
    top, left, height, width = box
    return slice(top, top + height), slice(left, left + width)


def _array_specs(count: int, pairs: Pairs) -> NumpyBatch:
    """(shape, dtype) of each array in a batch of `count` pairs."""
    square = (count, pairs.index.size, pairs.index.size)
    tags = ((count, len(pairs.vocabulary)), np.float32)
    lines, colors, mask = (((*square, channels), np.uint8) for channels in (1, 3, 1))
    return NumpyBatch(lines, colors, mask, tags, ((count,), np.bool_))


def _draw_random(step: Any, count: int, styles: list[int], pairs: Pairs, options: BatchOptions) -> RandomDraws:
    """Random choices for `count` pairs of a step; the line style of each is one of `styles`."""
    seed, width = _step_seed(step, options), len(pairs.vocabulary)
    uniform, own = tf.random.stateless_uniform, partial(_take_worker_rows, options, count)
    drawn_styles = tf.gather(styles, own(lambda n: uniform((n,), seed, 0, len(styles), tf.int32)))
    kept, maps, mirrored = tf.ones((count, width)), tf.zeros((count, 6)), tf.zeros((count,), tf.bool)
    if options.tag_dropout or options.single_tag_dropout:
        whole = own(lambda n: uniform((n, 1), derive_seed(seed, 1)))
        each = own(lambda n: uniform((n, width), derive_seed(seed, 2)))
        kept = tf.cast((whole >= options.tag_dropout) & (each >= options.single_tag_dropout), tf.float32)
    if options.jitter:
        draws = own(lambda n: uniform((n, 5), derive_seed(seed, 4), -1, 1))
        maps = jitter.affine_maps(draws, pairs.index.size, options.jitter)
    if options.flip:
        mirrored = own(lambda n: uniform((n,), derive_seed(seed, 3))) < 0.5
    return RandomDraws(drawn_styles, kept, maps, mirrored)


def _step_seed(step: Any, options: BatchOptions) -> Any:
    return tf.stack([tf.constant(options.seed, tf.int64), step])


def _take_worker_rows(options: BatchOptions, count: int, draw: Callable[[Any], Any]) -> Any:
    """A worker's `count` rows of the random numbers that `draw` makes for the pairs of the whole batch."""
    if options.workers == 1:
        return draw(count)
    return draw(count * options.workers)[options.worker * count : (options.worker + 1) * count]


def _assemble_batch(
    records: Sequence[bytes],
    draws: RandomDraws,
    pairs: Pairs,
    options: BatchOptions,
    pool: ThreadPoolExecutor | None = None,
) -> NumpyBatch:
    """The pairs of `records`, each varied by its row of `draws`; large batches are shared by the threads of `pool`."""
    batch = NumpyBatch(*(np.empty(shape, dtype) for shape, dtype in _array_specs(len(records), pairs)))

    def write_task(first: int) -> None:
        for row in range(first, min(first + PAIRS_PER_TASK, len(records))):
            _write_varied_pair(records[row], RandomDraws(*(draw[row] for draw in draws)), pairs, options, batch, row)

    map_ = pool.map if pool and len(records) > PAIRS_PER_TASK else map
    for _ in map_(write_task, range(0, len(records), PAIRS_PER_TASK)):
        pass  # raises the error of a task
    return batch


def _write_varied_pair(
    record: bytes, draw: RandomDraws, pairs: Pairs, options: BatchOptions, batch: NumpyBatch, row: int
) -> None:
    """Decode and vary one pair, and write it into its row of the batch."""
    pair = unpack_pair(record, int(draw.styles), pairs.index)
    mask, inside = content_mask(pair.content_box, pairs.index.size), _box_slices(pair.content_box)
    color = np.full_like(pair.color, 255)
    color[inside] = pair.line[inside] if options.target == "lines" else pair.color[inside]
    check_tag_indices(pair.tag_indices, len(pairs.vocabulary))
    tags = np.zeros(len(pairs.vocabulary), np.float32)
    tags[pair.tag_indices] = draw.kept_tags[pair.tag_indices]
    batch.tags[row] = tags
    batch.mirrored[row] = mirrored = bool(draw.mirrored) and not tags @ pairs.side_tag_mask
    pixels: tuple[Any, Any, Any] = (pair.line, color, mask)
    if options.jitter:
        pixels = jitter.warp_pair(pair.line, color, mask, draw.affine_maps)
    if mirrored:  # with OpenCV, ten times as fast as NumPy
        flipped = [cv2.flip(plane, 1).reshape(plane.shape) for plane in pixels]
        pixels = (pixels[0] if options.line_variation else flipped[0], *flipped[1:])
    batch.lines[row], batch.colors[row], batch.mask[row] = pixels


def _to_float_batch(step: Any, arrays: NumpyBatch, options: BatchOptions) -> Batch:
    """The batch as float32 tensors, with its lines varied."""
    lines, colors, mask, tags, mirrored = map(tf.convert_to_tensor, arrays)
    mask = tf.cast(mask, tf.float32)
    lines, colors = (tf.cast(pixels, tf.float32) / 127.5 - 1 for pixels in (lines, colors))
    if options.line_variation:
        own = partial(_take_worker_rows, options, lines.shape[0])
        lines = vary_lines(lines, derive_seed(_step_seed(step, options), 50), options.line_variation, own)
        lines = white_outside(tf.where(mirrored[:, None, None, None], tf.reverse(lines, [2]), lines), mask)
    return Batch(lines, colors, mask, tags)
