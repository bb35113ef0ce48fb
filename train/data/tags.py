"""Tags as a user writes them -> multi-hot; and the same tags in another colour."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from train.errors import RESHARD_REMEDY, RunError, TagError

ColorTagParts = Mapping[str, Sequence[str]]
"""Colour tags of the vocabulary as (colour, noun), from the shards' index."""
SIDE_WORDS = frozenset({"left", "right", "leftward", "rightward", "leftwards", "rightwards", "first", "second"})
"""Words of tags; of two people named in a row, the first is the one on the left."""


def is_side_tag(tag: str) -> bool:
    """Whether a tag says what is on the left or right, which is no longer true of the mirrored picture.

    >>> is_side_tag("facing_left"), is_side_tag("second_dark_skin_tone"), is_side_tag("bright_sun")
    (True, True, False)
    """
    return not SIDE_WORDS.isdisjoint(tag.split("_"))


def parse_tags(text: str) -> list[str]:
    """Read `"blue_hair, smile"`; spaces inside a tag become `_`."""
    return [tag for part in text.split(",") if (tag := "_".join(part.lower().split()))]


def multi_hot(tags: Iterable[str], vocabulary: Sequence[str]) -> npt.NDArray[np.float32]:
    """(vocabulary,) float32 with 1 for each tag. Raises TagError naming an unknown tag and the nearest known ones."""
    places = {tag: place for place, tag in enumerate(vocabulary)}
    encoded = np.zeros(len(vocabulary), np.float32)
    for tag in tags:
        if tag not in places:
            near = difflib.get_close_matches(tag, vocabulary, n=3, cutoff=0.5)
            hint = f"did you mean {', '.join(near)}?" if near else "RUN/vocabulary.txt lists the known ones"
            raise TagError(f"the model knows no tag {tag!r}: {hint}")
        encoded[places[tag]] = 1
    return encoded


def check_tag_indices(places: Sequence[int] | npt.NDArray[np.int64], vocabulary: int) -> None:
    """Raise RunError if one of the places of a pair's tags is not in a vocabulary of that length."""
    if len(places) and not (min(places) >= 0 and max(places) < vocabulary):
        raise RunError(f"the shards have a pair with a tag that their vocabulary lacks: {RESHARD_REMEDY}")


def tags_from_multi_hot(encoded: npt.NDArray[np.float32], vocabulary: Sequence[str]) -> list[str]:
    """Tags of a multi-hot row, most frequent first."""
    return [vocabulary[place] for place in np.flatnonzero(encoded).tolist()]


def swap_color(tags: Sequence[str], colors: ColorTagParts) -> tuple[list[str], tuple[str, str] | None]:
    """The tags with one colour exchanged for another, and (old, new); None where no tag names a colour.

    The colour on most of the tags is exchanged. The new one is that which keeps most of its nouns, then the first in
    the order of the vocabulary: blue_heart, blue -> red_heart, red. A noun the new colour does not have is left out.
    """
    worn = Counter(colors[tag][0] for tag in tags if tag in colors)
    tag_of = {tuple(pair): tag for tag, pair in colors.items()}
    for old, _ in worn.most_common():
        nouns = [colors[tag][1] for tag in tags if tag in colors and colors[tag][0] == old]
        kept = Counter(color for color, noun in tag_of if noun in nouns and color not in worn)
        if kept:
            new = kept.most_common(1)[0][0]
            return [one for tag in tags if (one := _recolored_tag(tag, old, new, colors, tag_of))], (old, new)
    return list(tags), None


def _recolored_tag(
    tag: str, old: str, new: str, colors: ColorTagParts, tag_of: Mapping[tuple[str, ...], str]
) -> str | None:
    if tag not in colors or colors[tag][0] != old:
        return tag
    return tag_of.get((new, colors[tag][1]))
