"""Where recolours, drawings with the same lines in other colours, differ, and what a generated picture does there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from skimage.color import deltaE_ciede2000, rgb2lab

from train.evaluation.metrics import RgbFloat

MIN_VISIBLE_DELTA_E = 5.0
"""Distance in CIELAB (CIE 1976) above which two truths visibly differ at a pixel."""


@dataclass(frozen=True)
class RecoloredTruths:
    """The truths of one family of recolours in CIELAB, and the region where any two of them differ."""

    labs: npt.NDArray[np.float64]
    """(n, height, width, 3), at the size of the first truth."""
    region: npt.NDArray[np.bool_]
    """(height, width)"""

    @staticmethod
    def from_truths(truths: Sequence[RgbFloat]) -> RecoloredTruths | None:
        """The truths of a family, or None if they differ nowhere."""
        height, width = truths[0].shape[:2]
        labs = np.stack([_lab(truth, height, width) for truth in truths])
        region = np.zeros((height, width), np.bool_)
        for number, lab in enumerate(labs):  # one truth at a time, so that memory grows with n and not with n²
            region |= (np.linalg.norm(labs[number + 1 :] - lab, axis=-1) > MIN_VISIBLE_DELTA_E).any(axis=0)
        return RecoloredTruths(labs, region) if region.any() else None

    def nearest_truth(self, fake: RgbFloat) -> int:
        """Number of the truth with the least mean CIELAB distance (CIE 1976) to a picture over the region."""
        fake_lab = _lab(fake, *self.region.shape)[self.region]
        return int(np.argmin([float(np.linalg.norm(fake_lab - lab[self.region], axis=-1).mean()) for lab in self.labs]))

    def lightness_ranks(self) -> npt.NDArray[np.int64]:
        """Rank of each truth (n,) by mean lightness in the region: neighbouring skin tones differ by 1."""
        lightness = [float(lab[self.region][:, 0].mean()) for lab in self.labs]
        return np.argsort(np.argsort(lightness, kind="stable"), kind="stable")


def change_by_region(
    before: RgbFloat, after: RgbFloat, truth: RgbFloat, other_truth: RgbFloat
) -> tuple[float, float, float] | None:
    """Mean CIEDE2000 between two fakes inside and outside the region where two truths differ, and of the truths inside.

    None if the truths differ nowhere or everywhere.
    """
    height, width = before.shape[:2]
    truth_labs = [_lab(rgb, height, width) for rgb in (truth, other_truth)]
    region = np.linalg.norm(truth_labs[0] - truth_labs[1], axis=-1) > MIN_VISIBLE_DELTA_E
    if not region.any() or region.all():
        return None
    change = deltaE_ciede2000(_lab(before, height, width), _lab(after, height, width))
    asked = deltaE_ciede2000(*truth_labs)
    return float(change[region].mean()), float(change[~region].mean()), float(asked[region].mean())


def _lab(rgb: RgbFloat, height: int, width: int) -> npt.NDArray[np.float64]:
    """CIELAB at another size: members of a family may differ by a pixel or so."""
    return np.asarray(rgb2lab(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)))
