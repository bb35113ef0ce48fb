"""RUN/stats.jsonl: the figures of a training, one line for each interval of `log_every` steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Required, TypedDict, cast

from curate.system.files import atomic_write, canonical_json, check_not_special_file
from train.errors import RunError

STATS_FILE = "stats.jsonl"


class StatsRow(TypedDict, total=False):
    """A line of stats.jsonl: an interval's end, and the mean of each figure over the steps that had it.

    The first four keys and `alarms` are always written; reading checks `step` only. Which figures there are depends
    on the config and the kind of step. The validation figures come with each snapshot.
    """

    step: Required[int]
    images_seen: int
    elapsed: float
    """Seconds of training."""
    rate: float
    """Share of their peak at which the learning rates were."""
    alarms: list[str]
    """Names of train.training.alarms that are raised."""
    l1: float
    mse: float
    log: float
    """Pixel losses, of which a config has one."""
    generator: float
    """Adversarial loss of the generator."""
    discriminator: float
    """Adversarial loss of the discriminator."""
    real_logits: float
    """Mean logit of reals."""
    fake_logits: float
    """Mean logit of fakes."""
    accuracy: float
    """Share of logits with the right sign, 0 to 1."""
    penalty: float
    """Gradient penalty, before its weight."""
    named: float
    """Auxiliary loss of the colour tags, before its weight."""
    validation_l1: float
    """Absolute error on the fixed pairs, 0 to 1."""
    validation_ciede2000: float
    """Mean colour difference on the fixed pairs."""
    validation_chroma: float
    """Chroma of the fixed pairs as a share of the truths'."""
    validation_diversity: float
    """Spread of hues among the fixed pairs as a share of the truths'."""


class StatsLog:
    """Writes RUN/stats.jsonl."""

    def __init__(self, run: Path, step: int) -> None:
        """Continue after `step`: see `discard_after`."""
        self.path = run / STATS_FILE
        self.path.touch()
        self.discard_after(step)

    def rows(self) -> Iterator[StatsRow]:
        """The rows written so far, see `read_stats`."""
        return read_stats(self.path)

    def discard_after(self, step: int) -> None:
        """Delete rows after `step`, left by a killed process or by steps that will be repeated."""
        self.pending_figures: list[Mapping[str, Any]] = []
        with atomic_write(self.path) as file:
            file.writelines(canonical_json(row) + b"\n" for row in self.rows() if row["step"] <= step)

    def add(self, figures: Mapping[str, Any]) -> None:
        """Add one step's figures to the interval, without waiting for their values, so that a GPU need not stop."""
        self.pending_figures.append(figures)

    def take_means(self) -> dict[str, float]:
        """Mean of each figure over the interval's steps that had it; the next interval starts."""
        values_by_name: dict[str, list[float]] = {}
        for figures in self.pending_figures:
            for name, value in figures.items():
                values_by_name.setdefault(name, []).append(float(value))
        self.pending_figures = []
        return {name: sum(values) / len(values) for name, values in values_by_name.items()}

    def write(self, row: StatsRow) -> None:
        """Append a row."""
        with self.path.open("ab") as file:
            file.write(canonical_json(row) + b"\n")


def read_stats(path: Path) -> Iterator[StatsRow]:
    """Rows of a stats.jsonl, one at a time, since a week of training writes half a million.

    A last line that a kill cut short is skipped. Raises RunError for any other line that is not a row, DamagedError if
    `path` is not a regular file.
    """
    check_not_special_file(path)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if row := _parse_row(line):
                yield row
            elif line.endswith(b"\n"):
                raise RunError(f"{path}, line {number}, is damaged: delete the line to go on")


def _parse_row(line: bytes) -> StatsRow | None:
    """The row of a line, None if it is not one."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("StatsRow", row) if isinstance(row, dict) and isinstance(row.get("step"), int) else None
