"""Sidecar files -> normalised tags; colour tags told from shape tags; counting."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate import manifest
from curate.errors import SidecarError

NAMESPACES = ("artist", "character", "copyright", "meta")
# hydrus and some boorus name the same namespaces otherwise
NAMESPACE_ALIASES = {"creator": "artist", "series": "copyright", "person": "character", "general": "", "tag": ""}

COLORS = frozenset(
    "aqua beige black blond blonde blue brown crimson cyan gold golden gray green grey indigo lavender magenta maroon navy "
    "orange pink purple red silver tan teal turquoise violet white yellow".split()
) | {"dark_blue", "dark_green", "light_blue", "light_brown", "light_green", "light_purple"}
# `light` and `dark` are colours of skin and hair only: a light bulb is no colour tag
TONES = frozenset({"light", "medium_light", "medium", "medium_dark", "dark", "pale", "tanned"})
TONED_NOUNS = ("skin_tone", "skin", "hair")


@dataclass(frozen=True)
class Sidecar:
    """What a sidecar says of its picture."""

    tags: tuple[str, ...] = ()
    rating: str | None = None
    score: int | None = None
    license: str | None = None
    artist: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def normalize(tag: str, namespace: str = "") -> str:
    """Lower case, NFC, whitespace runs to one `_`; `namespace:` in front for artist, character, copyright, meta."""
    tag = re.sub(r"[\s_]+", "_", unicodedata.normalize("NFC", tag).lower().strip())
    prefix, colon, rest = tag.partition(":")
    if colon and prefix in NAMESPACE_ALIASES and rest:
        namespace, tag = namespace or NAMESPACE_ALIASES[prefix], rest
    elif colon and prefix in NAMESPACES and rest:
        namespace, tag = prefix, rest
    tag = unicodedata.normalize("NFC", tag).strip("_") or tag
    return f"{namespace}:{tag}" if namespace and tag else tag


def unique(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags without empty ones and repeats, in their first order."""
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def read_sidecar(name: str, data: bytes) -> Sidecar:
    """Parse a sidecar by its name: gallery-dl or Danbooru JSON, or a comma or newline list in `.txt`.

    Raises SidecarError if it is not UTF-8, not JSON, or JSON of another shape.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SidecarError(f"{name} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
    if name.lower().endswith(".txt"):
        return Sidecar(tags=_text_tags(text))
    try:
        post = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SidecarError(f"{name} is not JSON ({error}): download or write it again") from None
    if not isinstance(post, dict):
        raise SidecarError(f"{name} holds a {type(post).__name__}, not an object: expected one post's metadata")
    return _post(post)


def merge(sidecars: Iterable[Sidecar]) -> Sidecar:
    """One sidecar out of several of the same picture: tags united, the first one that knows a field wins."""
    merged = Sidecar()
    for one in sidecars:
        merged = Sidecar(
            tags=unique((*merged.tags, *one.tags)),
            rating=merged.rating if merged.rating is not None else one.rating,
            score=merged.score if merged.score is not None else one.score,
            license=merged.license if merged.license is not None else one.license,
            artist=merged.artist if merged.artist is not None else one.artist,
            extra={**one.extra, **merged.extra},
        )
    return merged


def _text_tags(text: str) -> tuple[str, ...]:
    """Kohya writes one comma line, hydrus a tag a line; a hydrus tag may hold a comma."""
    lines = [line for line in text.splitlines() if line.strip()]
    parts = lines if len(lines) > 1 else [part for line in lines for part in line.split(",")]
    return unique(normalize(part) for part in parts)


def _post(post: dict[str, Any]) -> Sidecar:
    known = {"rating", "score", "license", "artist", "tags", "tag_string"}
    by_namespace = {key: value for key, value in post.items() if key.startswith(("tag_string_", "tags_"))}
    if by_namespace:
        tags = unique(
            normalize(tag, _namespace(key.removeprefix("tag_string_").removeprefix("tags_")))
            for key, value in by_namespace.items()
            for tag in _words(value)
        )
    else:
        tags = unique(normalize(tag) for tag in _words(post.get("tags", post.get("tag_string"))))
    return Sidecar(
        tags=tags,
        rating=_text(post.get("rating")),
        score=_score(post.get("score")),
        license=_text(post.get("license")),
        artist=_text(post.get("artist", post.get("tag_string_artist"))),
        extra={key: value for key, value in post.items() if key not in known and key not in by_namespace},
    )


def _namespace(category: str) -> str:
    return category if category in NAMESPACES else ""


def _words(value: object) -> list[str]:
    """Tags of a JSON value: a list of strings, or one string parted by commas or else by spaces."""
    if isinstance(value, list):
        return [word for word in value if isinstance(word, str)]
    if isinstance(value, dict):  # e621 nests its categories
        return [word for words in value.values() for word in _words(words)]
    if isinstance(value, str):
        return value.split(",") if ", " in value else value.split()
    return []


def _text(value: object) -> str | None:
    if isinstance(value, list):
        return ", ".join(word for word in value if isinstance(word, str)) or None
    return value if isinstance(value, str) and value else None


def _score(value: object) -> int | None:
    if isinstance(value, dict):  # e621: {"up": …, "down": …, "total": …}
        value = value.get("total")
    in_range = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
    return value if in_range and isinstance(value, int) else None


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
            if color in COLORS or (color in TONES and noun.endswith(TONED_NOUNS)):
                return color, noun
    return None


def count(rows: Iterable[Iterable[str]]) -> dict[str, int]:
    """Pictures that carry each tag, most frequent first, ties by name."""
    counts: dict[str, int] = {}
    for tags in rows:
        for tag in set(tags):
            counts[tag] = counts.get(tag, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def read_aliases(path: Path) -> dict[str, str]:
    """Two columns a line, `alias,tag` or parted by a tab; `#` begins a comment. Raises SidecarError naming the line."""
    aliases = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SidecarError(f"{path} cannot be read ({error}): give a UTF-8 text file") from None
    for number, line in enumerate(lines, 1):
        columns = [normalize(column) for column in re.split(r"[,\t]", line.partition("#")[0])]
        if columns == [""]:
            continue
        if len(columns) != 2 or not all(columns):  # noqa: PLR2004  # alias and tag
            raise SidecarError(f"{path}, line {number}: {line!r} is not `alias,tag`")
        aliases[columns[0]] = columns[1]
    return aliases


def tally(dataset: Path, top: int, aliases: Path | None = None) -> dict[str, Any]:
    """Counts of the `top` commonest tags of a dataset's kept pictures, aliases counted as what they stand for."""
    manifest.read_state(dataset)
    table = manifest.read_parts(dataset / "manifest", ["tags", "dropped"])
    kept = [row["tags"] for row in table.to_pylist() if row["dropped"] is None]
    known = read_aliases(aliases) if aliases else {}
    counts = count([known.get(tag, tag) for tag in tags] for tags in kept)
    shown = dict(list(counts.items())[:top])
    colors = {tag: pair for tag in shown if (pair := split_color(tag))}
    return {"tags": shown, "colors": colors, "distinct": len(counts), "pictures": len(kept)}
