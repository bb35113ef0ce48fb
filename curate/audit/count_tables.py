"""Turn the counts of a census into the report's tables with bars, and its summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.audit import census
from curate.audit.census import Census
from curate.audit.explain_picture import DROP_REASON_TEXTS
from curate.contract import SPLITS
from curate.tags.normalize import COLORS, sort_by_count, split_color

MAX_TAG_ROWS, MAX_NAME_ROWS = 200, 50  # of a table
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
"""CSS colours for the colour words that CSS itself does not know."""


@dataclass(frozen=True)
class CountBar:
    """One row of a table of counts."""

    name: str
    count: int
    share: float
    """Percent of everything counted."""
    length: float
    """Of the bar; the longest of a table is 100."""
    note: str
    swatch: str
    """A CSS colour if the name contains a colour word, else empty."""


@dataclass(frozen=True)
class CountTable:
    """The first rows of a table of counts."""

    bars: list[CountBar]
    rows: int
    """How many rows there are in all."""
    unknown: int = 0
    """Pictures without a value."""


@dataclass(frozen=True)
class FamilySizes:
    """The families that have kept pictures."""

    hashes: npt.NDArray[np.uint64]
    """(families,) ascending; see `census.family_hash`."""
    sizes: npt.NDArray[np.int64]
    """(families,) number of kept pictures."""

    def choose_examples(self, limit: int) -> dict[int, int]:
        """Sizes by hash of families with two pictures or more: half are the largest, half those of smallest hash."""
        several = self.sizes > 1
        pairs = list(zip(self.hashes[several].tolist(), self.sizes[several].tolist(), strict=True))
        largest = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[: limit // 2]
        rest = sorted(set(pairs) - set(largest))[: limit - len(largest)]
        return dict((*largest, *rest))


def family_sizes(counted: Census) -> FamilySizes:
    """The families of a census with their sizes."""
    arrays = [hashes for parts in counted.family_hashes.values() for hashes in parts]
    return FamilySizes(*np.unique(np.concatenate([np.empty(0, np.uint64), *arrays]), return_counts=True))


def summary_counts(counted: Census) -> dict[str, Any]:
    """`in`, `kept`, `dropped` by reason, and the other figures that `curate report --json` prints."""
    return {
        **counted.fate_counts(),
        "bytes": counted.kept_bytes,
        "roles": dict(sorted((role, count) for role, count in counted.roles.items() if role is not None)),
        "splits": {split: count for split in SPLITS if (count := counted.value_counts["split"][split])},
        "families": int((family_sizes(counted).sizes > 1).sum()),
        "tags": {
            "distinct": len(counted.tags),
            "colors": sum(split_color(tag) is not None for tag in counted.tags),
            "untagged": counted.tags_per_picture[0],
        },
        "errors": dict(sorted((kind, error_class.count) for kind, error_class in counted.errors.items())),
    }


def build_tables(counted: Census) -> dict[str, CountTable]:
    """Every table by name. Shares are of the kept pictures; of all files in `fates`, of families in `family_sizes`."""
    kept = counted.fates[None]
    tags = sort_by_count(counted.tags)
    sizes = family_sizes(counted).sizes
    return {
        "fates": _table({"kept": kept, **counted.fate_counts()["dropped"]}, counted.fates.total(), notes=FATE_NOTES),
        "family_sizes": _bin_table(census.FAMILY_SIZES, census.count_per_bin(sizes, census.FAMILY_SIZES), len(sizes)),
        "tags": _table(tags, kept, MAX_TAG_ROWS),
        "colors": _table({tag: count for tag, count in tags.items() if split_color(tag)}, kept, MAX_NAME_ROWS),
        **{name: _bin_table(bins, counted.size_counts[name], kept) for name, bins in census.SIZE_BINS.items()},
        **{name: _column_table(counted, name) for name in ("format", "rating", "license", "artist")},
    }


def split_rows(counted: Census) -> list[dict[str, Any]]:
    """Pictures, families and share of each split that has pictures, in the order of SPLITS."""
    return [
        {
            "name": split,
            "pictures": count,
            "families": len(np.unique(np.concatenate(counted.family_hashes[split]))),
            "share": 100 * count / counted.fates[None],
        }
        for split in SPLITS
        if (count := counted.value_counts["split"][split])
    ]


def _column_table(counted: Census, column: str) -> CountTable:
    known = {name: count for name, count in counted.value_counts[column].items() if name is not None}
    return _table(sort_by_count(known), counted.fates[None], MAX_NAME_ROWS, unknown=counted.value_counts[column][None])


def _bin_table(bins: census.Bins, values: npt.NDArray[np.int64], total: int) -> CountTable:
    """A table of ranges, without the empty ones at either end."""
    used = np.flatnonzero(values)
    inside = slice(used[0], used[-1] + 1) if used.size else slice(0)
    names = [name for _, name in bins][inside]
    return _table(dict(zip(names, values[inside].tolist(), strict=True)), total)


def _table(
    values: Mapping[str, int],
    total: int,
    limit: int | None = None,
    *,
    notes: Mapping[str, str] | None = None,
    unknown: int = 0,
) -> CountTable:
    longest = max(values.values(), default=0) or 1
    shown: Sequence[tuple[str, int]] = list(values.items())[:limit]
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
