"""Manifest -> how many pictures carry each tag."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from curate import manifest
from curate.errors import SidecarError
from curate.tags import count, normalize, split_color


def read_aliases(path: Path) -> dict[str, str]:
    """Two columns a line, `alias,tag` or parted by a tab; `#` begins a comment. Raises SidecarError naming the line."""
    aliases = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SidecarError(f"{path} cannot be read ({error}): give a UTF-8 text file") from None
    for number, line in enumerate(lines, 1):
        columns = [normalize(column) for column in re.split(r"[,\t]", line.partition("#")[0])]
        if columns == [""]:
            continue
        if len(columns) != 2 or not all(columns):
            raise SidecarError(f"{path}, line {number}: {line!r} is not `alias,tag`")
        aliases[columns[0]] = columns[1]
    return aliases


def tally(dataset: Path, top: int, aliases: Path | None = None) -> dict[str, Any]:
    """Counts of the `top` commonest tags of a dataset's kept pictures, aliases counted as what they stand for."""
    manifest.read_state(dataset)
    table = manifest.read_parts(dataset / "manifest", ["tags", "dropped"])
    kept = [row["tags"] for row in table.to_pylist() if row["dropped"] is None]
    known = read_aliases(aliases) if aliases else {}
    counts = count([known.get(tag, tag) for tag in tags] for tags in kept)
    shown = dict(list(counts.items())[:top])
    colors = {tag: pair for tag in shown if (pair := split_color(tag))}
    return {"tags": shown, "colors": colors, "distinct": len(counts), "pictures": len(kept)}
