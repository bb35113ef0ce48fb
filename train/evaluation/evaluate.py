"""A run and shards -> figures of its pictures, and of how far the tags decide them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from train.data.batches import fixed_batch
from train.data.pairs import Pairs
from train.errors import RunError
from train.evaluation import features, metrics
from train.evaluation.metrics import RgbFloat
from train.evaluation.tag_adherence import MAX_ADHERENCE_PASSES, EvaluationSplit, TagRows, measure_tag_adherence
from train.model.snapshots import list_snapshots, read_snapshot
from train.model.trained import TrainedModel, generate_colors, load_trained, split_model_path
from train.training.fixed_pairs import GRAY_CHROMA

EVALUATION_BATCH_SIZE = 32
MAX_EVALUATED_PAIRS = 2000  # pairs: 1.5 GB at 128 px, whose intervals are narrow enough to tell models apart


def evaluate(
    run: Path,
    shards: Path,
    split: str = "validation",
    *,
    lines: str | None = None,
    most: int = MAX_EVALUATED_PAIRS,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Any]:
    """Colour a split with its true tags, with none, and with those of pictures of other families; compare with truth.

    `run` is a run folder, or a model in it. `lines` is the line style, the first one stored unless given. Of a split
    of more than `most` pairs, whole families are chosen by hash, so that memory grows with `most` alone. Differences
    carry 95 % bootstrap intervals over families. A figure that does not apply is None. `tell` hears how many pictures
    are coloured, of how many at most. Raises RunError if the split is empty, the shards have another vocabulary, or no
    such style.
    """
    trained = load_trained(run)
    pairs = Pairs(shards, split)
    if not len(pairs):
        raise RunError(f"{shards} has no {split} pairs: choose another --split")
    if pairs.vocabulary != trained.vocabulary or pairs.index.size != trained.size:
        raise RunError(f"{shards} has other tags or another size than {run} was trained on: evaluate on its own shards")
    style = lines or pairs.index.lines[0]
    if style not in pairs.index.lines:
        raise RunError(f"{shards} has no lines by {style}: choose of {', '.join(pairs.index.lines)}")
    numbers = sample_families(pairs.families, most, seed)
    total = len(numbers) * (1 + trained.config.tags * MAX_ADHERENCE_PASSES)
    work = _make_split(trained, pairs, numbers, pairs.index.lines.index(style), lambda done: on_progress(done, total))
    true = work.paint_with(work.tag_rows)
    both = list(zip(true, work.truths, strict=True))
    figures = {name: _mean([one(f, t) for f, t in both]) for name, one in metrics.PAIR_METRICS.items()}
    chroma, asked = (_mean([metrics.mean_chroma(one) for one in made]) for made in (true, work.truths))
    return {
        "split": split,
        "lines": style,
        "pairs": len(numbers),
        "split_pairs": len(pairs),
        "images_seen": _images_seen(split_model_path(run)[0], trained.model),
        **figures,
        "chroma_ratio": chroma / asked if asked > GRAY_CHROMA else None,
        "kid": _kid(true, list(work.truths), trained.size, seed),
        "tags": measure_tag_adherence(work, true, seed) if trained.config.tags else None,
    }


def sample_families(families: list[str], most: int, seed: int) -> list[int]:
    """Numbers of at most `most` pairs, of whole families in the order of their hashes; but at least one family."""
    sizes = Counter(families)
    order = sorted(sizes, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    fitting = int((np.cumsum([sizes[name] for name in order]) <= most).sum())
    kept = set(order[: max(1, fitting)])
    return [number for number, name in enumerate(families) if name in kept]


def _make_split(
    trained: TrainedModel, pairs: Pairs, numbers: list[int], style: int, tell: Callable[[int], None]
) -> EvaluationSplit:
    blocks = [numbers[start : start + EVALUATION_BATCH_SIZE] for start in range(0, len(numbers), EVALUATION_BATCH_SIZE)]
    batches = [fixed_batch(pairs, block, style, trained.config.target) for block in blocks]
    done = 0

    def paint(rows: TagRows) -> list[RgbFloat]:
        nonlocal done
        made: list[RgbFloat] = []
        for batch in batches:
            fakes = generate_colors(trained.model, batch, rows[len(made) : len(made) + len(batch.lines)])
            made += _unpadded(fakes, batch.mask)
            tell(done + len(made))
        done += len(made)
        return made

    truths = [one for batch in batches for one in _unpadded(np.asarray(batch.colors), batch.mask)]
    rows = np.concatenate([np.asarray(batch.tags) for batch in batches])
    places = [place for place, tag in enumerate(pairs.vocabulary) if tag in pairs.index.colors]
    return EvaluationSplit(
        truths, [pairs.families[number] for number in numbers], rows, paint, np.array(places, np.int64)
    )


def _kid(fakes: list[RgbFloat], truths: list[RgbFloat], size: int, seed: int) -> dict[str, float] | None:
    if not features.has_hed_extra() or len(fakes) < 4:
        return None
    see = partial(features.vgg_features, size=size)
    return metrics.kid(see(fakes), see(truths), seed)


def _unpadded(pixels: Any, masks: Any) -> list[RgbFloat]:
    """Pictures in [0, 1], what lies outside their content boxes cut off."""
    boxes = [_box(mask[..., 0]) for mask in np.asarray(masks)]
    return [_unit(one[box]) for one, box in zip(pixels, boxes, strict=True)]


def _box(mask: npt.NDArray[np.float32]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _unit(pixels: npt.NDArray[np.float32]) -> metrics.RgbFloat:
    return np.clip((pixels + 1) / 2, 0, 1).astype(np.float32)


def _mean(values: Any) -> float:
    return float(np.mean(values))


def _images_seen(folder: Path, model: Any) -> int | None:
    """Pairs that a model had seen: those of the snapshot that holds its weights, if it is kept still."""
    first = np.asarray(model.weights[0])
    for path in reversed(list_snapshots(folder)):
        clock, arrays = read_snapshot(path, ["average/000"])
        if np.array_equal(arrays["average/000"], first):
            return clock.images_seen
    return None
