import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.tags import color_words
from curate.tags.normalize import COLORS, SKIN_HAIR_TONES

# what painters' charts and CSS call by these names
TYPICAL = {
    "red": (220, 30, 40),
    "crimson": (220, 20, 60),
    "maroon": (128, 0, 0),
    "brown": (120, 70, 30),
    "light_brown": (181, 130, 80),
    "tan": (210, 180, 140),
    "beige": (245, 245, 220),
    "pink": (255, 192, 203),
    "orange": (255, 165, 0),
    "yellow": (255, 255, 0),
    "blond": (240, 215, 140),
    "blonde": (250, 240, 190),
    "gold": (255, 215, 0),
    "golden": (218, 165, 32),
    "green": (0, 128, 0),
    "light_green": (144, 238, 144),
    "dark_green": (0, 80, 20),
    "aqua": (0, 255, 255),
    "cyan": (0, 200, 230),
    "teal": (0, 128, 128),
    "turquoise": (64, 224, 208),
    "blue": (40, 80, 220),
    "light_blue": (173, 216, 230),
    "dark_blue": (0, 0, 139),
    "navy": (0, 0, 128),
    "indigo": (75, 0, 130),
    "purple": (128, 0, 128),
    "violet": (238, 130, 238),
    "lavender": (220, 208, 255),
    "light_purple": (190, 160, 220),
    "magenta": (255, 0, 255),
    "black": (45, 40, 50),
    "gray": (128, 128, 128),
    "grey": (90, 90, 95),
    "silver": (192, 195, 205),
    "white": (245, 245, 250),
}
OPPOSITE = {"red": "teal", "blue": "orange", "green": "magenta", "yellow": "navy", "purple": "green", "pink": "green"}


def filled(rgb: tuple[int, int, int], size: int = 8) -> color_words.Lab:
    return color_words.to_lab(np.full((size, size, 3), rgb, np.uint8))


def test_every_colour_word_has_a_range_and_a_typical_colour() -> None:
    assert set(TYPICAL) == COLORS == set(color_words.RANGE_BY_WORD)
    assert {word for shades in color_words.SHADE_GROUPS for word in shades} <= COLORS | SKIN_HAIR_TONES


@pytest.mark.parametrize("word", sorted(TYPICAL))
@given(share=st.floats(0, 0.5), shift=st.tuples(*[st.integers(-4, 4)] * 3))
def test_a_word_is_never_absent_where_its_colour_is_even_half_faded_to_gray(
    word: str, share: float, shift: tuple[int, int, int]
) -> None:
    rgb = np.array(TYPICAL[word]) + shift
    faded = np.clip(rgb + (np.mean(rgb) - rgb) * (share if np.ptp(TYPICAL[word]) > 60 else 0), 0, 255)
    assert not color_words.is_color_absent(word, "hair", filled((int(faded[0]), int(faded[1]), int(faded[2]))))


@pytest.mark.parametrize(("word", "other"), OPPOSITE.items())
def test_a_word_is_absent_from_the_opposite_colour_and_from_black_gray_and_white(word: str, other: str) -> None:
    assert color_words.is_color_absent(word, "hair", filled(TYPICAL[other]))
    assert color_words.is_color_absent(
        word, "hair", np.concatenate([filled((20, 20, 20)), filled((128,) * 3), filled((255,) * 3)])
    )


def test_black_and_white_are_absent_from_flat_colours_only() -> None:
    assert color_words.is_color_absent("black", "hair", filled(TYPICAL["yellow"]))
    assert color_words.is_color_absent("white", "hair", filled(TYPICAL["blue"]))
    assert color_words.is_color_absent("gray", "hair", filled(TYPICAL["red"]))


def test_fewer_than_four_pixels_are_noise() -> None:
    lab = np.concatenate([filled(TYPICAL["white"]), filled(TYPICAL["blue"])[: color_words.MIN_COLORED_PIXELS - 1]])
    assert color_words.is_color_absent("blue", "hair", lab)
    assert not color_words.is_color_absent("blue", "hair", np.concatenate([lab, lab[-1:]]))


def test_colours_of_small_things_and_words_without_a_range_are_never_absent() -> None:
    assert not color_words.is_color_absent("blue", "eyes", filled(TYPICAL["white"]))
    assert not color_words.is_color_absent("dark", "skin_tone", filled(TYPICAL["white"]))


@given(st.sampled_from(sorted(COLORS)), st.sampled_from(sorted(COLORS)))
def test_exclusion_is_symmetric_and_no_word_excludes_itself(one: str, other: str) -> None:
    assert color_words.are_exclusive(one, other) == color_words.are_exclusive(other, one)
    assert not color_words.are_exclusive(one, one)
