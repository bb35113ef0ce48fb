"""RUN/stats.jsonl: a training's figures, an interval a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from curate.system.files import atomic_write, canonical_json, check_not_special_file
from train.errors import RunError

STATS_FILE = "stats.jsonl"


class StatsLog:
    """RUN/stats.jsonl: one line an interval, with the mean of each figure over the steps that had it."""

    def __init__(self, run: Path, step: int) -> None:
        """Go on after `step`: see `take_back`."""
        self.path = run / STATS_FILE
        self.path.touch()
        self.discard_after(step)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Its lines, as `read`."""
        return read_stats(self.path)

    def discard_after(self, step: int) -> None:
        """Forget what came after `step`: a sitting that was killed, or steps that shall be done again."""
        self.pending_figures: list[Mapping[str, Any]] = []
        with atomic_write(self.path) as file:
            file.writelines(canonical_json(row) + b"\n" for row in self.rows() if row["step"] <= step)

    def add(self, figures: Mapping[str, Any]) -> None:
        """Count one step's figures in; they are not waited for, so that a GPU need not stop after each step."""
        self.pending_figures.append(figures)

    def take_means(self) -> dict[str, float]:
        """Means of the steps since the last line, each over the steps that had the figure; the next interval begins."""
        found: dict[str, list[float]] = {}
        for figures in self.pending_figures:
            for name, value in figures.items():
                found.setdefault(name, []).append(float(value))
        self.pending_figures = []
        return {name: sum(values) / len(values) for name, values in found.items()}

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a line."""
        with self.path.open("ab") as file:
            file.write(canonical_json(row) + b"\n")


def read_stats(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a stats.jsonl, but for one that a kill cut short; one by one, as a week's are half a million.

    Raises RunError for a whole line that is none, DamagedError if it is no file.
    """
    check_not_special_file(path)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if row := _row(line):
                yield row
            elif line.endswith(b"\n"):
                raise RunError(f"{path}, line {number}, is damaged: delete the line to go on")


def _row(line: bytes) -> dict[str, Any] | None:
    """A line of stats.jsonl; None for what is none, as after a kill."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None
