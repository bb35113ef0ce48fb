"""Manifest -> how many pictures carry each tag, what goes with what, and which tags are doubtful."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate import doubts, ledger, manifest
from curate.errors import NurieError
from curate.rules import Rules
from curate.tags import count, normalize, split_color


def tally(
    dataset: Path,
    top: int,
    rules: Rules,
    beside: str | None = None,
    *,
    check: bool = False,
) -> dict[str, Any]:
    """Counts of the `top` commonest tags of a dataset's kept pictures, by the rules.

    With `beside`, only of pictures with that tag: what goes with it. With `check`, also the pictures whose tags
    contradict one another (`contradictions`) or name a colour that the picture has nowhere (`unseen`).
    """
    ledger.read_state(dataset, "manifest", *(["pairs"] if check else []))
    table = manifest.read_parts(dataset / "manifest", ["source", "path", "id", "tags", "dropped"])
    kept = [row | {"tags": rules.apply(row["tags"])} for row in table.to_pylist() if row["dropped"] is None]
    wanted = None if beside is None else rules.aliases.get(normalize(beside), normalize(beside))
    if wanted is not None:
        kept = [row for row in kept if wanted in row["tags"]]
        if not kept:
            raise NurieError(f"no kept picture has the tag {wanted!r}: see them with `curate tags {dataset}`")
    counts = count([tag for tag in row["tags"] if tag != wanted] for row in kept)
    shown = dict(list(counts.items())[:top])
    colors = {tag: pair for tag in shown if (pair := split_color(tag))}
    told = {"tags": shown, "colors": colors, "distinct": len(counts), "pictures": len(kept)}
    if wanted is not None:
        told["with"] = wanted
    return told | (doubts.doubts(dataset, kept) if check else {})
