"""Is a picture without colour, and then what: line art already, a manga page, or shades of gray."""

from __future__ import annotations

import numpy as np

from curate.decode import Rgb
from curate.lineart import gray

COLORED = 24  # difference of the brightest and darkest channel from which a pixel has a colour
SPOTS = 0.002  # share of coloured pixels up to which they are noise
HALFWAY = 48  # gray levels from black or white from which a pixel is a shade
SHADED = 0.08  # share of shades from which a picture is greyscale
COVERED = 0.25  # share of ink from which black and white is a manga page: tones and solid blacks, not strokes alone


def kind(rgb: Rgb, small: Rgb) -> str | None:
    """`lineart`, `manga` or `greyscale`; None for a picture with colour, which is looked for in its `small` version.

    The tint of yellowed paper is no colour: channels are taken relative to the brightest 2 % of the picture, if that
    is bright. On OpenMoji 99 % of the artists' line drawings are `lineart`, and 9 % of the pictures have no colour.
    """
    paper = np.percentile(small.reshape(-1, 3), 98, axis=0)
    gain = 255 / paper if paper.min() >= 128 else np.ones(3)
    levels = np.minimum(np.arange(256)[:, None] * gain, 255)  # of every value of a channel
    red, green, blue = (levels[small[..., channel], channel] for channel in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if float((spread > COLORED).mean()) > SPOTS:
        return None
    luma = gray(rgb)
    if float(((luma >= HALFWAY) & (luma < 255 - HALFWAY)).mean()) >= SHADED:
        return "greyscale"
    return "manga" if float((luma < 128).mean()) >= COVERED else "lineart"
