"""Parse sidecar files: gallery-dl, Danbooru and tagger JSON, and text files of tags."""

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

MAX_SIDECAR_BYTES = 4 << 20  # parsed JSON takes some twenty times as much memory
MAX_TAG_WORDS = 4  # as in hair_over_one_eye; longer phrases are prose
MIN_TAG_CONFIDENCE = 0.35  # the threshold of WD14's own scripts for general tags
TAG_CATEGORIES = ("general", "character", "copyright", "artist", "meta")


@dataclass(frozen=True)
class Sidecar:
    """The metadata of one picture."""

    tags: tuple[str, ...] = ()
    rating: str | None = None
    score: int | None = None
    license: str | None = None
    artist: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def read_sidecar(name: str, data: bytes) -> Sidecar:
    """Parse a sidecar file: `.txt` is a list of tags separated by commas or newlines, anything else is a post in JSON.

    Raises SidecarError if it is not UTF-8, not JSON, or not a JSON object.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SidecarError(f"{name} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
    if name.lower().endswith(".txt"):
        return Sidecar(tags=_parse_tag_list(text))
    try:
        post = json.loads(text, parse_constant=lambda _: None)  # NaN is not JSON, but Python writes it
        canonical_json(post)  # refuses lone surrogates, which no text column can hold
    except (ValueError, RecursionError) as error:
        raise SidecarError(f"{name} is not JSON ({error}): download or write it again") from None
    if not isinstance(post, dict):
        raise SidecarError(f"{name} holds a {type(post).__name__}, not an object: expected one post's metadata")
    return _parse_post(post)


def read_table_entry(data: bytes) -> Sidecar:
    """Parse one entry of a metadata table. Without tags, its `text` provides them if that is a list of tags."""
    entry: dict[str, Any] = json.loads(data, parse_constant=lambda _: None)  # json writes infinity as Infinity
    text = entry.get("text")
    if not has_tags(entry) and isinstance(text, str) and _is_tag_list(text):
        entry = {key: value for key, value in entry.items() if key != "text"} | {"tags": text}
    return _parse_post({key: value for key, value in entry.items() if key != "file_name"})


def _is_tag_list(text: str) -> bool:
    """Whether a text is short phrases separated by commas, without a full stop: prose has longer phrases."""
    return "," in text and "." not in text and all(len(part.split()) <= MAX_TAG_WORDS for part in text.split(","))


def merge_sidecars(sidecars: Iterable[Sidecar]) -> Sidecar:
    """Merge the sidecars of one picture: tags are united, other fields come from the first sidecar that has them."""
    merged = Sidecar()
    for sidecar in sidecars:
        merged = Sidecar(
            tags=unique_tags((*merged.tags, *sidecar.tags)),
            rating=merged.rating if merged.rating is not None else sidecar.rating,
            score=merged.score if merged.score is not None else sidecar.score,
            license=merged.license if merged.license is not None else sidecar.license,
            artist=merged.artist if merged.artist is not None else sidecar.artist,
            extra={**sidecar.extra, **merged.extra},
        )
    return merged


def _parse_tag_list(text: str) -> tuple[str, ...]:
    """Parse a text sidecar: kohya's one line with commas, or hydrus' one tag per line, which may contain commas."""
    lines = [line for line in text.splitlines() if line.strip()]
    parts = lines if len(lines) > 1 else [part for line in lines for part in line.split(",")]
    unescaped = (re.sub(r"\\([()])", r"\1", part) for part in parts)  # taggers write prompts: `miku \\(vocaloid\\)`
    return unique_tags(normalize_tag(part) for part in unescaped)


def _parse_post(post: dict[str, Any]) -> Sidecar:
    own_columns = {"rating", "score", "license", "artist", "tags", "tag_string"}
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
            if key not in own_columns and key not in by_namespace and f"tags_{key}" not in by_namespace
        },
    )


def _namespace(category: str) -> str:
    return category if category in NAMESPACES else ""


def _tags_of_value(value: object) -> list[str]:
    """Return the tags in a JSON value: a list of strings, a string with commas or spaces, or a tagger's confidences."""
    if isinstance(value, list):
        return [word for word in value if isinstance(word, str)]
    if isinstance(value, dict):  # e621 nests its categories
        confident = [tag for tag, confidence in value.items() if (_number(confidence) or 0) >= MIN_TAG_CONFIDENCE]
        return confident + [word for words in value.values() for word in _tags_of_value(words)]
    if isinstance(value, str):
        return value.split(",") if "," in value else value.split()
    return []


def _most_confident(value: object) -> object:
    """Return the most probable name of a tagger's confidences; any other value unchanged."""
    items = value.items() if isinstance(value, dict) else ()
    confidences = {name: number for name, item in items if (number := _number(item)) is not None}
    return max(confidences, key=lambda name: confidences[name]) if confidences else value


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
