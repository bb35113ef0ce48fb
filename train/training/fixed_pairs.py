"""Figures of a generator on the same few pairs, time and again: how true its colours are, how strong, how various."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.color import deltaE_ciede2000, rgb2lab

from train.data.batches import fixed_batch
from train.data.pairs import Pairs
from train.model.trained import generate_colors

FIXED_PAIR_COUNT = 32  # pairs: enough to rank snapshots by, and a second of two cores
VALIDATION_FIGURES = ("validation_l1", "validation_ciede2000", "validation_chroma", "validation_diversity")
GRAY_CHROMA = 1.0  # mean CIELAB chroma: a difference of one is the least that is seen; what has less has no hue
ONE_HUE = 0.05  # spread of hues, 0 to 2, below which the truths themselves are of one hue
Floats = npt.NDArray[np.float64]


class FixedPairs:
    """The first pairs of a split, whose order is a shuffle; with them what of the truths does not change."""

    def __init__(self, pairs: Pairs, target: str) -> None:
        self.batch = fixed_batch(pairs, list(range(min(FIXED_PAIR_COUNT, len(pairs)))), target=target)
        self.mask = np.asarray(self.batch.mask, np.float64)[..., 0]
        self.truths = _lab(np.asarray(self.batch.colors))

    def figures(self, generator: Any) -> dict[str, float]:
        """Means over the pairs, coloured as tagged, of what lies inside the content boxes; NaN if any output is.

        `validation_l1` on a scale of 0 to 1 and `validation_ciede2000`, as in `evaluation.metrics`; `validation_chroma`
        and `validation_diversity` against the truths', 1 where they are equal, left out where the truths have none.
        """
        fakes = generate_colors(generator, self.batch, self.batch.tags)
        if not np.isfinite(fakes).all():
            return dict.fromkeys(VALIDATION_FIGURES, math.nan)
        error = np.abs(fakes - np.asarray(self.batch.colors)).mean(axis=-1) / 2
        made = _lab(fakes)
        difference = np.asarray(deltaE_ciede2000(self.truths, made), np.float64)
        figures = {"validation_l1": self._mean(error), "validation_ciede2000": self._mean(difference)}
        chroma, asked = self._mean(_chroma(made)), self._mean(_chroma(self.truths))
        if asked > GRAY_CHROMA:
            figures["validation_chroma"] = chroma / asked
        if (spread := _spread(hues(self.truths, self.mask))) > ONE_HUE:
            figures["validation_diversity"] = _spread(hues(made, self.mask)) / spread
        return figures

    def _mean(self, values: npt.NDArray[Any]) -> float:
        """Mean over pictures of (n, height, width) inside each one's box."""
        return float(((values * self.mask).sum(axis=(1, 2)) / self.mask.sum(axis=(1, 2))).mean())


def hues(labs: Floats, mask: Floats) -> Floats:
    """Each picture's hue as a point in the unit disc: the sum of its (a, b) over that of its chroma, (n, 2).

    Neither the drawing's shape nor how strongly it is coloured moves the point: pictures that are all coloured alike
    lie on one. labs (n, height, width, 3) in CIELAB, mask (n, height, width). Gray ones lie near the centre.
    """
    sums = (labs[..., 1:] * mask[..., None]).sum(axis=(1, 2))
    strength = np.maximum((_chroma(labs) * mask).sum(axis=(1, 2)), GRAY_CHROMA * mask.sum(axis=(1, 2)))
    return np.asarray(sums / strength[:, None], np.float64)


def _spread(points: Floats) -> float:
    """Mean distance between two of the points (n, 2); 0 for a single one."""
    count = len(points)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return float(distances.sum()) / max(1, count * (count - 1))


def _chroma(labs: Floats) -> Floats:
    return np.asarray(np.hypot(labs[..., 1], labs[..., 2]), np.float64)


def _lab(pixels: npt.NDArray[np.float32]) -> Floats:
    """Pixels (n, height, width, 3) in [-1, 1] -> CIELAB."""
    return np.asarray(rgb2lab(np.clip((pixels + 1) / 2, 0, 1)), np.float64)
