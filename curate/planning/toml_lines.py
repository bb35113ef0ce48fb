"""Where a table or key of a TOML file is written: file and line, for errors."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from curate.system.errors import RecipeError


def parse(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a TOML file, and what it says. Raises RecipeError, naming file and line, if it is none."""
    try:
        text = path.read_text("utf-8")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        told, _, place = str(error).partition(" (at ")
        found = re.search(r"line (\d+)", place)
        line = found[1] if found else len(path.read_text("utf-8").splitlines())
        raise RecipeError(f"{path}:{line}: {told}: see https://toml.io for how it is written") from None


def locate(path: Path, text: str, table: str, key: str | None = None) -> str:
    """File, line, table and key, as an error names them."""
    line = _line(text, table, key)
    return f"{path}{f':{line}' if line else ''}: [{table}]{f' {key}' if key else ''}"


def _line(text: str, table: str, key: str | None) -> int | None:
    """The line where a table, or a key of it, begins; None if it is not written.

    tomllib tells no lines, but a text cut after a line is TOML where no value goes on in the next: the first such cut
    that has the key is where the key ends, and it begins after the cut before.
    """
    lines, begins = text.splitlines(), 1
    for number in range(1, len(lines) + 1):
        try:
            tables = tomllib.loads("\n".join(lines[:number]) + "\n")
        except tomllib.TOMLDecodeError:
            continue
        found = tables.get(table)
        if found is not None and (key is None or (isinstance(found, dict) and key in found)):
            return begins
        begins = number + 1
    return None
