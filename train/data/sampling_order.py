"""Which pairs a step sees: a pure function of (seed, step), with equal weights or weighted by how rare the tags are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class PairWeights:
    """How often each pair is seen, relative to the others.

    An object is equal only to itself, so that it can be a key of the cache of epochs.
    """

    values: npt.NDArray[np.float64]
    """(count,), all positive."""


def pair_numbers_at_step(
    seed: int, step: int, batch_size: int, count: int, weights: PairWeights | None = None
) -> npt.NDArray[np.int64]:
    """Numbers of the pairs in a step's batch: (batch_size,) int64. A batch may run across the end of an epoch.

    An epoch shows `count` pairs: a permutation of all of them, or, with weights, a shuffled systematic sample.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    return np.array([_epoch(seed, int(at // count), count, weights)[at % count] for at in positions], np.int64)


@lru_cache(maxsize=2)  # a batch may need two epochs
def _epoch(seed: int, epoch: int, count: int, weights: PairWeights | None) -> npt.NDArray[np.int64]:
    random = np.random.default_rng([seed, epoch])
    return random.permutation(count if weights is None else systematic_sample(weights.values, random.random()))


def systematic_sample(weights: npt.NDArray[np.float64], start: float) -> npt.NDArray[np.int64]:
    """(count,) weights -> (count,) pair numbers in ascending order, each as often as its share of the weights.

    A share that is not whole is rounded down or up; `start` in [0, 1) decides which, and over uniform starts the mean
    equals the share. Equal weights give each number once. Source: systematic sampling, Madow (1949), Annals of
    Mathematical Statistics 20(3), pages 333 to 354.
    """
    edges = np.cumsum(weights)
    points = (np.arange(len(weights)) + start) * (edges[-1] / len(weights))
    return np.asarray(np.minimum(np.searchsorted(edges, points, side="right"), len(weights) - 1), np.int64)


def tag_weights(counts: npt.NDArray[np.int64], balance: float) -> npt.NDArray[np.float64]:
    """Weight of each tag, 1 / count^balance: (vocabulary,) numbers of pairs with the tag -> (vocabulary,).

    Source: Mahajan et al. (2018), arXiv:1805.00932, who sample pictures by the frequency of their hashtags with a
    balance of one half. There a picture weighs as much as its rarest tag; here, as the mean of its tags.
    """
    return np.maximum(counts, 1).astype(np.float64) ** -balance


def mean_tag_weights(
    tags: npt.NDArray[np.int64], pairs: npt.NDArray[np.int64], count: int, rare: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Weight of each pair, the mean of its tags' weights: (count,).

    `tags` and `pairs`, both (n,), say that pair `pairs[i]` carries tag `tags[i]`; `rare` (vocabulary,) is each tag's
    weight. The mean, not the sum, so that a picture with many tags is not seen more often for it. A pair without tags
    weighs as much as the most common tag.
    """
    tag_counts = np.bincount(pairs, minlength=count)
    totals = np.bincount(pairs, rare[tags], minlength=count)
    return np.where(tag_counts > 0, totals / np.maximum(tag_counts, 1), rare.min(initial=1.0))
