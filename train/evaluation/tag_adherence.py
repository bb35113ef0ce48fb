"""Tag adherence: a split coloured with its own tags, with those of others, with none, and with one colour changed.

*Recolours* are drawings of one family with the same lines in other colours; their tags are known to decide the colours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from train.evaluation.family_resampling import Interval, bootstrap_interval, derangement
from train.evaluation.metrics import RgbFloat, ciede2000
from train.evaluation.recolors import RecoloredTruths, change_by_region

MAX_ADHERENCE_PASSES = 4
"""How many times `measure_tag_adherence` colours the split at most."""
TagRows = npt.NDArray[np.float32]
"""(n, vocabulary) multi-hot."""
RecolorFamily = tuple[list[int], RecoloredTruths]
"""Numbers of a family's pictures in the split, and their truths."""


class TagAblation(TypedDict):
    """Mean CIEDE2000 to the truth by tags, and how much other tags add to that of the true ones; lower is better.

    The differences have 95 % intervals over families. The figures of shuffled tags are None if one family is more than
    half of the split.
    """

    ciede2000_true: float
    ciede2000_shuffled: float | None
    ciede2000_none: float
    shuffled_minus_true: Interval | None
    none_minus_true: Interval


class RecolorAblation(TypedDict):
    """The ablation over recolours alone."""

    pictures: int
    ciede2000_true: float
    ciede2000_shuffled: float
    ratio: float
    """Shuffled over true: 1 if tags do not matter; higher is better."""


class Obedience(TypedDict):
    """Over recolours: how often a picture is nearest to the truth that its tags name. Shares, higher is better."""

    accuracy: float
    neighbours: float
    """Share nearest to a right truth, or to the next lighter or darker one."""
    chance: float
    """Mean share of a family's truths that are right: the accuracy of a model that ignores tags."""
    sets: int
    """Families of recolours."""


class ColorSwap(TypedDict):
    """Mean CIEDE2000 that a changed colour tag makes, and how much it should make."""

    inside: float
    """Where the truths with the old and the new tag differ; near `asked` is best."""
    outside: float
    """Everywhere else; lower is better."""
    asked: float
    """Difference of the two truths themselves, inside."""


class TagAdherence(TagAblation):
    """All figures of tag adherence."""

    alternates: RecolorAblation | None
    obedience: Obedience | None
    swap: ColorSwap | None


@dataclass(frozen=True)
class EvaluationSplit:
    """A split to colour; all sequences have one entry per picture, in the same order."""

    truths: Sequence[RgbFloat]
    families: Sequence[str]
    tag_rows: TagRows
    paint_with: Callable[[TagRows], list[RgbFloat]]
    """Colours the whole split with these tags."""
    color_tag_places: npt.NDArray[np.int64]
    """Places of the colour tags in the vocabulary."""


def measure_tag_adherence(split: EvaluationSplit, fakes: list[RgbFloat], seed: int) -> TagAdherence:
    """Ablation over the split and over its recolours, obedience and swap. `fakes`: the split coloured with its tags."""
    return {
        **tag_ablation(split, fakes, seed),
        "alternates": ablation_on_recolors(split, fakes, seed),
        "obedience": obedience(split, fakes),
        "swap": color_swap(split, fakes),
    }


def tag_ablation(split: EvaluationSplit, fakes: list[RgbFloat], seed: int) -> TagAblation:
    """Errors with true, shuffled and no tags. Shuffled: each picture has the tags of a picture of another family."""
    order = derangement(split.families, seed)
    true_errors = _errors(split, fakes)
    none_errors = _errors(split, split.paint_with(np.zeros_like(split.tag_rows)))
    shuffled_errors = None if order is None else _errors(split, split.paint_with(split.tag_rows[order]))

    def added(errors: npt.NDArray[np.float64]) -> Interval:
        return bootstrap_interval((errors - true_errors).tolist(), split.families, seed)

    return {
        "ciede2000_true": float(true_errors.mean()),
        "ciede2000_shuffled": None if shuffled_errors is None else float(shuffled_errors.mean()),
        "ciede2000_none": float(none_errors.mean()),
        "shuffled_minus_true": None if shuffled_errors is None else added(shuffled_errors),
        "none_minus_true": added(none_errors),
    }


def _errors(split: EvaluationSplit, fakes: list[RgbFloat]) -> npt.NDArray[np.float64]:
    """Mean CIEDE2000 of each picture."""
    return np.array([ciede2000(fake, truth) for fake, truth in zip(fakes, split.truths, strict=True)])


def ablation_on_recolors(split: EvaluationSplit, fakes: list[RgbFloat], seed: int) -> RecolorAblation | None:
    """Errors over recolours with their own tags, and with those of a recolour of another family.

    None if there are no recolours, or if one family is more than half of them.
    """
    numbers = [number for family, _ in _recolor_families(split) for number in family]
    order = derangement([split.families[number] for number in numbers], seed) if numbers else None
    if order is None:
        return None
    rows = split.tag_rows.copy()
    rows[numbers] = split.tag_rows[numbers][order]
    true_error, shuffled_error = (
        sum(ciede2000(pictures[number], split.truths[number]) for number in numbers) / len(numbers)
        for pictures in (fakes, split.paint_with(rows))
    )
    return {
        "pictures": len(numbers),
        "ciede2000_true": true_error,
        "ciede2000_shuffled": shuffled_error,
        "ratio": shuffled_error / max(1e-9, true_error),
    }


def obedience(split: EvaluationSplit, fakes: list[RgbFloat]) -> Obedience | None:
    """How often the truth nearest to a fake, of all truths of its family, is one that its tags name.

    Members with equal tags ask for the same, so each of their truths is right. None without recolours.
    """
    hits: list[bool] = []
    near_hits: list[bool] = []
    chances: list[float] = []
    families = _recolor_families(split)
    for numbers, truths in families:
        rows, ranks = split.tag_rows[numbers], truths.lightness_ranks()
        is_right = (rows[:, None] == rows[None]).all(axis=-1)  # (fake, truth)
        is_neighbour = abs(ranks[:, None] - ranks[None]) <= 1  # (truth, truth)
        nearest = np.array([truths.nearest_truth(fakes[number]) for number in numbers])
        hits += is_right[range(len(numbers)), nearest].tolist()
        near_hits += [bool((right & is_neighbour[truth]).any()) for right, truth in zip(is_right, nearest, strict=True)]
        chances += is_right.mean(axis=1).tolist()
    if not families:
        return None
    return {
        "accuracy": float(np.mean(hits)),
        "neighbours": float(np.mean(near_hits)),
        "chance": float(np.mean(chances)),
        "sets": len(families),
    }


def color_swap(split: EvaluationSplit, fakes: list[RgbFloat]) -> ColorSwap | None:
    """Change each recolour's colour tags to those of the next member of its family, and measure what that changes.

    None if no family has members with different colour tags.
    """
    rows = split.tag_rows.copy()
    swaps: list[tuple[int, int]] = []
    for numbers, _ in _recolor_families(split):
        for number, other in zip(numbers, numbers[1:] + numbers[:1], strict=True):
            rows[number, split.color_tag_places] = split.tag_rows[other, split.color_tag_places]
            if (rows[number] != split.tag_rows[number]).any():
                swaps.append((number, other))
    swapped = split.paint_with(rows) if swaps else []
    changes = [
        change
        for number, other in swaps
        if (change := change_by_region(fakes[number], swapped[number], split.truths[number], split.truths[other]))
    ]
    if not changes:
        return None
    inside, outside, asked = np.mean(changes, axis=0).tolist()
    return {"inside": inside, "outside": outside, "asked": asked}


def _recolor_families(split: EvaluationSplit) -> list[RecolorFamily]:
    """Families whose members differ in tags and visibly in their truths."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, family in enumerate(split.families):
        members[family].append(number)
    return [
        (numbers, truths)
        for numbers in members.values()
        if len(np.unique(split.tag_rows[numbers], axis=0)) > 1
        and (truths := RecoloredTruths.from_truths([split.truths[number] for number in numbers])) is not None
    ]
