"""What a census counted -> the tables of a page, with bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.audit import census
from curate.audit.census import Census
from curate.audit.explain import DROP_REASON_TEXTS
from curate.contract import SPLITS
from curate.tags.normalize import COLORS, sort_by_count, split_color

MAX_TAG_ROWS, MAX_NAME_ROWS = 200, 50  # rows of a table, at most
FATE_NOTES = {"kept": "goes on to the shards", **DROP_REASON_TEXTS}
SWATCH_COLORS = {
    "blond": "#e8d28b",
    "blonde": "#e8d28b",
    "golden": "#d9a520",
    "light_brown": "#b98a5e",
    "light_purple": "#c3a3e8",
    "pale": "#f8e4d4",
    "light": "#f3d2b3",
    "medium_light": "#e0b088",
    "medium": "#c08a5c",
    "medium_dark": "#94613a",
    "tanned": "#c68e5d",
    "dark": "#5e3c26",
}
"""Colour words that are no colour's name in CSS."""


@dataclass(frozen=True)
class CountBar:
    """A row of a table of counts."""

    name: str
    count: int
    share: float
    """Of all that was counted: a percentage."""
    length: float
    """Of the bar: 100 is the longest of its table."""
    note: str
    swatch: str
    """A colour of CSS, where the name tells of one."""


@dataclass(frozen=True)
class CountTable:
    """The first of some counts."""

    bars: list[CountBar]
    rows: int
    """How many there are."""
    unknown: int = 0
    """Pictures of which it is not known."""


@dataclass(frozen=True)
class FamilySizes:
    """Number of each family with kept pictures, and how many it has."""

    hashes: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.int64]

    def choose_examples(self, most: int) -> dict[int, int]:
        """Sizes by number of the largest families of two or more, then of those of least number: half and half."""
        several = self.sizes > 1
        pairs = list(zip(self.hashes[several].tolist(), self.sizes[several].tolist(), strict=True))
        largest = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[: most // 2]
        rest = sorted(set(pairs) - set(largest))[: most - len(largest)]
        return dict((*largest, *rest))


def family_sizes(found: Census) -> FamilySizes:
    """The families of a census, by number."""
    arrays = [one for split in found.family_hashes.values() for one in split]
    return FamilySizes(*np.unique(np.concatenate([np.empty(0, np.uint64), *arrays]), return_counts=True))


def summary_counts(found: Census) -> dict[str, Any]:
    """`in`, `kept`, `dropped` by reason, and what else there is to tell in a few numbers."""
    return {
        **found.fate_counts(),
        "bytes": found.kept_bytes,
        "roles": dict(sorted((role, count) for role, count in found.roles.items() if role is not None)),
        "splits": {split: count for split in SPLITS if (count := found.value_counts["split"][split])},
        "families": int((family_sizes(found).sizes > 1).sum()),
        "tags": {
            "distinct": len(found.tags),
            "colors": sum(split_color(tag) is not None for tag in found.tags),
            "untagged": found.tags_per_picture[0],
        },
        "errors": dict(sorted((kind, faulty.count) for kind, faulty in found.errors.items())),
    }


def build_tables(found: Census) -> dict[str, CountTable]:
    """Every table of counts, by name; shares are of the kept pictures but for `fates` (all) and `family_sizes`."""
    kept = found.fates[None]
    tags = sort_by_count(found.tags)
    sizes = family_sizes(found).sizes
    return {
        "fates": _table({"kept": kept, **found.fate_counts()["dropped"]}, found.fates.total(), notes=FATE_NOTES),
        "family_sizes": _bin_table(census.FAMILY_SIZES, census.count_per_bin(sizes, census.FAMILY_SIZES), len(sizes)),
        "tags": _table(tags, kept, MAX_TAG_ROWS),
        "colors": _table({tag: count for tag, count in tags.items() if split_color(tag)}, kept, MAX_NAME_ROWS),
        **{name: _bin_table(bins, found.size_counts[name], kept) for name, bins in census.SIZE_BINS.items()},
        **{name: _column_table(found, name) for name in ("format", "rating", "license", "artist")},
    }


def split_rows(found: Census) -> list[dict[str, Any]]:
    """Pictures, families and share of each split, in order."""
    return [
        {
            "name": split,
            "pictures": count,
            "families": len(np.unique(np.concatenate(found.family_hashes[split]))),
            "share": 100 * count / found.fates[None],
        }
        for split in SPLITS
        if (count := found.value_counts["split"][split])
    ]


def _column_table(found: Census, column: str) -> CountTable:
    known = {name: count for name, count in found.value_counts[column].items() if name is not None}
    return _table(sort_by_count(known), found.fates[None], MAX_NAME_ROWS, unknown=found.value_counts[column][None])


def _bin_table(bins: census.Bins, values: npt.NDArray[np.int64], total: int) -> CountTable:
    """Without the empty ranges at either end."""
    used = np.flatnonzero(values)
    inside = slice(used[0], used[-1] + 1) if used.size else slice(0)
    names = [name for _, name in bins][inside]
    return _table(dict(zip(names, values[inside].tolist(), strict=True)), total)


def _table(
    values: Mapping[str, int],
    total: int,
    most: int | None = None,
    *,
    notes: Mapping[str, str] | None = None,
    unknown: int = 0,
) -> CountTable:
    longest = max(values.values(), default=0) or 1
    shown: Sequence[tuple[str, int]] = list(values.items())[:most]
    bars = [
        CountBar(
            name, count, 100 * count / max(1, total), 100 * count / longest, (notes or {}).get(name, ""), _swatch(name)
        )
        for name, count in shown
    ]
    return CountTable(bars, len(values), unknown)


def _swatch(tag: str) -> str:
    color, _ = split_color(tag) or ("", "")
    return SWATCH_COLORS.get(color) or (color.replace("_", "") if color in COLORS else "")
