"""Is a picture without colour, and then what: line art already, a manga page, or shades of gray."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from curate.images.decode import Rgb
from curate.images.lineart import opencv_gray
from curate.jit import compiled

PAPER_QUANTILE = 0.98  # share of the picture that is darker than its paper
MIN_COLORED_SPREAD = 24  # difference of the brightest and darkest channel from which a pixel has a colour
MAX_COLORED_SHARE = 0.002  # share of coloured pixels up to which they are noise
SHADE_MARGIN_LEVELS = 48  # gray levels from black or white from which a pixel is a shade
MIN_GREYSCALE_SHARE = 0.08  # share of shades from which a picture is greyscale
MIN_MANGA_INK_SHARE = (
    0.25  # share of ink from which black and white is a manga page: tones and solid blacks, not strokes alone
)


def classify(rgb: Rgb, small: Rgb) -> str | None:
    """`lineart`, `manga` or `greyscale`; None for a picture with colour, which is looked for in its `small` version.

    The tint of yellowed paper is no colour: channels are taken relative to the brightest 2 % of the picture, if that
    is bright. On OpenMoji 99 % of the artists' line drawings are `lineart`, and 9 % of the pictures have no colour.
    """
    channels = cv2.split(small)
    paper = np.array([_paper_level(channel.reshape(-1)) for channel in channels])
    gain = 255 / paper if paper.min() >= 128 else np.ones(3)
    colored = _count_colored(*(channel.reshape(-1) for channel in channels), gain)
    if colored / channels[0].size > MAX_COLORED_SHARE:
        return None
    luma = opencv_gray(rgb)
    if float(((luma >= SHADE_MARGIN_LEVELS) & (luma < 255 - SHADE_MARGIN_LEVELS)).mean()) >= MIN_GREYSCALE_SHARE:
        return "greyscale"
    return "manga" if float((luma < 128).mean()) >= MIN_MANGA_INK_SHARE else "lineart"


@compiled
def _paper_level(values: Any) -> Any:
    """The 98th percentile, as np.percentile has it."""
    place = PAPER_QUANTILE * (len(values) - 1)
    share = place - int(place)
    below, above = _ranked(values, int(place)), _ranked(values, min(int(place) + 1, len(values) - 1))
    return below + (above - below) * share if share < 0.5 else above - (above - below) * (1 - share)


@compiled
def _ranked(values: Any, rank: int) -> Any:
    """The value at a place in sorted order, by halving: counting is quicker than to sort."""
    low, high = 0, 255
    while low < high:
        middle = (low + high) // 2
        count = 0
        for value in values:
            count += value <= middle
        low, high = (low, middle) if count > rank else (middle + 1, high)
    return low


@compiled
def _count_colored(red: Any, green: Any, blue: Any, gain: Any) -> Any:
    """Pixels whose channels, each by its gain, lie further apart than shades of gray do."""
    count = 0
    for place in range(len(red)):
        r, g, b = (
            min(red[place] * gain[0], 255.0),
            min(green[place] * gain[1], 255.0),
            min(blue[place] * gain[2], 255.0),
        )
        count += max(r, g, b) - min(r, g, b) > MIN_COLORED_SPREAD
    return count
