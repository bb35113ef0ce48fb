"""What people type to find pictures -> rows: `blue_hair -solo role:alternate width>=512`.

A word is a tag that a picture must have, or with `-` in front must not; `*` stands for anything. `column:value` looks
at a column of the manifest (`none` is null; text may hold `*`, or spaces between `"`), `column>=number` compares one.
`decided:KIND` finds what people decided of, `decided:*` any. `red_hair|blue_hair` is either. All words must hold.
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

from curate.query.selection import where_mask
from curate.query.tag_index import Postings, RowMask
from curate.system.errors import NurieError
from curate.tags.normalize import normalize_tag

QUOTED = r'(?<![a-z_])[a-z_]+[:<>=!]+"[^"]*"'
WORD_PATTERN = re.compile(rf"(?:{QUOTED}|\S)+")
OR_PATTERN = re.compile(rf"(?:{QUOTED}|[^|])+")
COLUMN_TERM_PATTERN = re.compile(r'([a-z_]+)(:|<=|>=|!=|=|<|>)(?:"([^"]*)"|(\S+))')
DECISION_FIELD = "decided"
NULL = "none"
MAX_SUGGESTIONS = 3


@dataclass(frozen=True)
class SearchableRows:
    """What is searched: some of the manifest's columns, who carries which tag, kinds of decisions by id."""

    table: pa.Table
    tags: Postings
    decision_kinds: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class FilterResult:
    """Rows that a filter holds for, and the words in it that no picture has, each with the likeliest meant."""

    mask: RowMask
    unknown_words: Mapping[str, list[str]]


def find_rows(shelf: SearchableRows, text: str, where: str = "") -> FilterResult:
    """Rows for which every word of `text` and the expression `where` hold, as `curate select --where` takes it.

    Raises NurieError if a word asks of a column what it cannot tell, or `where` is no expression.
    """
    mask, unknown = np.ones(shelf.table.num_rows, np.bool_), dict[str, list[str]]()
    for word in WORD_PATTERN.findall(text):
        held = _word_mask(shelf, word, unknown)
        if held is None:
            unknown[word] = _similar_tags(shelf.tags, word)
            mask &= word.startswith("-") and word != "-"
        else:
            mask &= held
    if where.strip():
        mask &= where_mask(shelf.table, where)
    return FilterResult(mask, unknown)


def _word_mask(shelf: SearchableRows, word: str, unknown: dict[str, list[str]]) -> RowMask | None:
    """Rows for which a word holds; None for a tag that no picture has. A tag comes before what else it may mean.

    Of several tags with `|` between them, those that no picture has are added to `unknown`.
    """
    if (tagged := shelf.tags.rows_with_tag(normalize_tag(word))) is not None:
        return tagged
    if word.startswith("-") and len(word) > 1:
        held = _word_mask(shelf, word[1:], unknown)
        return None if held is None else ~held
    if len(words := OR_PATTERN.findall(word)) > 1:
        return _or_mask(shelf, words, unknown)
    term = COLUMN_TERM_PATTERN.fullmatch(word)
    if term and term[1] == DECISION_FIELD:
        return _decision_mask(shelf, term[4] or term[3])
    if term and term[1] in shelf.table.column_names and not pa.types.is_list(shelf.table.schema.field(term[1]).type):
        return _column_mask(shelf.table, term[1], term[2], term[3] if term[4] is None else term[4])
    return shelf.tags.rows_with_any(numbers) if "*" in word and (numbers := _matching_tags(shelf.tags, word)) else None


def _or_mask(shelf: SearchableRows, words: list[str], unknown: dict[str, list[str]]) -> RowMask | None:
    held = {word: _word_mask(shelf, word, unknown) for word in words}
    masks = [mask for mask in held.values() if mask is not None]
    if not masks:
        return None
    unknown.update({word: _similar_tags(shelf.tags, word) for word, mask in held.items() if mask is None})
    return np.asarray(np.logical_or.reduce(masks), np.bool_)


def _column_mask(table: pa.Table, name: str, sign: str, value: str) -> RowMask:
    column = table[name]
    if value == NULL and sign in {":", "=", "!="}:
        held = pc.is_null(column) if sign != "!=" else pc.is_valid(column)
    elif not pa.types.is_string(column.type):
        return where_mask(table, f"{name} {'==' if sign in {':', '='} else sign} {_number(name, value)}")
    elif sign in {":", "="}:
        pattern = re.sub(r"([\\%_])", r"\\\1", value).replace("*", "%")
        held = pc.match_like(column, pattern, ignore_case=True)
    else:
        raise NurieError(f"{name} holds text: write {name}:{value}, or -{name}:{value}")
    return np.asarray(pc.fill_null(held, fill_value=False), np.bool_)


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise NurieError(f"{name} holds numbers, and {value!r} is none: write for example {name}>=512") from None


def _decision_mask(shelf: SearchableRows, kind: str) -> RowMask:
    ids = [key for key, kinds in shelf.decision_kinds.items() if kind == "*" or kind in kinds]
    return np.asarray(pc.is_in(shelf.table["id"], pa.array(ids, pa.string())), np.bool_)


def _matching_tags(tags: Postings, pattern: str) -> list[int]:
    told = re.compile(translate(re.sub(r"([\[?])", r"[\1]", normalize_tag(pattern))))
    return [number for number, name in enumerate(tags.names) if told.match(name)]


def _similar_tags(tags: Postings, word: str) -> list[str]:
    return get_close_matches(normalize_tag(word.lstrip("-")), tags.names, MAX_SUGGESTIONS)


def suggest_completions(tags: Postings, mask: RowMask, start: str, most: int) -> list[tuple[str, int]]:
    """The commonest tags with a word that begins so, and how many of the chosen rows have each."""
    told = re.compile(rf"(.*[_:(])?{re.escape(normalize_tag(start))}")
    return tags.top(mask, most, [number for number, name in enumerate(tags.names) if told.match(name)])
