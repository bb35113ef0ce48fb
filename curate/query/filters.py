"""The filter of `curate browse`: words -> a mask of rows, as in `blue_hair -solo role:alternate width>=512`.

    blue_hair                           the picture has this tag
    *_hair                              it has a tag that fits the pattern; `*` stands for any text
    role:alternate  path:1F44B*         a text column has this value, in any case; `*` stands for any text
    license:"cc by*"                    the same, for a value with spaces
    width:512  bytes>=6000  width!=0    a number column compares so; the signs are : = != < <= > >=
    distance:none  distance!=none       a column is null, or is not null
    decided:retag  decided:*            people decided this, or anything, about the picture
    red_hair|blue_hair                  at least one of these words matches
    -solo                               the word does not match

All words must match. A word that is a tag is that tag, whatever else it could mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import translate

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.query.expressions import where_mask
from curate.query.tag_index import Postings, RowMask
from curate.system.errors import NurieError
from curate.tags.normalize import normalize_tag

QUOTED = r'(?<![a-z_])[a-z_]+[:<>=!]+"[^"]*"'
WORD_PATTERN = re.compile(rf"(?:{QUOTED}|\S)+")
OR_PATTERN = re.compile(rf"(?:{QUOTED}|[^|])+")
COLUMN_TERM_PATTERN = re.compile(r'(?P<name>[a-z_]+)(?P<sign>:|<=|>=|!=|=|<|>)(?:"(?P<quoted>[^"]*)"|(?P<bare>\S+))')
DECISION_FIELD = "decided"
NULL = "none"
MAX_SUGGESTIONS = 3


@dataclass(frozen=True)
class SearchableRows:
    """What a filter searches."""

    table: pa.Table
    """Some of the manifest's columns."""
    tags: Postings
    decision_kinds: Mapping[str, frozenset[str]]
    """Kinds of the decisions in force by picture id."""


@dataclass(frozen=True)
class FilterResult:
    """The rows that a filter matches."""

    mask: RowMask
    unknown_words: Mapping[str, list[str]]
    """Words that no picture has, each with the most similar tags."""


def find_rows(searched: SearchableRows, text: str, where: str = "") -> FilterResult:
    """The rows that match every word of `text` and the `--where` expression `where`.

    Raises NurieError if a word compares a column in a way that it cannot be compared, or `where` is no expression.
    """
    mask, unknown = np.ones(searched.table.num_rows, np.bool_), dict[str, list[str]]()
    for word in WORD_PATTERN.findall(text):
        word_mask = _word_mask(searched, word, unknown)
        if word_mask is None:
            unknown[word] = _similar_tags(searched.tags, word)
            mask &= word.startswith("-") and word != "-"
        else:
            mask &= word_mask
    if where.strip():
        mask &= where_mask(searched.table, where)
    return FilterResult(mask, unknown)


def _word_mask(searched: SearchableRows, word: str, unknown: dict[str, list[str]]) -> RowMask | None:
    """Rows that match a word; None for a tag that no picture has.

    Unknown words among several joined by `|` are added to `unknown`.
    """
    if (tagged := searched.tags.rows_with_tag(normalize_tag(word))) is not None:
        return tagged
    if word.startswith("-") and len(word) > 1:
        matches = _word_mask(searched, word[1:], unknown)
        return None if matches is None else ~matches
    if len(words := OR_PATTERN.findall(word)) > 1:
        return _or_mask(searched, words, unknown)
    if (term := COLUMN_TERM_PATTERN.fullmatch(word)) and (matches := _term_mask(searched, term)) is not None:
        return matches
    numbers = _matching_tags(searched.tags, word) if "*" in word else []
    return searched.tags.rows_with_any(numbers) if numbers else None


def _or_mask(searched: SearchableRows, words: list[str], unknown: dict[str, list[str]]) -> RowMask | None:
    mask_by_word = {word: _word_mask(searched, word, unknown) for word in words}
    masks = [mask for mask in mask_by_word.values() if mask is not None]
    if not masks:
        return None
    unknown.update({word: _similar_tags(searched.tags, word) for word, mask in mask_by_word.items() if mask is None})
    return np.asarray(np.logical_or.reduce(masks), np.bool_)


def _term_mask(searched: SearchableRows, term: re.Match[str]) -> RowMask | None:
    """Rows that match `name:value` or a comparison; None if `name` is not a column that can be compared."""
    table, name, value = searched.table, term["name"], term["bare"] if term["quoted"] is None else term["quoted"]
    if name == DECISION_FIELD:
        return _decision_mask(searched, value)
    if name in table.column_names and not pa.types.is_list(table.schema.field(name).type):
        return _column_mask(table, name, term["sign"], value)
    return None


def _column_mask(table: pa.Table, name: str, sign: str, value: str) -> RowMask:
    column = table[name]
    if value == NULL and sign in {":", "=", "!="}:
        matches = pc.is_null(column) if sign != "!=" else pc.is_valid(column)
    elif not pa.types.is_string(column.type):
        return where_mask(table, f"{name} {'==' if sign in {':', '='} else sign} {_number(name, value)}")
    elif sign in {":", "="}:
        pattern = re.sub(r"([\\%_])", r"\\\1", value).replace("*", "%")  # of SQL's LIKE
        matches = pc.match_like(column, pattern, ignore_case=True)
    else:
        raise NurieError(f"{name} holds text: write {name}:{value}, or -{name}:{value}")
    return np.asarray(pc.fill_null(matches, fill_value=False), np.bool_)


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise NurieError(f"{name} holds numbers, not {value!r}: write for example {name}>=512") from None


def _decision_mask(searched: SearchableRows, kind: str) -> RowMask:
    ids = [key for key, kinds in searched.decision_kinds.items() if kind == "*" or kind in kinds]
    return np.asarray(pc.is_in(searched.table["id"], pa.array(ids, pa.string())), np.bool_)


def _matching_tags(tags: Postings, pattern: str) -> list[int]:
    """Numbers of the tags that fit a pattern in which only `*` is special."""
    expression = re.compile(translate(re.sub(r"([\[?])", r"[\1]", normalize_tag(pattern))))
    return [number for number, name in enumerate(tags.names) if expression.match(name)]


def _similar_tags(tags: Postings, word: str) -> list[str]:
    return get_close_matches(normalize_tag(word.lstrip("-")), tags.names, MAX_SUGGESTIONS)


def suggest_completions(tags: Postings, mask: RowMask, start: str, limit: int) -> list[tuple[str, int]]:
    """The most common tags in which some word begins with `start`, and how many rows of the mask have each."""
    expression = re.compile(rf"(.*[_:(])?{re.escape(normalize_tag(start))}")
    return tags.top(mask, limit, [number for number, name in enumerate(tags.names) if expression.match(name)])
