"""Figures that compare a generated picture ("fake") with the artist's ("truth").

Pictures are RGB in [0, 1], of equal size. All figures are means over the picture, so padding must be cut off first.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

RgbFloat = npt.NDArray[np.float32]
"""(height, width, 3) float in [0, 1]."""
INK_THRESHOLD = 0.9
"""Line art darker than this, of 1, counts as ink."""
MAX_PSNR = 100.0
"""dB of equal pictures, whose PSNR would be infinite."""


def l1(fake: RgbFloat, truth: RgbFloat) -> float:
    """Mean absolute error over pixels and channels: mean |fake - truth|. 0 to 1, lower is better."""
    return float(np.abs(fake - truth).mean())


def psnr(fake: RgbFloat, truth: RgbFloat) -> float:
    """Peak signal-to-noise ratio in dB: -10 log10(mean (fake - truth)²). 0 to 100 (equal), higher is better."""
    error = float(np.square(fake - truth).mean())
    return MAX_PSNR if error < 1e-10 else -10 * float(np.log10(error))


def ssim(fake: RgbFloat, truth: RgbFloat) -> float:
    """Structural similarity over windows of 7 px, mean of the channels. -1 to 1 (equal), higher is better.

    Smaller pictures have smaller windows; below 3 px the figure is 1 for equal pictures and 0 for others.
    Source: Wang et al., IEEE Transactions on Image Processing 13(4), 2004.
    """
    window = min(7, *truth.shape[:2])
    window -= 1 - window % 2
    if window < 3:
        return float(np.allclose(fake, truth))
    return float(structural_similarity(fake, truth, channel_axis=2, data_range=1.0, win_size=window))


def ciede2000(fake: RgbFloat, truth: RgbFloat) -> float:
    """Mean CIEDE2000 colour difference over pixels. 0 (equal) to about 100, lower is better; 1 is just visible.

    Source: Sharma, Wu and Dalal, Color Research and Application 30(1), 2005.
    """
    return float(deltaE_ciede2000(rgb2lab(truth), rgb2lab(fake)).mean())


def mean_chroma(rgb: RgbFloat) -> float:
    """Mean CIELAB chroma: mean sqrt(a² + b²). 0 is gray, sepia has little, sRGB's red has 105."""
    lab = rgb2lab(rgb)
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())


def extract_ink(rgb: RgbFloat) -> npt.NDArray[np.bool_]:
    """Where line art extracted from a coloured picture has ink: (height, width) bool.

    Lines are the gray picture dilated by 5x5 px, minus the gray picture, inverted and thresholded.
    """
    gray = cv2.cvtColor(np.rint(rgb * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    line = 255 - cv2.absdiff(cv2.dilate(gray, np.ones((5, 5), np.uint8)), gray)
    return np.asarray(line < 255 * INK_THRESHOLD, np.bool_)


def line_f1(fake: RgbFloat, truth: RgbFloat) -> float:
    """F1 score of the fake's extracted lines against the truth's, with a tolerance of one pixel.

    2 · precision · recall / (precision + recall). 0 to 1, higher is better; 1 if neither picture has lines.
    """
    fake_ink, truth_ink = extract_ink(fake), extract_ink(truth)
    if not fake_ink.any() and not truth_ink.any():
        return 1.0
    precision = _covered_share(fake_ink, truth_ink)
    recall = _covered_share(truth_ink, fake_ink)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _covered_share(ink: npt.NDArray[np.bool_], other_ink: npt.NDArray[np.bool_]) -> float:
    """Share of `ink` that lies within one pixel of `other_ink`."""
    near = cv2.dilate(other_ink.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return float((ink & near).sum() / ink.sum()) if ink.any() else 0.0


PAIR_METRICS: dict[str, Callable[[RgbFloat, RgbFloat], float]] = {
    "l1": l1, "psnr": psnr, "ssim": ssim, "ciede2000": ciede2000, "line_f1": line_f1,
}  # fmt: skip
"""Figures of (fake, truth) by their JSON names."""
