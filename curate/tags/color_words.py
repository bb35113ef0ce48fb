"""Colour words and pixels: whether a picture has a colour at all, and which words speak of one. Pure functions.

Every range is far wider than the word, so that a colour told absent is absent: hue angles of CIELAB (red 40, yellow
100, green 135, cyan 195, blue 305, magenta 330) with 20 to 40 degrees to spare on either side, and chroma down to what
an eye hardly calls coloured, because artists' blue hair is often gray with a breath of blue. Outlines and paper
have black, gray and white in nearly every picture: those words are seldom found absent, and never wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Lab = npt.NDArray[np.float32]

MIN_COLORED_PIXELS = 4  # of 128x128 pixels: fewer are a seam between two other colours or noise of a JPEG
# too small to be sure of at 128 px
SMALL_NOUNS = ("eye", "eyes", "pupils", "nails", "lips", "lipstick", "earrings", "eyelashes", "sclera", "eyeliner")


@dataclass(frozen=True)
class ColorRange:
    """CIELAB pixels that a word may mean: hue from `start` to `stop` degrees, over 360 where it passes red."""

    start: float = 0
    stop: float = 360
    lightness: tuple[float, float] = (0, 100)
    chroma: tuple[float, float] = (5, 200)

    def contains(self, lab: Lab) -> npt.NDArray[np.bool_]:
        """(..., 3) CIELAB -> (...) bool."""
        light, chroma = lab[..., 0], np.hypot(lab[..., 1], lab[..., 2])
        hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) % 360
        turned = (hue - self.start) % 360 <= self.stop - self.start
        inside = (light >= self.lightness[0]) & (light <= self.lightness[1])
        return np.asarray(turned & inside & (chroma >= self.chroma[0]) & (chroma <= self.chroma[1]), np.bool_)


RED, BROWN = ColorRange(335, 425), ColorRange(0, 110, (0, 85))
PINK, ORANGE = ColorRange(290, 425, (35, 100)), ColorRange(20, 105)
YELLOW, GREEN = ColorRange(55, 135, (30, 100)), ColorRange(90, 210)
BLUE, PURPLE = ColorRange(185, 330), ColorRange(260, 375)
BLACK = ColorRange(lightness=(0, 40), chroma=(0, 200))
GRAY = ColorRange(lightness=(8, 97), chroma=(0, 25))
WHITE = ColorRange(lightness=(75, 100), chroma=(0, 30))
RANGE_BY_WORD = {
    **dict.fromkeys(("red", "crimson", "maroon"), RED),
    **dict.fromkeys(("brown", "light_brown"), BROWN),
    **dict.fromkeys(("tan", "beige"), ColorRange(0, 150, (30, 100), (3, 200))),
    "pink": PINK,
    "orange": ORANGE,
    **dict.fromkeys(("yellow", "blond", "blonde", "gold", "golden"), YELLOW),
    **dict.fromkeys(("green", "light_green", "dark_green"), GREEN),
    **dict.fromkeys(("aqua", "cyan", "teal", "turquoise"), ColorRange(130, 290)),
    **dict.fromkeys(("blue", "light_blue", "dark_blue", "navy"), BLUE),
    **dict.fromkeys(("purple", "violet", "lavender", "light_purple", "indigo"), PURPLE),
    "magenta": ColorRange(285, 400),
    "black": BLACK,
    **dict.fromkeys(("gray", "grey", "silver"), GRAY),
    "white": WHITE,
}
# words of which two may be said of one thing
SHADE_GROUPS = (
    ("red", "crimson", "maroon"),
    ("brown", "light_brown", "tan", "beige"),
    ("yellow", "blond", "blonde", "gold", "golden"),
    ("green", "light_green", "dark_green", "teal"),
    ("blue", "light_blue", "dark_blue", "navy", "aqua", "cyan", "teal", "turquoise", "indigo"),
    ("purple", "violet", "lavender", "light_purple", "indigo", "magenta"),
    ("pink", "magenta"),
    ("gray", "grey", "silver"),
    ("tanned", "dark", "medium_dark", "medium"),
    ("pale", "light", "medium_light", "medium"),
)


def are_exclusive(one: str, other: str) -> bool:
    """Whether two colour words cannot be said of one thing of one colour."""
    return one != other and not any(one in shades and other in shades for shades in SHADE_GROUPS)


def is_color_absent(word: str, noun: str, lab: Lab) -> bool:
    """Whether a picture has nowhere the colour of `blue_hair`; false where that cannot be told.

    `lab` is (n, 3) CIELAB: the picture's pixels without its padding.
    """
    if word not in RANGE_BY_WORD or noun.endswith(SMALL_NOUNS):
        return False
    return int(RANGE_BY_WORD[word].contains(lab).sum()) < MIN_COLORED_PIXELS


def to_lab(rgb: npt.NDArray[np.uint8]) -> Lab:
    """(height, width, 3) uint8 RGB -> (n, 3) CIELAB, L 0..100."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    return np.asarray(lab.reshape(-1, 3), np.float32)
