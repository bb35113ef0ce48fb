"""Line art of a colour picture: one pure function per method, RGB -> gray, 255 for paper and 0 for ink.

Lines are drawn at full resolution, up to 4,096 px a side, and shrunk afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from curate.images import hed
from curate.images.array_types import Gray, Rgb
from curate.images.max_filter import maximum_filter, minimum_filter
from curate.jit import compiled

TANH_SATURATION = 10.0  # below minus this, tanh is -1 in float32
MAX_LINE_SIDE_PX = 4096  # longer side of a picture whose lines are drawn
PEN_STROKE_MAX_LEVEL = 204  # a stroke's level relative to its fill, of 255, below which it shows the pen
PEN_MIN_STROKE_SHARE = 0.02  # share of the picture that strokes cover
PEN_MIN_COLOR_SHARE = 0.5  # share of the strokes that have the pen's colour
PEN_MAX_CHANNEL = 128  # the brightest a channel of the pen may be
PEN_TOLERANCE_LEVELS = 8  # how far each channel may be from the pen's colour


def opencv_gray(rgb: Rgb) -> Gray:
    """Luma after ITU-R BT.601, rounded as OpenCV rounds it; `resample.pillow_luma` is Pillow's."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def dilate(rgb: Rgb) -> Gray:
    """Dark strokes that a maximum filter removes, being thinner than its window: line = 255 - |dilate(g) - g|.

    The window is 5x5 px up to 256 px a side and grows with the picture; otherwise a large one would have hairlines.
    Source: PaintsChainer's first version (T. Yonetsuji, Qiita, 2016).
    """
    luma = opencv_gray(rgb)
    bright = maximum_filter(luma, stroke_radius(rgb))
    return np.asarray(cv2.bitwise_not(cv2.subtract(bright, luma, dst=bright), dst=bright), np.uint8)


def xdog(
    rgb: Rgb, sigma: float = 0.5, k: float = 4.5, sharpness: float = 19.0, epsilon: float = 0.01, phi: float = 1e9
) -> Gray:
    """Extended difference of Gaussians with a soft threshold: S = (1 + p)·G(sigma) - p·G(k·sigma).

    Ink where S < epsilon: 1 + tanh(phi·(S - epsilon)); the default phi makes that black or white. `sigma` is in px,
    p is `sharpness`, S runs from 0 to 1.
    Source: Winnemöller, Kyprianidis, Olsen, "XDoG" (Computers & Graphics 36, 2012), eq. 7.
    """
    return xdog_of_luma(opencv_gray(rgb), sigma, k, sharpness, epsilon, phi)


def xdog_of_luma(
    luma: Gray, sigma: float = 0.5, k: float = 4.5, sharpness: float = 19.0, epsilon: float = 0.01, phi: float = 1e9
) -> Gray:
    """`xdog` of a picture given by its luma."""
    shade = np.divide(luma, np.float32(255), dtype=np.float32)
    narrow = np.asarray(cv2.GaussianBlur(shade, (0, 0), sigma), np.float32)
    step = np.asarray(cv2.GaussianBlur(shade, (0, 0), k * sigma, dst=shade), np.float32)
    np.multiply(narrow, 1 + sharpness, out=narrow)
    np.subtract(narrow, np.multiply(step, sharpness, out=step), out=step)
    np.subtract(step, epsilon, out=step)
    lines = np.multiply(step >= 0, 255, dtype=np.uint8)
    soft = (step < 0) & (step > -TANH_SATURATION / phi)
    if soft.any():
        lines[soft] = np.rint(255 * (1 + np.tanh(phi * step[soft])))
    return lines


def limit_size(rgb: Rgb) -> Rgb:
    """Shrink a picture by area to 4,096 px on its longer side; a smaller picture is returned unchanged.

    Filters grow with the picture and took minutes on 170 megapixels, yet a line thinner than 1 px of 4,096 leaves no
    trace in a pair.
    """
    height, width, _ = rgb.shape
    scale = MAX_LINE_SIDE_PX / max(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def stroke_radius(rgb: Rgb) -> int:
    """Radius in px of a filter that covers a stroke: 2 (a 5x5 square) up to 256 px a side, then in proportion."""
    height, width, _ = rgb.shape
    return int(max(2, round(max(height, width) / 128)))


def dodge(rgb: Rgb) -> Gray:
    """Each pixel as a share of the brightest one around it: line = 255·g / dilate(g).

    A stroke is as black on a dark fill as on paper, where `dilate` would fade it.
    Source: the "colour dodge" blend of image editors, with a maximum filter for its blur.
    """
    luma = opencv_gray(rgb)
    return np.asarray(cv2.divide(luma, maximum_filter(luma, stroke_radius(rgb)), scale=255), np.uint8)


def contour(rgb: Rgb, weight: float = 0.35) -> Gray:
    """Strokes in black, borders between fills in gray, and areas filled with the pen's colour in black.

    line = min over R, G, B of (255·c / close(c), 255 - weight·(dilate(c) - erode(c))), and 0 in the colour of
    `pen_color`. The closing fills what is darker than both its sides and up to 4·`stroke_radius` px wide, so a step
    between two fills is no stroke and a broad stroke is not hollow. The gradient's window is a little wider than
    `stroke_radius`, about as broad as the line that the artist left out. Sources: the black top-hat of Meyer (in
    Serra, "Image Analysis and Mathematical Morphology", 1982), as a ratio instead of a difference; Rivest, Soille,
    Beucher, "Morphological gradients" (Journal of Electronic Imaging 2, 1993).
    """
    radius = stroke_radius(rgb)
    half = 5 * radius // 4
    strokes, step = np.full(rgb.shape[:2], 255, np.uint8), np.zeros(rgb.shape[:2], np.uint8)
    # reused for each channel: allocating new arrays would take half of the time
    bright, scratch, closed = (np.empty(step.shape, np.uint8) for _ in range(3))
    channels = [np.asarray(channel, np.uint8) for channel in cv2.split(rgb)]
    for channel in channels:
        maximum_filter(channel, half, bright)
        minimum_filter(maximum_filter(bright, 2 * radius - half, scratch), 2 * radius, closed)
        dark = minimum_filter(channel, half, scratch)
        arrays = (channel, closed, bright, dark, strokes, step)
        _update_strokes_and_steps(*(array.reshape(-1) for array in arrays))
    lines = cv2.min(strokes, cv2.convertScaleAbs(step, dst=step, alpha=-weight, beta=255), dst=step)
    if (color := pen_color(rgb, strokes)) is not None:
        near = (
            cv2.inRange(channel, low, low + 2 * PEN_TOLERANCE_LEVELS)
            for channel, low in zip(channels, color - PEN_TOLERANCE_LEVELS, strict=True)
        )
        # inRange of all three channels at once takes three times as long
        lines = cv2.subtract(lines, reduce(cv2.bitwise_and, near), dst=step)
    return np.asarray(lines, np.uint8)


@compiled
def _update_strokes_and_steps(channel: Any, closed: Any, bright: Any, dark: Any, strokes: Any, step: Any) -> None:
    """Lower `strokes` (n,) to 255·channel / closed, and raise `step` (n,) to bright - dark, for one channel's pixels.

    The ratio is rounded as OpenCV's `divide` does, halves to even. One pass saves 1.9 of 12 ms on 1.5 megapixels.
    """
    for place in range(len(channel)):
        share = np.rint(np.float32(255) * np.float32(channel[place]) / np.float32(max(closed[place], np.uint8(1))))
        strokes[place] = min(strokes[place], np.uint8(share))
        step[place] = max(step[place], np.uint8(bright[place] - dark[place]))


def pen_color(rgb: Rgb, strokes: Gray) -> npt.NDArray[np.float64] | None:
    """The dark colour (R, G, B) that most strokes share; None if they share none, are light, or are few.

    An area in the pen's colour is ink too, however broad. Colours are counted in bins of 8 levels. Strokes are few if
    they cover less than a fiftieth of the picture. The constants, and those of `contour`, were chosen on 200 OpenMoji
    drawings that are not among the 450 of `tests/bench/lineart.py`.
    """
    step = max(1, stroke_radius(rgb) // 2)  # a stroke is several px wide
    drawn = strokes[::step, ::step] < PEN_STROKE_MAX_LEVEL
    colors = rgb[::step, ::step][drawn]
    if len(colors) < PEN_MIN_STROKE_SHARE * drawn.size or not len(colors):
        return None
    bins = (colors.astype(np.int32) >> 3) @ np.array((1024, 32, 1), np.int32)
    counts = np.bincount(bins)
    commonest = int(counts.argmax())
    if counts[commonest] < PEN_MIN_COLOR_SHARE * len(colors):
        return None
    color = colors[bins == commonest].mean(axis=0)
    return color if color.max() <= PEN_MAX_CHANNEL else None


def adaptive(rgb: Rgb, offset: float = 10.0) -> Gray:
    """Black where a pixel is more than `offset` levels darker than the mean around it, else white.

    The window is four times as wide as that of `stroke_radius`. Source: Bradley and Roth, "Adaptive Thresholding using
    the Integral Image" (Journal of Graphics Tools 12, 2007), with a difference instead of their ratio, as in OpenCV.
    """
    side = 8 * stroke_radius(rgb) + 1
    return np.asarray(
        cv2.adaptiveThreshold(opencv_gray(rgb), 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, side, offset),
        np.uint8,
    )


def canny(rgb: Rgb, low: float = 50.0, high: float = 150.0) -> Gray:
    """Canny edges of every colour channel, in black, wide enough to survive shrinking.

    `low` and `high` are the gradient thresholds of the hysteresis. Source: Canny, "A Computational Approach to Edge
    Detection" (IEEE PAMI 8, 1986).
    """
    edges = np.maximum.reduce([cv2.Canny(channel, low, high) for channel in cv2.split(rgb)])
    return np.asarray(cv2.bitwise_not(maximum_filter(edges, stroke_radius(rgb) // 2)), np.uint8)


LINE_METHODS: dict[str, Callable[[Rgb], Gray]] = {
    "dilate": dilate,
    "dodge": dodge,
    "contour": contour,
    "xdog": xdog,
    "adaptive": adaptive,
    "canny": canny,
    "hed": hed.hed,
}
