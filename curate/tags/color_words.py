"""Colour words and CIELAB ranges: whether a picture lacks the colour of a word, and which words exclude each other.

Every range is much wider than its word, so that a colour reported as absent is really absent. Hue angles in CIELAB are
red 40, yellow 100, green 135, cyan 195, blue 305, magenta 330; the ranges add 20 to 40 degrees on either side. Their
chroma starts where an eye hardly sees colour, because artists' blue hair is often gray with a touch of blue. Black,
gray and white occur in the outlines and paper of nearly every picture, so they are rarely reported as absent.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Lab = npt.NDArray[np.float32]

MIN_COLORED_PIXELS = 4  # of 128x128; fewer are an edge between two other colours, or JPEG noise
# too small to judge at 128 px
SMALL_NOUNS = ("eye", "eyes", "pupils", "nails", "lips", "lipstick", "earrings", "eyelashes", "sclera", "eyeliner")


@dataclass(frozen=True)
class ColorRange:
    """A range of CIELAB pixels: hue from `start` to `stop` degrees, with `stop` over 360 if the range passes 0."""

    start: float = 0
    stop: float = 360
    lightness: tuple[float, float] = (0, 100)
    chroma: tuple[float, float] = (5, 200)

    def contains(self, lab: Lab) -> npt.NDArray[np.bool_]:
        """Return which pixels are in the range: (..., 3) float CIELAB -> (...) bool."""
        light, chroma = lab[..., 0], np.hypot(lab[..., 1], lab[..., 2])
        hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) % 360
        hue_fits = (hue - self.start) % 360 <= self.stop - self.start
        inside = (light >= self.lightness[0]) & (light <= self.lightness[1])
        return np.asarray(hue_fits & inside & (chroma >= self.chroma[0]) & (chroma <= self.chroma[1]), np.bool_)


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
# words of one group may describe the same colour
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
    """Whether two colour words cannot both describe one thing of one colour."""
    return one != other and not any(one in shades and other in shades for shades in SHADE_GROUPS)


def is_color_absent(word: str, noun: str, lab: Lab) -> bool:
    """Whether a picture lacks the colour of a tag, for example word "blue" and noun "hair"; False if in doubt.

    `lab` holds the picture's pixels without padding as (n, 3) CIELAB.
    """
    if word not in RANGE_BY_WORD or noun.endswith(SMALL_NOUNS):
        return False
    return int(RANGE_BY_WORD[word].contains(lab).sum()) < MIN_COLORED_PIXELS


def to_lab(rgb: npt.NDArray[np.uint8]) -> Lab:
    """Convert pixels: (height, width, 3) uint8 sRGB -> (height * width, 3) float32 CIELAB, L from 0 to 100."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    return np.asarray(lab.reshape(-1, 3), np.float32)
