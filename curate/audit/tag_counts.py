"""Manifest -> how many pictures carry each tag, what goes with what, and which tags are doubtful."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from curate.audit import tag_checks
from curate.dataset import ledger, parquet
from curate.system.errors import NurieError
from curate.tags.aliases import TagRules
from curate.tags.normalize import normalize_tag, sort_by_count, split_color

Row = dict[str, Any]


def count_tags(
    dataset: Path,
    top: int,
    rules: TagRules,
    with_tag: str | None = None,
    *,
    check: bool = False,
) -> dict[str, Any]:
    """Counts of the `top` commonest tags of a dataset's kept pictures, by the rules.

    With `beside`, only of pictures with that tag: what goes with it. With `check`, also the pictures whose tags
    contradict one another (`contradictions`) or name a colour that the picture has nowhere (`unseen`). Memory is that
    of a part and of the distinct tags; with `check`, of all kept rows' paths and tags.
    """
    ledger.read_ledger(dataset, "manifest", *(["pairs"] if check else []))
    wanted = None if with_tag is None else rules.aliases.get(normalize_tag(with_tag), normalize_tag(with_tag))
    counted: Counter[str] = Counter()
    pictures, looked_at = 0, list[Row]()
    for row in _kept(dataset, rules, wanted):
        counted.update({*row["tags"]} - {wanted})
        pictures += 1
        if check:
            looked_at.append(row)
    if wanted is not None and not pictures:
        raise NurieError(f"no kept picture has the tag {wanted!r}: see them with `curate tags {dataset}`")
    counts = sort_by_count(counted)
    shown = dict(list(counts.items())[:top])
    colors = {tag: pair for tag in shown if (pair := split_color(tag))}
    told = {"tags": shown, "colors": colors, "distinct": len(counts), "pictures": pictures}
    if wanted is not None:
        told["with"] = wanted
    return told | (tag_checks.find_doubtful_tags(dataset, looked_at) if check else {})


def _kept(dataset: Path, rules: TagRules, wanted: str | None) -> Iterator[Row]:
    """The kept rows, of all or of those with one tag, with their tags by the rules."""
    for table in parquet.iter_parts(dataset / "manifest", ["source", "path", "id", "tags", "dropped"]):
        for row in table.filter(pc.is_null(table["dropped"])).to_pylist():
            tags = rules.apply(row["tags"])
            if wanted is None or wanted in tags:
                yield row | {"tags": tags}
