"""Figures of one coloured picture against its truth: pure functions of RGB in [0, 1], padding cut off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

RgbFloat = npt.NDArray[np.float32]
"""(height, width, 3) float in [0, 1]."""
INK_THRESHOLD = 0.9  # line art darker than this counts as ink
MIN_VISIBLE_DELTA_E = 5.0  # CIELAB units: truths of a family differ visibly there


def l1(fake: RgbFloat, truth: RgbFloat) -> float:
    """Mean absolute error on a scale of 0 to 1."""
    return float(np.abs(fake - truth).mean())


def psnr(fake: RgbFloat, truth: RgbFloat) -> float:
    """Peak signal-to-noise ratio in dB; equal pictures give 100."""
    error = float(np.square(fake - truth).mean())
    return 100.0 if error < 1e-10 else -10 * float(np.log10(error))


def ssim(fake: RgbFloat, truth: RgbFloat) -> float:
    """Structural similarity, windows of 7 px. Source: Wang et al. (2004). 1 for equal pictures, however small."""
    window = min(7, *truth.shape[:2])
    window -= 1 - window % 2
    if window < 3:
        return float(np.allclose(fake, truth))
    return float(structural_similarity(fake, truth, channel_axis=2, data_range=1.0, win_size=window))


def ciede2000(fake: RgbFloat, truth: RgbFloat) -> float:
    """Mean CIEDE2000. Source: Sharma, Wu, Dalal (2005)."""
    return float(deltaE_ciede2000(rgb2lab(truth), rgb2lab(fake)).mean())


def mean_chroma(rgb: RgbFloat) -> float:
    """Mean CIELAB chroma: sepia has little."""
    lab = rgb2lab(rgb)
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())


def extract_ink(rgb: RgbFloat) -> npt.NDArray[np.bool_]:
    """Ink (height, width) of the line art drawn of a coloured picture: gray, 5x5 dilate, absdiff, invert, threshold."""
    gray = cv2.cvtColor(np.rint(rgb * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    line = 255 - cv2.absdiff(cv2.dilate(gray, np.ones((5, 5), np.uint8)), gray)
    return np.asarray(line < 255 * INK_THRESHOLD, np.bool_)


def line_f1(fake: RgbFloat, truth: RgbFloat) -> float:
    """F1 of a fake's lines, drawn again, against the truth's, a pixel of tolerance; 1 where both have none."""
    found, wanted = extract_ink(fake), extract_ink(truth)
    if not found.any() and not wanted.any():
        return 1.0
    precision = _covered(found, wanted)
    recall = _covered(wanted, found)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _covered(ink: npt.NDArray[np.bool_], by: npt.NDArray[np.bool_]) -> float:
    near = cv2.dilate(by.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return float((ink & near).sum() / ink.sum()) if ink.any() else 0.0


PAIR_METRICS: dict[str, Callable[[RgbFloat, RgbFloat], float]] = {
    "l1": l1, "psnr": psnr, "ssim": ssim, "ciede2000": ciede2000, "line_f1": line_f1,
}  # fmt: skip


@dataclass(frozen=True)
class RecoloredTruths:
    """Truths of one line drawing in several colourings, in CIELAB, over the pixels where they differ."""

    labs: npt.NDArray[np.float64]
    """(n, height, width, 3), at the first one's size"""
    region: npt.NDArray[np.bool_]
    """(height, width)"""

    @staticmethod
    def from_truths(truths: Sequence[RgbFloat]) -> RecoloredTruths | None:
        """None where the truths do not differ."""
        height, width = truths[0].shape[:2]
        labs = np.stack([_lab(truth, height, width) for truth in truths])
        region = (np.linalg.norm(labs[:, None] - labs[None], axis=-1) > MIN_VISIBLE_DELTA_E).any(axis=(0, 1))
        return RecoloredTruths(labs, region) if region.any() else None

    def nearest_truth(self, fake: RgbFloat) -> int:
        """Which truth a fake is nearest to: by the mean CIELAB difference (CIE 1976) over the region."""
        made = _lab(fake, *self.region.shape)[self.region]
        return int(np.argmin([float(np.linalg.norm(made - lab[self.region], axis=-1).mean()) for lab in self.labs]))

    def lightness_ranks(self) -> npt.NDArray[np.int64]:
        """Each truth's rank by its mean lightness in the region: tones of skin that are neighbours differ by one."""
        lightness = [float(lab[self.region][:, 0].mean()) for lab in self.labs]
        return np.argsort(np.argsort(lightness, kind="stable"), kind="stable")


def change_by_region(
    before: RgbFloat, after: RgbFloat, one: RgbFloat, other: RgbFloat
) -> tuple[float, float, float] | None:
    """Mean CIEDE2000 between two fakes inside and outside of where two truths differ, and between the truths inside.

    None where the truths do not differ at all, or everywhere.
    """
    height, width = before.shape[:2]
    labs = [_lab(rgb, height, width) for rgb in (one, other)]
    region = np.linalg.norm(labs[0] - labs[1], axis=-1) > MIN_VISIBLE_DELTA_E
    if not region.any() or region.all():
        return None
    made = deltaE_ciede2000(_lab(before, height, width), _lab(after, height, width))
    asked = deltaE_ciede2000(*labs)
    return float(made[region].mean()), float(made[~region].mean()), float(asked[region].mean())


def _lab(rgb: RgbFloat, height: int, width: int) -> npt.NDArray[np.float64]:
    return np.asarray(rgb2lab(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)))


def derangement(families: Sequence[str], seed: int) -> npt.NDArray[np.int64] | None:
    """A seeded order in which every picture meets one of another family; None if one family is more than half.

    Families are laid end to end in random order and shifted by the size of the largest, which leaves none on itself.
    """
    rng = np.random.default_rng(seed)
    names, inverse = np.unique(np.array(families), return_inverse=True)
    largest = int(np.bincount(inverse).max())
    if 2 * largest > len(families):
        return None
    shuffled = rng.permutation(len(families))
    laid = shuffled[np.argsort(rng.permutation(len(names))[inverse[shuffled]], kind="stable")]
    order = np.empty(len(families), np.int64)
    order[laid] = np.roll(laid, -largest)
    return order


def bootstrap_interval(
    values: Sequence[float], families: Sequence[str], seed: int, draws: int = 2000
) -> dict[str, float]:
    """Mean and 95 % percentile interval, families drawn with replacement: look-alikes are not independent."""
    _, inverse = np.unique(np.array(families), return_inverse=True)
    sums = np.bincount(inverse, np.array(values, np.float64))
    sizes = np.bincount(inverse)
    picks = np.random.default_rng(seed).integers(0, len(sizes), (draws, len(sizes)))
    means = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": float(np.mean(values)), "low": float(low), "high": float(high)}


def kid(
    fakes: npt.NDArray[np.float64], truths: npt.NDArray[np.float64], seed: int, draws: int = 200
) -> dict[str, float]:
    """Kernel Inception distance of features (n, d) and (m, d): unbiased squared MMD under (x·y/d + 1)³.

    The interval is that of subsets of half the pictures, so it is wider than the whole's. Source: Bińkowski et al.
    (2018), arXiv:1801.01401, section 4. Raises ValueError for fewer than four pictures.
    """
    count = min(len(fakes), len(truths))
    if count < 4:
        raise ValueError(f"KID needs four pictures of a kind. Received: {count}")
    both = np.concatenate([fakes, truths])
    kernel = (both @ both.T / both.shape[1] + 1) ** 3
    random = np.random.default_rng(seed)
    halves = [(random.permutation(len(fakes)), random.permutation(len(truths))) for _ in range(draws)]
    found = [_mmd(kernel, one[: count // 2], len(fakes) + two[: count // 2]) for one, two in halves]
    whole = _mmd(kernel, np.arange(len(fakes)), len(fakes) + np.arange(len(truths)))
    low, high = np.percentile(found, [2.5, 97.5])
    return {"mean": whole, "low": float(low), "high": float(high)}


def _mmd(kernel: npt.NDArray[np.float64], one: npt.NDArray[np.int64], two: npt.NDArray[np.int64]) -> float:
    """Unbiased squared maximum mean discrepancy; a picture is never compared with itself."""

    def within(places: npt.NDArray[np.int64]) -> float:
        block = kernel[np.ix_(places, places)]
        return float((block.sum() - np.trace(block)) / (len(places) * (len(places) - 1)))

    return within(one) + within(two) - 2 * float(kernel[np.ix_(one, two)].mean())
