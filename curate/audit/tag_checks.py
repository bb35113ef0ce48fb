"""Find doubtful tags: those that contradict another tag, and colours that the picture does not have."""

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

# with such a tag, one thing may rightly have two colours
MULTICOLORED_TAG = re.compile(
    r"(multicolou?red|two-tone|two_tone|gradient|streaked|split-color|rainbow|striped|mismatched)_(.+)"
)
# with such a tag, two people may each have their own colour
SEVERAL_PEOPLE_TAG = re.compile(
    r"(multiple_|[2-9]\+?|[1-9][0-9]+\+?)(girls|boys|others|people)|couple|group|family|crowd"
)
Row = dict[str, Any]


def find_doubtful_tags(dataset: Path, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return `contradictions` and `unseen` colours. `rows` have source, path, id and tags; results keep their order."""
    return {"contradictions": list(_contradiction_rows(rows)), "unseen": list(_absent_color_rows(dataset, rows))}


def _contradiction_rows(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        for noun, colors in contradicting_colors(row["tags"]).items():
            yield {"source": row["source"], "path": row["path"], "noun": noun, "colors": list(colors)}


def contradicting_colors(tags: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Nouns to which a picture's tags give two colours that exclude each other, with all their colours.

    A noun does not count if the tags say that there are several people, that it has several colours, or name two of it.

    >>> contradicting_colors(["blue_hair", "red_hair", "red", "blue"])
    {'hair': ('blue', 'red')}
    >>> contradicting_colors(["blue_hair", "light_blue_hair"])
    {}
    """
    if any(SEVERAL_PEOPLE_TAG.fullmatch(tag) for tag in tags) or {"1girl", "1boy"} <= set(tags):
        return {}
    colors_by_noun: dict[str, list[str]] = {}
    for tag in tags:
        color, noun = split_color(tag) or ("", "")
        if noun and ":" not in tag:
            colors_by_noun.setdefault(noun, []).append(color)
    excused = {match[2] for tag in tags if (match := MULTICOLORED_TAG.fullmatch(tag))}
    excused |= {"eyes"} if "heterochromia" in tags else set()
    excused |= {noun for noun in colors_by_noun for longer in colors_by_noun if longer.endswith(f"_{noun}")}
    return {
        noun: tuple(colors)
        for noun, colors in colors_by_noun.items()
        if noun not in excused and any(color_words.are_exclusive(a, b) for a in colors for b in colors)
    }


def _absent_color_rows(dataset: Path, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the colour tags of which no pixel of the stored picture has the colour, by row."""
    tags_by_id = {row["id"]: _noun_color_tags(row["tags"]) for row in rows}
    absent: dict[str, list[str]] = {}
    for table in parquet.iter_parts(dataset / "pairs", ["id", "color", "content_box"]):
        for pair in table.to_pylist():
            if color_tags := tags_by_id.get(pair["id"]):
                lab = _read_lab(pair)
                absent[pair["id"]] = [
                    tag for tag, (word, noun) in color_tags.items() if color_words.is_color_absent(word, noun, lab)
                ]
    for row in rows:
        if tags := absent.get(row["id"]):
            yield {"source": row["source"], "path": row["path"], "tags": tags}


def _noun_color_tags(tags: Iterable[str]) -> dict[str, tuple[str, str]]:
    """(colour, noun) by tag. Left out: a bare colour (`orange` may be a fruit) and namespaced tags (names)."""
    pairs = {tag: pair for tag in tags if ":" not in tag and (pair := split_color(tag))}
    return {tag: pair for tag, pair in pairs.items() if pair[1]}


def _read_lab(pair: Row) -> color_words.Lab:
    top, left, height, width = pair["content_box"]
    rgb = cv2.imdecode(np.frombuffer(pair["color"], np.uint8), cv2.IMREAD_COLOR_RGB)
    if rgb is None:
        raise DamagedError(f"the pair of {pair['id']} holds no picture: run `curate verify` on the dataset")
    return color_words.to_lab(np.asarray(rgb, np.uint8)[top : top + height, left : left + width])
