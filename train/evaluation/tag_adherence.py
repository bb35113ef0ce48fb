"""How far tags decide colours: a split coloured with its own tags, with others', with none, with one changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train.evaluation import metrics
from train.evaluation.metrics import RecoloredTruths, RgbFloat

MAX_ADHERENCE_PASSES = 4  # times that `steered` has a split coloured, at most
TagRows = npt.NDArray[np.float32]
"""(n, vocabulary) multi-hot."""


@dataclass(frozen=True)
class EvaluationSplit:
    """A split to be coloured, picture by picture."""

    truths: Sequence[RgbFloat]
    families: Sequence[str]
    tag_rows: TagRows
    paint_with: Callable[[TagRows], list[RgbFloat]]
    """The split coloured as these rows ask."""
    color_tag_places: npt.NDArray[np.int64]
    """Places of the vocabulary's colour tags."""


def measure_tag_adherence(split: EvaluationSplit, true: list[RgbFloat], seed: int) -> dict[str, Any]:
    """Ablation, over all and over alternates, obedience and swap; `true` is the split coloured as its own tags ask."""
    figures = tag_ablation(split, true, seed) | {"alternates": ablation_on_alternates(split, true, seed)}
    return figures | {"obedience": obedience(split, true), "swap": color_swap(split, true)}


def tag_ablation(split: EvaluationSplit, true: list[RgbFloat], seed: int) -> dict[str, Any]:
    """Mean CIEDE2000 with true, shuffled and no tags, and what the latter add, with 95 % intervals over families.

    Shuffled are the tags of a picture of another family; None where one family is more than half of all.
    """
    order = metrics.derangement(split.families, seed)
    made = {"true": true, "none": split.paint_with(np.zeros_like(split.tag_rows))}
    if order is not None:
        made["shuffled"] = split.paint_with(split.tag_rows[order])
    errors = {
        name: np.array([metrics.ciede2000(*one) for one in zip(fakes, split.truths, strict=True)])
        for name, fakes in made.items()
    }
    means = {name: float(errors[name].mean()) if name in errors else None for name in ("true", "shuffled", "none")}
    worse = {name: errors[name] - errors["true"] if name in errors else None for name in ("shuffled", "none")}
    return {f"ciede2000_{name}": mean for name, mean in means.items()} | {
        f"{name}_minus_true": None if more is None else metrics.bootstrap_interval(more.tolist(), split.families, seed)
        for name, more in worse.items()
    }


def ablation_on_alternates(split: EvaluationSplit, true: list[RgbFloat], seed: int) -> dict[str, Any] | None:
    """The ablation by shuffled tags over alternates alone, whose tags are known to decide their colours.

    Each is given the tags of one of another family; `ratio` is the mean error with those over that with its own. None
    where there are no two families of about one size.
    """
    numbers = [number for family, _ in _alternate_families(split) for number in family]
    order = metrics.derangement([split.families[number] for number in numbers], seed) if numbers else None
    if order is None:
        return None
    rows = split.tag_rows.copy()
    rows[numbers] = split.tag_rows[numbers][order]
    own, others = (
        sum(metrics.ciede2000(made[number], split.truths[number]) for number in numbers) / len(numbers)
        for made in (true, split.paint_with(rows))
    )
    figures = {"pictures": len(numbers), "ciede2000_true": own, "ciede2000_shuffled": others}
    return figures | {"ratio": others / max(1e-9, own)}


def obedience(split: EvaluationSplit, true: list[RgbFloat]) -> dict[str, Any] | None:
    """Over alternates: the share of fakes nearest to the truth that was asked for, of all the family's.

    Members with the same tags ask for the same, so that each of their truths is right. `neighbours` is the share
    nearest to a right one or to the next lighter or darker one, `chance` the mean share of a family that is right.
    None without alternates.
    """
    hits, near, chances = [], [], []
    families = _alternate_families(split)
    for numbers, family in families:
        rows, shades = split.tag_rows[numbers], family.lightness_ranks()
        right = (rows[:, None] == rows[None]).all(axis=-1)
        close = abs(shades[:, None] - shades[None]) <= 1
        picked = np.array([family.nearest_truth(true[number]) for number in numbers])
        hits += right[range(len(numbers)), picked].tolist()
        near += [bool((asked & close[one]).any()) for asked, one in zip(right, picked, strict=True)]
        chances += right.mean(axis=1).tolist()
    if not families:
        return None
    shares = {"accuracy": hits, "neighbours": near, "chance": chances}
    return {name: float(np.mean(share)) for name, share in shares.items()} | {"sets": len(families)}


def color_swap(split: EvaluationSplit, true: list[RgbFloat]) -> dict[str, float] | None:
    """A colour tag changed for that of the family's next member, all else as it was: mean CIEDE2000 that this makes.

    `inside` the region where the two truths differ, `outside` it, and `asked`, what the truths themselves differ by
    inside. None where no family's members differ in a colour tag.
    """
    rows, pairs = split.tag_rows.copy(), []
    for numbers, _ in _alternate_families(split):
        for number, other in zip(numbers, numbers[1:] + numbers[:1], strict=True):
            rows[number, split.color_tag_places] = split.tag_rows[other, split.color_tag_places]
            if (rows[number] != split.tag_rows[number]).any():
                pairs.append((number, other))
    changed = split.paint_with(rows) if pairs else []
    figures = [
        one
        for number, other in pairs
        if (one := metrics.change_by_region(true[number], changed[number], split.truths[number], split.truths[other]))
    ]
    if not figures:
        return None
    names = ("inside", "outside", "asked")
    return dict(zip(names, np.mean(figures, axis=0).tolist(), strict=True))


def _alternate_families(split: EvaluationSplit) -> list[tuple[list[int], RecoloredTruths]]:
    """Alternates: families whose tags and truths differ, with their members' numbers."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, family in enumerate(split.families):
        members[family].append(number)
    several = [numbers for numbers in members.values() if len(np.unique(split.tag_rows[numbers], axis=0)) > 1]
    found = [
        (numbers, RecoloredTruths.from_truths([split.truths[number] for number in numbers])) for numbers in several
    ]
    return [(numbers, family) for numbers, family in found if family is not None]
