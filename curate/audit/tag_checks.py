"""Kept rows -> tags that other tags, or the picture itself, speak against."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from curate.dataset import parquet
from curate.system.errors import DamagedError
from curate.tags import color_words
from curate.tags.normalize import split_color

# one thing may rightly have two colours then
MANY_COLORS = re.compile(
    r"(multicolou?red|two-tone|two_tone|gradient|streaked|split-color|rainbow|striped|mismatched)_(.+)"
)
# as may two of one kind, each in its own colour
MANY_PEOPLE = re.compile(r"(multiple_|[2-9]\+?|[1-9][0-9]+\+?)(girls|boys|others|people)|couple|group|family|crowd")
Row = dict[str, Any]


def doubts(dataset: Path, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """`contradictions` and `unseen` colours of rows with source, path, id and tags, each in the order of the rows."""
    return {"contradictions": list(_contradictions(rows)), "unseen": list(_unseen(dataset, rows))}


def _contradictions(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        for noun, colors in contradictions(row["tags"]).items():
            yield {"source": row["source"], "path": row["path"], "noun": noun, "colors": list(colors)}


def contradictions(tags: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Nouns to which a picture's tags give two colours, with the colours.

    Not where the tags say that there are several people, that the thing has several colours, or tell two of it apart.

    >>> contradictions(["blue_hair", "red_hair", "red", "blue"]), contradictions(["blue_hair", "light_blue_hair"])
    ({'hair': ('blue', 'red')}, {})
    """
    if any(MANY_PEOPLE.fullmatch(tag) for tag in tags) or {"1girl", "1boy"} <= set(tags):
        return {}
    named: dict[str, list[str]] = {}
    for tag in tags:
        color, noun = split_color(tag) or ("", "")
        if noun and ":" not in tag:
            named.setdefault(noun, []).append(color)
    several = {found[2] for tag in tags if (found := MANY_COLORS.fullmatch(tag))}
    several |= {"eyes"} if "heterochromia" in tags else set()
    several |= {noun for noun in named for other in named if other.endswith(f"_{noun}")}
    return {
        noun: tuple(colors)
        for noun, colors in named.items()
        if noun not in several and any(color_words.differ(one, other) for one in colors for other in colors)
    }


def _unseen(dataset: Path, rows: Sequence[Row]) -> Iterator[Row]:
    """Rows whose colour tags name what no pixel of the stored picture has, with those tags."""
    asked = {row["id"]: _tested(row["tags"]) for row in rows}
    absent: dict[str, list[str]] = {}
    for table in parquet.iter_parts(dataset / "pairs", ["id", "color", "content_box"]):
        for pair in table.to_pylist():
            if named := asked.get(pair["id"]):
                lab = _lab(pair)
                absent[pair["id"]] = [tag for tag, (word, noun) in named.items() if color_words.lacks(word, noun, lab)]
    for row in rows:
        if tags := absent.get(row["id"]):
            yield {"source": row["source"], "path": row["path"], "tags": tags}


def _tested(tags: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour tags of a thing; a bare `orange` is a fruit as likely, and namespaced tags are names."""
    pairs = {tag: pair for tag in tags if ":" not in tag and (pair := split_color(tag))}
    return {tag: pair for tag, pair in pairs.items() if pair[1]}


def _lab(pair: Row) -> color_words.Lab:
    top, left, height, width = pair["content_box"]
    rgb = cv2.imdecode(np.frombuffer(pair["color"], np.uint8), cv2.IMREAD_COLOR_RGB)
    if rgb is None:
        raise DamagedError(f"the pair of {pair['id']} holds no picture: run `curate verify`")
    return color_words.to_lab(np.asarray(rgb, np.uint8)[top : top + height, left : left + width])
