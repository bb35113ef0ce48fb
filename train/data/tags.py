"""Tags as a user writes them -> multi-hot rows, and the same tags with one colour swapped."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from train.errors import RESHARD_REMEDY, RunError, TagError

ColorTagParts = Mapping[str, Sequence[str]]
"""The vocabulary's colour tags, each as (colour, noun), from the shards' index: blue_hair -> (blue, hair)."""
SIDE_WORDS = frozenset({"left", "right", "leftward", "rightward", "leftwards", "rightwards", "first", "second"})
"""Words that name a side. Of two people named in a row, the first is the one on the left."""


def is_side_tag(tag: str) -> bool:
    """Whether a tag names a side, so that it would be wrong on the mirrored picture.

    >>> is_side_tag("facing_left"), is_side_tag("second_dark_skin_tone"), is_side_tag("bright_sun")
    (True, True, False)
    """
    return not SIDE_WORDS.isdisjoint(tag.split("_"))


def parse_tags(text: str) -> list[str]:
    """Tags of a line: `"blue_hair, smile"`. Spaces inside a tag become `_`."""
    return [tag for part in text.split(",") if (tag := "_".join(part.lower().split()))]


def multi_hot(tags: Iterable[str], vocabulary: Sequence[str]) -> npt.NDArray[np.float32]:
    """(vocabulary,) float32 with a 1 for each tag. Raises TagError for an unknown tag and names the nearest known."""
    position_by_tag = {tag: position for position, tag in enumerate(vocabulary)}
    row = np.zeros(len(vocabulary), np.float32)
    for tag in tags:
        if tag not in position_by_tag:
            near = difflib.get_close_matches(tag, vocabulary, n=3, cutoff=0.5)
            hint = f"did you mean {', '.join(near)}?" if near else "RUN/vocabulary.txt lists the tags it knows"
            raise TagError(f"the model knows no tag {tag!r}: {hint}")
        row[position_by_tag[tag]] = 1
    return row


def check_tag_indices(indices: Sequence[int] | npt.NDArray[np.int64], vocabulary_size: int) -> None:
    """Raise RunError if a pair's tag index lies outside the vocabulary."""
    if len(indices) and not (min(indices) >= 0 and max(indices) < vocabulary_size):
        raise RunError(f"the shards hold a pair with a tag that their vocabulary lacks: {RESHARD_REMEDY}")


def tags_from_multi_hot(row: npt.NDArray[np.float32], vocabulary: Sequence[str]) -> list[str]:
    """Tags of a multi-hot row, in the order of the vocabulary: most frequent first."""
    return [vocabulary[position] for position in np.flatnonzero(row).tolist()]


def swap_color(tags: Sequence[str], colors: ColorTagParts) -> tuple[list[str], tuple[str, str] | None]:
    """The tags with one colour replaced, and (old colour, new colour); None in its place if no colour can be replaced.

    The colour on most of the tags is replaced. Its replacement is the colour that exists for most of the same nouns,
    and among equals the first in the vocabulary: blue_heart -> red_heart. A tag whose noun the new colour does not
    have is left out.
    """
    color_counts = Counter(colors[tag][0] for tag in tags if tag in colors)
    tag_by_parts = {tuple(parts): tag for tag, parts in colors.items()}
    for old, _ in color_counts.most_common():
        nouns = [colors[tag][1] for tag in tags if tag in colors and colors[tag][0] == old]
        candidates = Counter(color for color, noun in tag_by_parts if noun in nouns and color not in color_counts)
        if candidates:
            new = candidates.most_common(1)[0][0]
            recolored = (_recolored_tag(tag, old, new, colors, tag_by_parts) for tag in tags)
            return [tag for tag in recolored if tag], (old, new)
    return list(tags), None


def _recolored_tag(
    tag: str, old: str, new: str, colors: ColorTagParts, tag_by_parts: Mapping[tuple[str, ...], str]
) -> str | None:
    """The tag with `new` in place of `old`, the tag itself if it is not of that colour; None if there is none."""
    if tag not in colors or colors[tag][0] != old:
        return tag
    return tag_by_parts.get((new, colors[tag][1]))
