"""Sidecar files -> what they say of their picture: gallery-dl, Danbooru and tagger JSON, comma and newline lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from curate.system.errors import SidecarError
from curate.system.files import canonical_json
from curate.tags.metadata_tables import has_tags
from curate.tags.normalize import NAMESPACES, normalize_tag, unique_tags

MAX_SIDECAR_BYTES = 4 << 20  # bytes of a sidecar; read as JSON, it takes some twenty times as much
MAX_TAG_WORDS = 4  # `hair_over_one_eye`
MIN_TAG_CONFIDENCE = 0.35  # of a tagger's confidences: what WD14's own scripts take for general tags
TAG_CATEGORIES = ("general", "character", "copyright", "artist", "meta")


@dataclass(frozen=True)
class Sidecar:
    """What a sidecar says of its picture."""

    tags: tuple[str, ...] = ()
    rating: str | None = None
    score: int | None = None
    license: str | None = None
    artist: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def read_sidecar(name: str, data: bytes) -> Sidecar:
    """Parse a sidecar by its name: gallery-dl or Danbooru JSON, or a comma or newline list in `.txt`.

    Raises SidecarError if it is not UTF-8, not JSON, or JSON of another shape.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SidecarError(f"{name} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
    if name.lower().endswith(".txt"):
        return Sidecar(tags=_parse_tag_list(text))
    try:
        post = json.loads(text, parse_constant=lambda _: None)  # NaN is no JSON
        canonical_json(post)  # refuses half a surrogate pair, which no text column can hold
    except (ValueError, RecursionError) as error:
        raise SidecarError(f"{name} is not JSON ({error}): download or write it again") from None
    if not isinstance(post, dict):
        raise SidecarError(f"{name} holds a {type(post).__name__}, not an object: expected one post's metadata")
    return _parse_post(post)


def read_table_entry(data: bytes) -> Sidecar:
    """One table's entry, as JSON; where it has no tags, its `text` gives them if that is a list of tags."""
    entry: dict[str, Any] = json.loads(data, parse_constant=lambda _: None)  # 1e999 was read as infinite
    text = entry.get("text")
    if not has_tags(entry) and isinstance(text, str) and _is_tag_list(text):
        entry = {key: value for key, value in entry.items() if key != "text"} | {"tags": text}
    return _parse_post({key: value for key, value in entry.items() if key != "file_name"})


def _is_tag_list(text: str) -> bool:
    """Commas between a few words each, no full stop: prose has longer phrases."""
    return "," in text and "." not in text and all(len(part.split()) <= MAX_TAG_WORDS for part in text.split(","))


def merge_sidecars(sidecars: Iterable[Sidecar]) -> Sidecar:
    """One sidecar out of several of the same picture: tags united, the first one that knows a field wins."""
    merged = Sidecar()
    for one in sidecars:
        merged = Sidecar(
            tags=unique_tags((*merged.tags, *one.tags)),
            rating=merged.rating if merged.rating is not None else one.rating,
            score=merged.score if merged.score is not None else one.score,
            license=merged.license if merged.license is not None else one.license,
            artist=merged.artist if merged.artist is not None else one.artist,
            extra={**one.extra, **merged.extra},
        )
    return merged


def _parse_tag_list(text: str) -> tuple[str, ...]:
    """Kohya writes one comma line, hydrus a tag a line; a hydrus tag may hold a comma."""
    lines = [line for line in text.splitlines() if line.strip()]
    parts = lines if len(lines) > 1 else [part for line in lines for part in line.split(",")]
    bare = (re.sub(r"\\([()])", r"\1", part) for part in parts)  # taggers write prompts: `miku \\(vocaloid\\)`
    return unique_tags(normalize_tag(part) for part in bare)


def _parse_post(post: dict[str, Any]) -> Sidecar:
    known = {"rating", "score", "license", "artist", "tags", "tag_string"}
    by_namespace = {key: value for key, value in post.items() if key.startswith(("tag_string_", "tags_"))}
    by_namespace |= {f"tags_{key}": post[key] for key in TAG_CATEGORIES if isinstance(post.get(key), dict)}
    if by_namespace:
        tags = unique_tags(
            normalize_tag(tag, _namespace(key.removeprefix("tag_string_").removeprefix("tags_")))
            for key, value in by_namespace.items()
            for tag in _tags_of_value(value)
        )
    else:
        tags = unique_tags(normalize_tag(tag) for tag in _tags_of_value(post.get("tags", post.get("tag_string"))))
    return Sidecar(
        tags=tags,
        rating=_text(_most_confident(post.get("rating"))),
        score=_score(post.get("score")),
        license=_text(post.get("license")),
        artist=_text(post.get("artist", post.get("tag_string_artist"))),
        extra={
            key: value
            for key, value in post.items()
            if key not in known and key not in by_namespace and f"tags_{key}" not in by_namespace
        },
    )


def _namespace(category: str) -> str:
    return category if category in NAMESPACES else ""


def _tags_of_value(value: object) -> list[str]:
    """Tags of a JSON value: a list of strings, one parted by commas or else by spaces, or a tagger's confidences."""
    if isinstance(value, list):
        return [word for word in value if isinstance(word, str)]
    if isinstance(value, dict):  # e621 nests its categories
        sure = [tag for tag, confidence in value.items() if (_number(confidence) or 0) >= MIN_TAG_CONFIDENCE]
        return sure + [word for words in value.values() for word in _tags_of_value(words)]
    if isinstance(value, str):
        return value.split(",") if "," in value else value.split()
    return []


def _most_confident(value: object) -> object:
    """Of a tagger's confidences the most probable one; anything else as it is."""
    told = (
        {name: number for name, one in value.items() if (number := _number(one)) is not None}
        if isinstance(value, dict)
        else {}
    )
    return max(told, key=lambda name: told[name]) if told else value


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    if isinstance(value, list):
        return ", ".join(word for word in value if isinstance(word, str)) or None
    return value if isinstance(value, str) and value else None


def _score(value: object) -> int | None:
    if isinstance(value, dict):  # e621: {"up": …, "down": …, "total": …}
        value = value.get("total")
    in_range = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
    return value if in_range and isinstance(value, int) else None
