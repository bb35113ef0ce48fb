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

from curate.query.selection import satisfying
from curate.query.tag_index import Mask, Postings
from curate.system.errors import NurieError
from curate.tags.normalize import normalize

QUOTED = r'(?<![a-z_])[a-z_]+[:<>=!]+"[^"]*"'
WORD = re.compile(rf"(?:{QUOTED}|\S)+")
EITHER = re.compile(rf"(?:{QUOTED}|[^|])+")
TERM = re.compile(r'([a-z_]+)(:|<=|>=|!=|=|<|>)(?:"([^"]*)"|(\S+))')
DECIDED = "decided"
NULL = "none"
SUGGESTED = 3


@dataclass(frozen=True)
class Shelf:
    """What is searched: some of the manifest's columns, who carries which tag, kinds of decisions by id."""

    table: pa.Table
    tags: Postings
    decided: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Found:
    """Rows that a filter holds for, and the words in it that no picture has, each with the likeliest meant."""

    mask: Mask
    unknown: Mapping[str, list[str]]


def find(shelf: Shelf, text: str, where: str = "") -> Found:
    """Rows for which every word of `text` and the expression `where` hold, as `curate select --where` takes it.

    Raises NurieError if a word asks of a column what it cannot tell, or `where` is no expression.
    """
    mask, unknown = np.ones(shelf.table.num_rows, np.bool_), dict[str, list[str]]()
    for word in WORD.findall(text):
        held = _holds(shelf, word, unknown)
        if held is None:
            unknown[word] = _meant(shelf.tags, word)
            mask &= word.startswith("-") and word != "-"
        else:
            mask &= held
    if where.strip():
        mask &= satisfying(shelf.table, where)
    return Found(mask, unknown)


def _holds(shelf: Shelf, word: str, unknown: dict[str, list[str]]) -> Mask | None:
    """Rows for which a word holds; None for a tag that no picture has. A tag comes before what else it may mean.

    Of several tags with `|` between them, those that no picture has are added to `unknown`.
    """
    if (tagged := shelf.tags.mask(normalize(word))) is not None:
        return tagged
    if word.startswith("-") and len(word) > 1:
        held = _holds(shelf, word[1:], unknown)
        return None if held is None else ~held
    if len(words := EITHER.findall(word)) > 1:
        return _either(shelf, words, unknown)
    term = TERM.fullmatch(word)
    if term and term[1] == DECIDED:
        return _decided(shelf, term[4] or term[3])
    if term and term[1] in shelf.table.column_names and not pa.types.is_list(shelf.table.schema.field(term[1]).type):
        return _column(shelf.table, term[1], term[2], term[3] if term[4] is None else term[4])
    return shelf.tags.union(numbers) if "*" in word and (numbers := _matching(shelf.tags, word)) else None


def _either(shelf: Shelf, words: list[str], unknown: dict[str, list[str]]) -> Mask | None:
    held = {word: _holds(shelf, word, unknown) for word in words}
    masks = [mask for mask in held.values() if mask is not None]
    if not masks:
        return None
    unknown.update({word: _meant(shelf.tags, word) for word, mask in held.items() if mask is None})
    return np.asarray(np.logical_or.reduce(masks), np.bool_)


def _column(table: pa.Table, name: str, sign: str, value: str) -> Mask:
    column = table[name]
    if value == NULL and sign in {":", "=", "!="}:
        held = pc.is_null(column) if sign != "!=" else pc.is_valid(column)
    elif not pa.types.is_string(column.type):
        return satisfying(table, f"{name} {'==' if sign in {':', '='} else sign} {_number(name, value)}")
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


def _decided(shelf: Shelf, kind: str) -> Mask:
    ids = [key for key, kinds in shelf.decided.items() if kind == "*" or kind in kinds]
    return np.asarray(pc.is_in(shelf.table["id"], pa.array(ids, pa.string())), np.bool_)


def _matching(tags: Postings, pattern: str) -> list[int]:
    told = re.compile(translate(re.sub(r"([\[?])", r"[\1]", normalize(pattern))))
    return [number for number, name in enumerate(tags.names) if told.match(name)]


def _meant(tags: Postings, word: str) -> list[str]:
    return get_close_matches(normalize(word.lstrip("-")), tags.names, SUGGESTED)


def complete(tags: Postings, mask: Mask, start: str, most: int) -> list[tuple[str, int]]:
    """The commonest tags with a word that begins so, and how many of the chosen rows have each."""
    told = re.compile(rf"(.*[_:(])?{re.escape(normalize(start))}")
    return tags.top(mask, most, [number for number, name in enumerate(tags.names) if told.match(name)])
