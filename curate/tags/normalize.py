"""Tags, normalised; colour tags told from shape tags; counting. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

NAMESPACES = ("artist", "character", "copyright", "meta")
# hydrus and some boorus name the same namespaces otherwise
NAMESPACE_ALIASES = {"creator": "artist", "series": "copyright", "person": "character", "general": "", "tag": ""}

COLORS = frozenset(
    {
        *("aqua", "beige", "black", "blond", "blonde", "blue", "brown", "crimson", "cyan", "gold", "golden", "gray"),
        *("green", "grey", "indigo", "lavender", "magenta", "maroon", "navy", "orange", "pink", "purple", "red"),
        *("silver", "tan", "teal", "turquoise", "violet", "white", "yellow"),
        *("dark_blue", "dark_green", "light_blue", "light_brown", "light_green", "light_purple"),
    }
)
# `light` and `dark` are colours of skin and hair only: a light bulb is no colour tag
SKIN_HAIR_TONES = frozenset({"light", "medium_light", "medium", "medium_dark", "dark", "pale", "tanned"})
TONED_NOUNS = ("skin_tone", "skin", "hair")


def normalize_tag(tag: str, namespace: str = "") -> str:
    """Lower case, NFC, whitespace runs to one `_`; `namespace:` in front for artist, character, copyright, meta."""
    tag = re.sub(r"[\s_]+", "_", unicodedata.normalize("NFC", tag).lower().strip())
    prefix, colon, rest = tag.partition(":")
    if colon and prefix in NAMESPACE_ALIASES and rest:
        namespace, tag = namespace or NAMESPACE_ALIASES[prefix], rest
    elif colon and prefix in NAMESPACES and rest:
        namespace, tag = prefix, rest
    tag = unicodedata.normalize("NFC", tag).strip("_") or tag
    return f"{namespace}:{tag}" if namespace and tag else tag


def tags_of_folders(path: str) -> tuple[str, ...]:
    """Tags that a picture's folders name; kohya's number of repeats is none.

    >>> tags_of_folders("10_blue hair, smile/sketches/a.png")
    ('blue_hair', 'smile', 'sketches')
    """
    names = (re.sub(r"^[0-9]+_", "", name) for name in path.split("/")[:-1])
    return unique_tags(normalize_tag(part) for name in names for part in name.split(","))


def unique_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags without empty ones and repeats, in their first order."""
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def split_color(tag: str) -> tuple[str, str] | None:
    """(colour, noun) of a colour tag, None for a shape tag.

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
    """Pictures that carry each tag, most frequent first, ties by name."""
    counts: dict[str, int] = {}
    for tags in rows:
        for tag in set(tags):
            counts[tag] = counts.get(tag, 0) + 1
    return sort_by_count(counts)


def sort_by_count(counts: Mapping[str, int]) -> dict[str, int]:
    """The same counts, most frequent first, ties by name."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
