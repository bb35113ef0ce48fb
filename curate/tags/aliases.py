"""What tags stand for and imply: files of two columns that people keep."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curate.system.errors import SidecarError, blame_option
from curate.tags.normalize import normalize_tag, unique_tags


@dataclass(frozen=True)
class TagRules:
    """What tags stand for and imply."""

    aliases: Mapping[str, str] = field(default_factory=dict)
    implications: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """All that a tag implies, by whatever way."""

    def apply(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Tags with aliases taken for what they stand for, and what they imply."""
        known = [self.aliases.get(tag, tag) for tag in tags]
        return unique_tags((*known, *(implied for tag in known for implied in self.implications.get(tag, ()))))


def read_rules(aliases: Path | None, implications: Path | None) -> TagRules:
    """Rules of two files, either of which may be left out; as read_aliases and read_implications."""
    with blame_option("aliases"):
        known = read_aliases(aliases) if aliases else {}
    with blame_option("implications"):
        return TagRules(known, read_implications(implications, known) if implications else {})


def read_aliases(path: Path) -> dict[str, str]:
    """Two columns a line, `alias,tag` or parted by a tab; `#` begins a comment. Raises SidecarError naming the line."""
    return dict(_read_pairs(path, "alias,tag"))


def read_implications(path: Path, aliases: Mapping[str, str] | None = None) -> dict[str, tuple[str, ...]]:
    """Lines of `implying,implied` -> all that each tag implies, also through others.

    Raises SidecarError naming the line that is none, or the cycle there is.
    """
    direct: dict[str, list[str]] = {}
    for pair in _read_pairs(path, "implying,implied"):
        implying, implied = ((aliases or {}).get(tag, tag) for tag in pair)
        direct.setdefault(implying, []).append(implied)
    closed: dict[str, tuple[str, ...]] = {}
    for tag in direct:
        _add_implied(path, tag, direct, closed)
    return closed


def _add_implied(path: Path, start: str, direct: Mapping[str, list[str]], closed: dict[str, tuple[str, ...]]) -> None:
    """Depth first without recursion: a chain may be longer than Python's stack."""
    way = {start: iter(direct[start])}
    while way:
        tag = next(reversed(way))
        implied = next(way[tag], None)
        if implied is None:
            closed[tag] = unique_tags(two for one in direct[tag] for two in (one, *closed.get(one, ())))
            del way[tag]
        elif implied in way:
            cycle = [*way][[*way].index(implied) :]
            raise SidecarError(f"{path}: {' -> '.join([*cycle, implied])} is a cycle: delete one of its lines")
        elif implied in direct and implied not in closed:
            way[implied] = iter(direct[implied])


def _read_pairs(path: Path, form: str) -> Iterator[tuple[str, str]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SidecarError(f"{path} cannot be read ({error}): give a UTF-8 text file") from None
    for number, line in enumerate(lines, 1):
        columns = [normalize_tag(column) for column in re.split(r"[,\t]", line.partition("#")[0])]
        if columns == [""]:
            continue
        if len(columns) != 2 or not all(columns):
            raise SidecarError(f"{path}, line {number}: {line!r} is not `{form}`")
        yield columns[0], columns[1]
