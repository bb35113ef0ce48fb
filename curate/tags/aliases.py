"""Tag aliases and implications, read from two-column text files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curate.system.errors import SidecarError, blame_option
from curate.tags.normalize import normalize_tag, unique_tags


@dataclass(frozen=True)
class TagRules:
    """Aliases and implications of tags."""

    aliases: Mapping[str, str] = field(default_factory=dict)
    implications: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """All tags that a tag implies, directly or through others."""

    def apply(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Replace aliases, then add implied tags."""
        named = [self.aliases.get(tag, tag) for tag in tags]
        return unique_tags((*named, *(implied for tag in named for implied in self.implications.get(tag, ()))))


def read_rules(aliases: Path | None, implications: Path | None) -> TagRules:
    """Return the rules of two files, each of them optional. Raises like read_aliases and read_implications."""
    with blame_option("aliases"):
        alias_map = read_aliases(aliases) if aliases else {}
    with blame_option("implications"):
        return TagRules(alias_map, read_implications(implications, alias_map) if implications else {})


def read_aliases(path: Path) -> dict[str, str]:
    """Read lines of `alias,tag`, or separated by a tab; `#` starts a comment. Raises SidecarError naming a bad line."""
    return dict(_read_pairs(path, "alias,tag"))


def read_implications(path: Path, aliases: Mapping[str, str] | None = None) -> dict[str, tuple[str, ...]]:
    """Read lines of `implying,implied`; return every tag that each one implies, directly or through others.

    Raises SidecarError naming a bad line or a cycle.
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
    """Add to `closed` all that `start` implies. Without recursion: a chain may be longer than Python's stack."""
    path_from_start = {start: iter(direct[start])}
    while path_from_start:
        tag = next(reversed(path_from_start))
        implied = next(path_from_start[tag], None)
        if implied is None:
            closed[tag] = unique_tags(each for child in direct[tag] for each in (child, *closed.get(child, ())))
            del path_from_start[tag]
        elif implied in path_from_start:
            cycle = [*path_from_start][[*path_from_start].index(implied) :]
            raise SidecarError(f"{path}: {' -> '.join([*cycle, implied])} is a cycle: delete one of its lines")
        elif implied in direct and implied not in closed:
            path_from_start[implied] = iter(direct[implied])


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
