"""A run and shards -> figures of its pictures, and of how far the tags decide them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from train import metrics
from train.data import Pairs, fixed_batch
from train.errors import RunError
from train.snapshots import found
from train.trained import colored, load

BATCH = 32


@dataclass
class Coloured:
    """A split coloured under one choice of tags; pictures in [0, 1], padding cut off, and their truths."""

    fakes: list[metrics.Rgb]
    truths: list[metrics.Rgb]


def evaluate(run: Path, shards: Path, split: str = "validation", *, seed: int = 0) -> dict[str, Any]:
    """Colour a split with its true tags, with none, and with those of pictures of other families; compare with truth.

    The line style is the first one stored. Differences carry 95 % bootstrap intervals over families. A figure that
    does not apply is None. Raises RunError if the split is empty or the shards have another vocabulary.
    """
    trained = load(run)
    pairs = Pairs(shards, split)
    if not len(pairs):
        raise RunError(f"{shards} has no {split} pairs: choose another --split")
    if pairs.vocabulary != trained.vocabulary or pairs.index.size != trained.size:
        raise RunError(f"{shards} has other tags or another size than {run} was trained on: evaluate on its own shards")
    rows = _tag_rows(pairs)
    true = _color(trained.model, pairs, rows)
    figures = {name: _mean([one(f, t) for f, t in _both(true)]) for name, one in metrics.FIGURES.items()}
    ratio = _mean([metrics.chroma(f) for f in true.fakes]) / max(1e-9, _mean([metrics.chroma(t) for t in true.truths]))
    steered = _steered(trained.model, pairs, rows, true, seed) if trained.config.tags else None
    return {
        "split": split,
        "pairs": len(pairs),
        "images_seen": _images_seen(run),
        **figures,
        "chroma_ratio": ratio,
        "kid": None,
        "tags": steered,
    }


def _steered(model: Any, pairs: Pairs, rows: Any, true: Coloured, seed: int) -> dict[str, Any]:
    errors = {"true": [metrics.ciede2000(f, t) for f, t in _both(true)]}
    errors["none"] = [metrics.ciede2000(f, t) for f, t in _both(_color(model, pairs, np.zeros_like(rows)))]
    order = metrics.derangement(pairs.families, seed)
    if order is not None:
        errors["shuffled"] = [metrics.ciede2000(f, t) for f, t in _both(_color(model, pairs, rows[order]))]
    result: dict[str, Any] = {
        f"ciede2000_{name}": _mean(errors[name]) if name in errors else None for name in ("true", "shuffled", "none")
    }
    for name in ("shuffled", "none"):
        result[f"{name}_minus_true"] = None
        if name in errors:
            worse = (np.array(errors[name]) - np.array(errors["true"])).tolist()
            result[f"{name}_minus_true"] = metrics.bootstrap(worse, pairs.families, seed)
    return result | {"obedience": _obedience(pairs, true), "swap": None}


def _obedience(pairs: Pairs, true: Coloured) -> dict[str, Any] | None:
    """Over families of two and more: the share of fakes nearest to the truth that was asked for."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, family in enumerate(pairs.families):
        members[family].append(number)
    hits: list[bool] = []
    chances: list[float] = []
    sets = 0
    for numbers in members.values():
        judged = (
            metrics.obeys([true.fakes[n] for n in numbers], [true.truths[n] for n in numbers]) if numbers[1:] else None
        )
        if judged is not None:
            sets += 1
            hits += judged
            chances += [1 / len(numbers)] * len(numbers)
    return {"accuracy": _mean(hits), "chance": _mean(chances), "sets": sets} if sets else None


def _color(model: Any, pairs: Pairs, rows: npt.NDArray[np.float32]) -> Coloured:
    fakes, truths = [], []
    for start in range(0, len(pairs), BATCH):
        numbers = list(range(start, min(start + BATCH, len(pairs))))
        batch = fixed_batch(pairs, numbers)
        for fake, truth, mask in zip(
            colored(model, batch, rows[numbers]), np.asarray(batch.colors), np.asarray(batch.mask), strict=True
        ):
            box = _box(mask[..., 0])
            fakes.append(_unit(fake[box]))
            truths.append(_unit(truth[box]))
    return Coloured(fakes, truths)


def _tag_rows(pairs: Pairs) -> npt.NDArray[np.float32]:
    starts = range(0, len(pairs), BATCH)
    blocks = [fixed_batch(pairs, list(range(start, min(start + BATCH, len(pairs))))).tags for start in starts]
    return np.concatenate([np.asarray(block) for block in blocks])


def _box(mask: npt.NDArray[np.float32]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _unit(pixels: npt.NDArray[np.float32]) -> metrics.Rgb:
    return np.clip((pixels + 1) / 2, 0, 1).astype(np.float32)


def _both(coloured: Coloured) -> Iterator[tuple[metrics.Rgb, metrics.Rgb]]:
    return zip(coloured.fakes, coloured.truths, strict=True)


def _mean(values: Any) -> float:
    return float(np.mean(values))


def _images_seen(run: Path) -> int | None:
    snapshots = found(run)
    if not snapshots:
        return None
    with np.load(snapshots[-1], allow_pickle=False) as file:
        return int(file["clock/images_seen"])
