"""Validation figures on the same few pairs at every snapshot: how true the colours are, how strong and how diverse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.color import deltaE_ciede2000, rgb2lab

from train.data.array_types import CielabPixels, SignedPixels
from train.data.batches import fixed_batch
from train.data.pairs import Pairs
from train.model.trained_model import generate_colors

FIXED_PAIR_COUNT = 32  # enough to rank snapshots; takes two cores a second
VALIDATION_FIGURES = ("validation_l1", "validation_ciede2000", "validation_chroma", "validation_diversity")
GRAY_CHROMA = 1.0  # mean CIELAB chroma: a difference of 1 is the smallest visible one, and below it there is no hue
ONE_HUE = 0.05  # spread of hues (0 to 2) below which the truths themselves have a single hue

Float64Array = npt.NDArray[np.float64]


class FixedPairs:
    """The first pairs of a split, which shards hold in shuffled order, and the CIELAB colours of their truths."""

    def __init__(self, pairs: Pairs, target: str) -> None:
        self.batch = fixed_batch(pairs, list(range(min(FIXED_PAIR_COUNT, len(pairs)))), target=target)
        self.mask = np.asarray(self.batch.mask, np.float64)[..., 0]
        self.truths = _lab(np.asarray(self.batch.colors))

    def figures(self, generator: Any) -> dict[str, float]:
        """Means over the pairs inside their content boxes, coloured with their own tags; all NaN if any output is.

        `validation_l1` (0 to 1) and `validation_ciede2000` are those of `evaluation.metrics`. `validation_chroma` and
        `validation_diversity` are ratios to the truths, 1 if equal; they are left out if the truths have none.
        """
        fakes = generate_colors(generator, self.batch, self.batch.tags)
        if not np.isfinite(fakes).all():
            return dict.fromkeys(VALIDATION_FIGURES, math.nan)
        error = np.abs(fakes - np.asarray(self.batch.colors)).mean(axis=-1) / 2
        fake_labs = _lab(fakes)
        difference = np.asarray(deltaE_ciede2000(self.truths, fake_labs), np.float64)
        figures = {"validation_l1": self._mean(error), "validation_ciede2000": self._mean(difference)}
        chroma, true_chroma = self._mean(_chroma(fake_labs)), self._mean(_chroma(self.truths))
        if true_chroma > GRAY_CHROMA:
            figures["validation_chroma"] = chroma / true_chroma
        if (true_spread := _spread(hues(self.truths, self.mask))) > ONE_HUE:
            figures["validation_diversity"] = _spread(hues(fake_labs, self.mask)) / true_spread
        return figures

    def _mean(self, values: npt.NDArray[Any]) -> float:
        """Mean over pictures of each picture's mean inside its content box: values (n, height, width)."""
        return float(((values * self.mask).sum(axis=(1, 2)) / self.mask.sum(axis=(1, 2))).mean())


def hues(labs: CielabPixels, mask: Float64Array) -> Float64Array:
    """Each picture's hue as a point in the unit disc, the sum of its (a, b) over the sum of its chroma: (n, 2).

    Neither the shape of the drawing nor the strength of its colours moves the point, so pictures coloured alike share
    one. Gray pictures lie near the centre. labs is (n, height, width, 3), mask (n, height, width).
    """
    sums = (labs[..., 1:] * mask[..., None]).sum(axis=(1, 2))
    strength = np.maximum((_chroma(labs) * mask).sum(axis=(1, 2)), GRAY_CHROMA * mask.sum(axis=(1, 2)))
    return np.asarray(sums / strength[:, None], np.float64)


def _spread(points: Float64Array) -> float:
    """Mean distance between two different points of (n, 2); 0 for a single point."""
    count = len(points)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return float(distances.sum()) / max(1, count * (count - 1))


def _chroma(labs: CielabPixels) -> Float64Array:
    return np.asarray(np.hypot(labs[..., 1], labs[..., 2]), np.float64)


def _lab(pixels: SignedPixels) -> CielabPixels:
    return np.asarray(rgb2lab(np.clip((pixels + 1) / 2, 0, 1)), np.float64)
