"""Evaluate a model on a split: how true its colours are, and how far tags decide them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from train.data.batches import fixed_batch
from train.data.pairs import Pairs
from train.errors import RunError
from train.evaluation.family_resampling import Interval
from train.evaluation.kid import kernel_inception_distance
from train.evaluation.metrics import PAIR_METRICS, RgbFloat, mean_chroma
from train.evaluation.tag_adherence import (
    MAX_ADHERENCE_PASSES,
    EvaluationSplit,
    TagAdherence,
    TagRows,
    measure_tag_adherence,
)
from train.model.snapshots import list_snapshots, read_snapshot
from train.model.trained_model import TrainedModel, generate_colors, load_trained, split_model_path
from train.training.validation_pairs import GRAY_CHROMA

EVALUATION_BATCH_SIZE = 32
MAX_EVALUATED_PAIRS = 2000
"""Default of `most`: 1.5 GB at 128 px, and intervals narrow enough to tell models apart."""


class Evaluation(TypedDict):
    """What `train evaluate --json` prints, but for `seconds`. Figures that do not apply are None.

    `l1` to `line_f1` are means over the pairs; `metrics` says what each is, its range, and which direction is better.
    """

    split: str
    lines: str
    """Line style that was coloured."""
    pairs: int
    split_pairs: int
    """Pairs of the whole split; `pairs` of them were measured."""
    images_seen: int | None
    """Pairs the model had seen; None if the snapshot with its weights is gone."""
    l1: float
    psnr: float
    ssim: float
    ciede2000: float
    line_f1: float
    chroma_ratio: float | None
    """Mean chroma of the fakes over that of the truths: 1 is best, sepia is lower. None for gray truths."""
    kid: Interval | None
    tags: TagAdherence | None
    """None for a model that sees no tags."""


def evaluate(
    run: Path,
    shards: Path,
    split: str = "validation",
    *,
    lines: str | None = None,
    most: int = MAX_EVALUATED_PAIRS,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Evaluation:
    """Colour a split with its true tags, with none and with those of other pictures, and compare with the truth.

    `run` is a run folder or a model in it, `lines` a stored line style (default: the first). Of a split with more than
    `most` pairs, whole families are chosen by hash, so that memory grows with `most` alone. `seed` decides the choice,
    the shuffle of tags and the bootstrap. `on_progress(done, total)` counts coloured pictures; `total` is an upper
    bound.

    Raises RunError if the split is empty, the shards have other tags, another size or no such line style.
    """
    trained = load_trained(run)
    pairs = Pairs(shards, split)
    style = _check_and_choose_style(run, trained, pairs, lines)
    numbers = sample_families(pairs.families, most, seed)
    total = len(numbers) * (1 + trained.config.tags * MAX_ADHERENCE_PASSES)
    work = _make_split(trained, pairs, numbers, pairs.index.lines.index(style), lambda done: on_progress(done, total))
    fakes = work.paint_with(work.tag_rows)
    figures = {
        name: _mean(metric(fake, truth) for fake, truth in zip(fakes, work.truths, strict=True))
        for name, metric in PAIR_METRICS.items()
    }
    chroma, true_chroma = (_mean(map(mean_chroma, pictures)) for pictures in (fakes, work.truths))
    return {
        "split": split,
        "lines": style,
        "pairs": len(numbers),
        "split_pairs": len(pairs),
        "images_seen": _images_seen(split_model_path(run)[0], trained.model),
        "l1": figures["l1"],
        "psnr": figures["psnr"],
        "ssim": figures["ssim"],
        "ciede2000": figures["ciede2000"],
        "line_f1": figures["line_f1"],
        "chroma_ratio": chroma / true_chroma if true_chroma > GRAY_CHROMA else None,
        "kid": kernel_inception_distance(fakes, work.truths, trained.size, seed),
        "tags": measure_tag_adherence(work, fakes, seed) if trained.config.tags else None,
    }


def _check_and_choose_style(run: Path, trained: TrainedModel, pairs: Pairs, lines: str | None) -> str:
    """The line style to colour. Raises RunError if these pairs cannot be evaluated with this model."""
    if not len(pairs):
        raise RunError(f"{pairs.folder} has no {pairs.split} pairs: choose another --split")
    if pairs.vocabulary != trained.vocabulary or pairs.index.size != trained.size:
        raise RunError(
            f"{pairs.folder} has other tags or another size than {run} was trained on: give the run's own shards"
        )
    style = lines or pairs.index.lines[0]
    if style not in pairs.index.lines:
        raise RunError(f"{pairs.folder} has no line style {style!r}: choose from {', '.join(pairs.index.lines)}")
    return style


def sample_families(families: list[str], most: int, seed: int) -> list[int]:
    """Numbers of at most `most` pairs: whole families in the order of their hashes, but at least one family."""
    sizes = Counter(families)
    order = sorted(sizes, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    fitting = int((np.cumsum([sizes[name] for name in order]) <= most).sum())
    kept = set(order[: max(1, fitting)])
    return [number for number, name in enumerate(families) if name in kept]


def _make_split(
    trained: TrainedModel, pairs: Pairs, numbers: list[int], style: int, on_done: Callable[[int], None]
) -> EvaluationSplit:
    """The pairs `numbers`, decoded; `on_done` hears how many pictures all its colourings have made so far."""
    blocks = [numbers[start : start + EVALUATION_BATCH_SIZE] for start in range(0, len(numbers), EVALUATION_BATCH_SIZE)]
    batches = [fixed_batch(pairs, block, style, trained.config.target) for block in blocks]
    done = 0

    def paint(rows: TagRows) -> list[RgbFloat]:
        nonlocal done
        painted: list[RgbFloat] = []
        for batch in batches:
            fakes = generate_colors(trained.model, batch, rows[len(painted) : len(painted) + len(batch.lines)])
            painted += _unpad(fakes, batch.mask)
            on_done(done + len(painted))
        done += len(painted)
        return painted

    color_tag_places = [place for place, tag in enumerate(pairs.vocabulary) if tag in pairs.index.colors]
    return EvaluationSplit(
        truths=[truth for batch in batches for truth in _unpad(np.asarray(batch.colors), batch.mask)],
        families=[pairs.families[number] for number in numbers],
        tag_rows=np.concatenate([np.asarray(batch.tags) for batch in batches]),
        paint_with=paint,
        color_tag_places=np.array(color_tag_places, np.int64),
    )


def _unpad(pixels: Any, masks: Any) -> list[RgbFloat]:
    """Pictures in [0, 1], cut to their content boxes, from pixels (b, size, size, 3) in [-1, 1] and their masks."""
    boxes = [_content_box(mask[..., 0]) for mask in np.asarray(masks)]
    contents = (picture[box] for picture, box in zip(pixels, boxes, strict=True))
    return [np.clip((content + 1) / 2, 0, 1).astype(np.float32) for content in contents]


def _content_box(mask: npt.NDArray[np.float32]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _images_seen(folder: Path, model: Any) -> int | None:
    """Pairs that a model had seen, from the kept snapshot that holds its weights; None if there is none."""
    first = np.asarray(model.weights[0])
    for path in reversed(list_snapshots(folder)):
        clock, arrays = read_snapshot(path, ["average/000"])
        if np.array_equal(arrays["average/000"], first):
            return clock.images_seen
    return None
