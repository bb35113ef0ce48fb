"""Random orders and intervals that treat each family as one: look-alike pictures are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt


class Interval(TypedDict):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def derangement(families: Sequence[str], seed: int) -> npt.NDArray[np.int64] | None:
    """A seeded order in which every picture takes the place of a picture of another family.

    None if one family holds more than half of the pictures. Families are laid end to end in random order and shifted by
    the size of the largest, which leaves no picture in its own family.
    """
    rng = np.random.default_rng(seed)
    names, family_numbers = np.unique(np.array(families), return_inverse=True)
    largest = int(np.bincount(family_numbers).max())
    if 2 * largest > len(families):
        return None
    shuffled = rng.permutation(len(families))
    by_family = shuffled[np.argsort(rng.permutation(len(names))[family_numbers[shuffled]], kind="stable")]
    order = np.empty(len(families), np.int64)
    order[by_family] = np.roll(by_family, -largest)
    return order


def bootstrap_interval(values: Sequence[float], families: Sequence[str], seed: int, draws: int = 2000) -> Interval:
    """Mean of the values, with the 95 % percentile interval over families drawn with replacement."""
    _, family_numbers = np.unique(np.array(families), return_inverse=True)
    sums = np.bincount(family_numbers, np.array(values, np.float64))
    sizes = np.bincount(family_numbers)
    picks = np.random.default_rng(seed).integers(0, len(sizes), (draws, len(sizes)))
    means = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": float(np.mean(values)), "low": float(low), "high": float(high)}
