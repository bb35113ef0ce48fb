"""Which pairs a step sees: a pure function of (seed, step), for pairs alike or weighted by the rarity of their tags."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class PairWeights:
    """How often pairs are to be seen, beside one another; equal only to itself, so that its epochs can be kept."""

    values: npt.NDArray[np.float64]
    """(count,) positive."""


def pair_numbers_at_step(
    seed: int, step: int, batch_size: int, count: int, weights: PairWeights | None = None
) -> npt.NDArray[np.int64]:
    """Pairs of a step: (batch_size,) int64. Batches run across the ends of epochs of `count` pairs.

    Each epoch is a permutation of all pairs; with weights, of draws by them: see `drawn`.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    return np.array([_epoch(seed, int(at // count), count, weights)[at % count] for at in positions], np.int64)


@lru_cache(maxsize=2)
def _epoch(seed: int, epoch: int, count: int, weights: PairWeights | None) -> npt.NDArray[np.int64]:
    random = np.random.default_rng([seed, epoch])
    return random.permutation(count if weights is None else systematic_sample(weights.values, random.random()))


def systematic_sample(weights: npt.NDArray[np.float64], start: float) -> npt.NDArray[np.int64]:
    """(count,) weights -> (count,) numbers in order, each as often as its share of the weights, rounded down or up.

    `start` in [0, 1) decides the rounding; over uniform starts the mean is the share. Equal weights give each number
    once. Source: systematic sampling, Madow (1949), Annals of Mathematical Statistics 20(3), pages 333 to 354.
    """
    edges = np.cumsum(weights)
    places = (np.arange(len(weights)) + start) * (edges[-1] / len(weights))
    return np.asarray(np.minimum(np.searchsorted(edges, places, side="right"), len(weights) - 1), np.int64)


def tag_weights(counts: npt.NDArray[np.int64], balance: float) -> npt.NDArray[np.float64]:
    """(vocabulary,) pairs that carry each tag -> what each tag weighs: 1 / count^balance.

    Source: Mahajan et al. (2018), arXiv:1805.00932, who draw pictures by how frequent their hashtags are, with a
    balance of one half; there a picture weighs what its rarest tag does.
    """
    return np.maximum(counts, 1).astype(np.float64) ** -balance


def mean_tag_weights(
    tags: npt.NDArray[np.int64], pairs: npt.NDArray[np.int64], count: int, rare: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Weights (count,) of pairs: the mean of what their tags weigh.

    `tags` and `pairs` (n,) say that pair `pairs[i]` carries `tags[i]`; `rare` (vocabulary,) is what each tag weighs.
    The mean and not the sum, so that a picture tagged at length is not thereby seen more often. A pair without tags
    weighs what the most common tag does.
    """
    held = np.bincount(pairs, minlength=count)
    total = np.bincount(pairs, rare[tags], minlength=count)
    return np.where(held > 0, total / np.maximum(held, 1), rare.min(initial=1.0))
