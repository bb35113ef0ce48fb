"""Normalised spelling of tags, the colour word in a tag, and tag counts. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

NAMESPACES = ("artist", "character", "copyright", "meta")
# other names that hydrus and some boorus use for these namespaces
NAMESPACE_ALIASES = {"creator": "artist", "series": "copyright", "person": "character", "general": "", "tag": ""}

COLORS = frozenset(
    {
        *("aqua", "beige", "black", "blond", "blonde", "blue", "brown", "crimson", "cyan", "gold", "golden", "gray"),
        *("green", "grey", "indigo", "lavender", "magenta", "maroon", "navy", "orange", "pink", "purple", "red"),
        *("silver", "tan", "teal", "turquoise", "violet", "white", "yellow"),
        *("dark_blue", "dark_green", "light_blue", "light_brown", "light_green", "light_purple"),
    }
)
# `light` and `dark` are colours only of skin and hair: `light_bulb` is not a colour tag
SKIN_HAIR_TONES = frozenset({"light", "medium_light", "medium", "medium_dark", "dark", "pale", "tanned"})
TONED_NOUNS = ("skin_tone", "skin", "hair")


def normalize_tag(tag: str, namespace: str = "") -> str:
    """Return the tag in lower case and NFC, with `_` for white space and a `namespace:` prefix unless general."""
    tag = re.sub(r"[\s_]+", "_", unicodedata.normalize("NFC", tag).lower().strip())
    prefix, colon, rest = tag.partition(":")
    if colon and prefix in NAMESPACE_ALIASES and rest:
        namespace, tag = namespace or NAMESPACE_ALIASES[prefix], rest
    elif colon and prefix in NAMESPACES and rest:
        namespace, tag = prefix, rest
    tag = unicodedata.normalize("NFC", tag).strip("_") or tag
    return f"{namespace}:{tag}" if namespace and tag else tag


def tags_of_folders(path: str) -> tuple[str, ...]:
    """Return the tags in the names of a picture's folders, without kohya's leading number of repeats.

    >>> tags_of_folders("10_blue hair, smile/sketches/a.png")
    ('blue_hair', 'smile', 'sketches')
    """
    names = (re.sub(r"^[0-9]+_", "", name) for name in path.split("/")[:-1])
    return unique_tags(normalize_tag(part) for name in names for part in name.split(","))


def unique_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags without empty and repeated ones, in order of first appearance."""
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def split_color(tag: str) -> tuple[str, str] | None:
    """Return (colour, noun) of a colour tag, None for any other tag.

    >>> split_color("blue_hair"), split_color("medium_dark_skin_tone"), split_color("blue"), split_color("light_bulb")
    (('blue', 'hair'), ('medium_dark', 'skin_tone'), ('blue', ''), None)
    """
    words = tag.split("_")
    for length in (2, 1):  # `light_blue` before `blue`, `medium_dark` before `dark`
        for start in range(len(words) - length + 1):
            color = "_".join(words[start : start + length])
            noun = "_".join(words[:start] + words[start + length :])
            if color in COLORS or (color in SKIN_HAIR_TONES and noun.endswith(TONED_NOUNS)):
                return color, noun
    return None


def count_tags(rows: Iterable[Iterable[str]]) -> dict[str, int]:
    """Return the number of rows with each tag, most frequent first, ties by name."""
    counts: dict[str, int] = {}
    for tags in rows:
        for tag in set(tags):
            counts[tag] = counts.get(tag, 0) + 1
    return sort_by_count(counts)


def sort_by_count(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the counts sorted, most frequent first, ties by name."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
