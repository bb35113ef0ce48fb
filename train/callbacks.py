"""What a training leaves to look at: stats.jsonl, TensorBoard, grids of fixed pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from curate.contract import atomic_write, canonical_json
from train import grids, tags
from train.data import Pairs, fixed_batch
from train.snapshots import Clock
from train.trained import colored

FIXED = 6  # pictures in a sample grid
TITLES = ("lines", "no tags", "true tags", "swapped tags", "truth")


class Stats:
    """RUN/stats.jsonl: one line an interval, with the mean of each figure over it."""

    def __init__(self, run: Path, step: int) -> None:
        """Go on after `step`: lines of later steps, of a sitting that was killed, are taken back."""
        self.path = run / "stats.jsonl"
        self.sums: dict[str, float] = {}
        self.count = 0
        lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if (row := _row(line)) and row["step"] <= step]
        with atomic_write(self.path) as file:
            file.write("".join(f"{line}\n" for line in kept).encode())

    def add(self, figures: Mapping[str, Any]) -> None:
        """Count one step's figures in."""
        self.count += 1
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)

    def write(self, clock: Clock, **more: float) -> dict[str, float]:
        """Append the interval's line and begin the next; `elapsed` and `seconds` are its only fields of time."""
        means = {name: total / self.count for name, total in self.sums.items()}
        row = {"step": clock.step, "images_seen": clock.images_seen, **means, **more, "elapsed": clock.elapsed}
        with self.path.open("ab") as file:
            file.write(canonical_json(row) + b"\n")
        self.sums, self.count = {}, 0
        return means


def _row(line: str) -> dict[str, Any] | None:
    """A line of stats.jsonl; None for one that a kill cut short."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return None


class Samples:
    """The same few pictures coloured again and again, chosen by the order of the shards, which is a shuffle."""

    def __init__(self, run: Path, pairs: Pairs, colors: tags.Colors) -> None:
        self.folder = run / "samples"
        self.folder.mkdir(exist_ok=True)
        self.batch = fixed_batch(pairs, list(range(min(FIXED, len(pairs)))))
        self.tags = np.stack([swapped(row, pairs.vocabulary, colors) for row in np.asarray(self.batch.tags)])

    def draw(self, generator: Any, clock: Clock) -> Any:
        """Write RUN/samples/STEP.png; returns it, (height, width, 3) uint8."""
        batch = self.batch
        without = tf.zeros_like(batch.tags)
        made = [colored(generator, batch, one) for one in (without, batch.tags, tf.constant(self.tags))]
        sheet = grids.grid([np.asarray(batch.lines), *made, np.asarray(batch.colors)], TITLES)
        grids.save_png(self.folder / f"{clock.step:09d}.png", sheet)
        return sheet


def swapped(row: Any, vocabulary: list[str], colors: tags.Colors) -> Any:
    """A multi-hot row with its colour exchanged, as train.tags.swap_color does."""
    return tags.multi_hot(tags.swap_color(tags.names(row, vocabulary), colors)[0], vocabulary)


class Board:
    """TensorBoard: scalars over images_seen, sample grids, the text of the config."""

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:
        self.writer = tf.summary.create_file_writer(str(run / "logs"))
        with self.writer.as_default(step=0):
            tf.summary.text("config", "\n".join(f"    {key} = {value}" for key, value in config.items()))

    def scalars(self, clock: Clock, figures: Mapping[str, float]) -> None:
        """One point a figure."""
        with self.writer.as_default(step=clock.images_seen):
            for name, value in figures.items():
                tf.summary.scalar(name, value)

    def image(self, clock: Clock, name: str, rgb: Any) -> None:
        """One RGB picture."""
        with self.writer.as_default(step=clock.images_seen):
            tf.summary.image(name, rgb[None])
        self.writer.flush()


class Watch:
    """All that a training leaves to look at, fed from one place."""

    def __init__(self, run: Path, clock: Clock, config: Mapping[str, Any], fixed: Pairs) -> None:
        self.stats, self.board = Stats(run, clock.step), Board(run, config)
        self.samples = Samples(run, fixed, fixed.index.colors)
        self.latest: dict[str, float] = {}
        """Figures of the last whole interval."""

    def add(self, figures: Mapping[str, Any]) -> None:
        """Count one step's figures in."""
        self.stats.add(figures)

    def interval(self, clock: Clock, **more: float) -> dict[str, float]:
        """End an interval: its means, written to stats.jsonl and TensorBoard."""
        self.latest = self.stats.write(clock, **more)
        self.board.scalars(clock, self.latest)
        return self.latest

    def draw(self, clock: Clock, generator: Any) -> None:
        """Colour the fixed pictures, into RUN/samples and TensorBoard."""
        self.board.image(clock, "samples", self.samples.draw(generator, clock))
