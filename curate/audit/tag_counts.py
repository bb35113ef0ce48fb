"""`curate tags`: count the tags of the kept pictures, and list the doubtful ones."""

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
    """Count the `top` most common tags of a dataset's kept pictures, after `rules` are applied.

    with_tag: count only the pictures that have this tag. check: also list the pictures whose tags contradict each other
    (`contradictions`), or name a colour that the picture does not have (`unseen`).
    Memory is that of one part and of the distinct tags; with `check`, of all kept rows' paths and tags.
    """
    ledger.read_ledger(dataset, "manifest", *(["pairs"] if check else []))
    wanted = None if with_tag is None else rules.aliases.get(normalize_tag(with_tag), normalize_tag(with_tag))
    counter: Counter[str] = Counter()
    pictures, checked_rows = 0, list[Row]()
    for row in _kept_rows(dataset, rules, wanted):
        counter.update({*row["tags"]} - {wanted})
        pictures += 1
        if check:
            checked_rows.append(row)
    if wanted is not None and not pictures:
        raise NurieError(f"no kept picture has the tag {wanted!r}: list the tags with `curate tags {dataset}`")
    counts = sort_by_count(counter)
    shown = dict(list(counts.items())[:top])
    colors = {tag: pair for tag in shown if (pair := split_color(tag))}
    result = {"tags": shown, "colors": colors, "distinct": len(counts), "pictures": pictures}
    if wanted is not None:
        result["with"] = wanted
    return result | (tag_checks.find_doubtful_tags(dataset, checked_rows) if check else {})


def _kept_rows(dataset: Path, rules: TagRules, wanted: str | None) -> Iterator[Row]:
    """Yield the kept rows, with the rules applied to their tags; only those with the tag `wanted` if it is given."""
    for table in parquet.iter_parts(dataset / "manifest", ["source", "path", "id", "tags", "dropped"]):
        for row in table.filter(pc.is_null(table["dropped"])).to_pylist():
            tags = rules.apply(row["tags"])
            if wanted is None or wanted in tags:
                yield row | {"tags": tags}
