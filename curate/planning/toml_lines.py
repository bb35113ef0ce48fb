"""Read a TOML file, and find the line of a table or key for error messages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from curate.system.errors import RecipeError


def parse(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the text of a TOML file and its tables. Raises RecipeError, naming file and line, if it is not TOML."""
    try:
        text = path.read_text("utf-8")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        problem, _, position = str(error).partition(" (at ")
        number = re.search(r"line (\d+)", position)
        line = number[1] if number else len(path.read_text("utf-8").splitlines())
        raise RecipeError(f"{path}:{line}: {problem}: see https://toml.io for the syntax") from None


def locate(path: Path, text: str, table: str, key: str | None = None) -> str:
    """File, line, table and key as error messages name them: `art.toml:2: [extract] lines`."""
    return f"{file_and_line(path, text, table, key)}: [{table}]{f' {key}' if key else ''}"


def file_and_line(path: Path, text: str, table: str, key: str | None = None) -> str:
    """`art.toml:2`, the line where a table or one of its keys begins; only the file if it is not written there."""
    line = _line_number(text, table, key)
    return f"{path}:{line}" if line else str(path)


def _line_number(text: str, table: str, key: str | None) -> int | None:
    """The line where a table or key begins; None if it is not written.

    tomllib gives no positions. But the first lines of a TOML file are TOML themselves, unless a value continues on the
    next line. The first such prefix that has the key ends where the key's value ends; the key begins after the last
    prefix without it.
    """
    lines, start = text.splitlines(), 1
    for number in range(1, len(lines) + 1):
        try:
            tables = tomllib.loads("\n".join(lines[:number]) + "\n")
        except tomllib.TOMLDecodeError:
            continue
        content = tables.get(table)
        if content is not None and (key is None or (isinstance(content, dict) and key in content)):
            return start
        start = number + 1
    return None
