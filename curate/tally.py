"""Manifest -> how many pictures carry each tag, what goes with what, and which tags are doubtful."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate import doubts, ledger, manifest
from curate.errors import NurieError, SidecarError
from curate.tags import count, normalize, split_color, unique


@dataclass(frozen=True)
class Rules:
    """What tags stand for and imply."""

    aliases: Mapping[str, str] = field(default_factory=dict)
    implications: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """All that a tag implies, by whatever way."""

    def apply(self, tags: list[str]) -> tuple[str, ...]:
        """Tags with aliases taken for what they stand for, and what they imply."""
        known = [self.aliases.get(tag, tag) for tag in tags]
        return unique((*known, *(implied for tag in known for implied in self.implications.get(tag, ()))))


def read_aliases(path: Path) -> dict[str, str]:
    """Two columns a line, `alias,tag` or parted by a tab; `#` begins a comment. Raises SidecarError naming the line."""
    return dict(_pairs(path, "alias,tag"))


def read_implications(path: Path, aliases: Mapping[str, str] | None = None) -> dict[str, tuple[str, ...]]:
    """Lines of `implying,implied` -> all that each tag implies, also through others.

    Raises SidecarError naming the line that is none, or the cycle there is.
    """
    direct: dict[str, list[str]] = {}
    for pair in _pairs(path, "implying,implied"):
        implying, implied = ((aliases or {}).get(tag, tag) for tag in pair)
        direct.setdefault(implying, []).append(implied)
    closed: dict[str, tuple[str, ...]] = {}
    for tag in direct:
        _close(path, tag, direct, closed)
    return closed


def _close(path: Path, start: str, direct: Mapping[str, list[str]], closed: dict[str, tuple[str, ...]]) -> None:
    """Depth first without recursion: a chain may be longer than Python's stack."""
    way = {start: iter(direct[start])}
    while way:
        tag = next(reversed(way))
        implied = next(way[tag], None)
        if implied is None:
            closed[tag] = unique(two for one in direct[tag] for two in (one, *closed.get(one, ())))
            del way[tag]
        elif implied in way:
            cycle = [*way][[*way].index(implied) :]
            raise SidecarError(f"{path}: {' -> '.join([*cycle, implied])} is a cycle: delete one of its lines")
        elif implied in direct and implied not in closed:
            way[implied] = iter(direct[implied])


def _pairs(path: Path, form: str) -> Iterator[tuple[str, str]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SidecarError(f"{path} cannot be read ({error}): give a UTF-8 text file") from None
    for number, line in enumerate(lines, 1):
        columns = [normalize(column) for column in re.split(r"[,\t]", line.partition("#")[0])]
        if columns == [""]:
            continue
        if len(columns) != 2 or not all(columns):
            raise SidecarError(f"{path}, line {number}: {line!r} is not `{form}`")
        yield columns[0], columns[1]


def tally(
    dataset: Path,
    top: int,
    aliases: Path | None = None,
    implications: Path | None = None,
    beside: str | None = None,
    *,
    check: bool = False,
) -> dict[str, Any]:
    """Counts of the `top` commonest tags of a dataset's kept pictures, aliases and implications applied.

    With `beside`, only of pictures with that tag: what goes with it. With `check`, also the pictures whose tags
    contradict one another (`contradictions`) or name a colour that the picture has nowhere (`unseen`).
    """
    ledger.read_state(dataset)
    known = read_aliases(aliases) if aliases else {}
    rules = Rules(known, read_implications(implications, known) if implications else {})
    table = manifest.read_parts(dataset / "manifest", ["source", "path", "id", "tags", "dropped"])
    kept = [row | {"tags": rules.apply(row["tags"])} for row in table.to_pylist() if row["dropped"] is None]
    wanted = None if beside is None else known.get(normalize(beside), normalize(beside))
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
