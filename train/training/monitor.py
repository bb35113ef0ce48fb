"""What a training leaves to look at: figures (`stats`), grids of fixed pictures, TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from train.coloring import grids
from train.config import Config
from train.data import tags
from train.data.batches import fixed_batch
from train.data.pairs import Pairs
from train.errors import NotFiniteError
from train.model.gan import Gan
from train.model.snapshots import TrainingClock, snapshot_path
from train.model.trained import generate_colors
from train.training import alarms
from train.training.fixed_pairs import FixedPairs
from train.training.stats import StatsLog
from train.training.tensorboard_log import TensorBoardLog

PAIRS_PER_SAMPLE_GRID = 6  # pictures in a sample grid


class SampleGrids:
    """The same few pictures coloured again and again, chosen by the order of the shards, which is a shuffle."""

    def __init__(self, run: Path, pairs: Pairs, target: str) -> None:
        self.folder = run / "samples"
        self.folder.mkdir(exist_ok=True)
        self.batch = fixed_batch(pairs, list(range(min(PAIRS_PER_SAMPLE_GRID, len(pairs)))), target=target)
        colors = pairs.index.colors
        self.tags = np.stack([swapped(row, pairs.vocabulary, colors) for row in np.asarray(self.batch.tags)])

    def draw(self, generator: Any, clock: TrainingClock) -> Any:
        """Write RUN/samples/STEP.png; returns it, (height, width, 3) uint8."""
        batch = self.batch
        without = tf.zeros_like(batch.tags)
        made = [generate_colors(generator, batch, one) for one in (without, batch.tags, tf.constant(self.tags))]
        sheet = grids.draw_grid([np.asarray(batch.lines), *made, np.asarray(batch.colors)], grids.SAMPLE_COLUMNS)
        grids.save_png(self.folder / f"{clock.step:09d}.png", sheet)
        return sheet

    def discard_after(self, step: int) -> None:
        """Remove what was drawn after `step`."""
        for path in self.folder.glob("*.png"):
            if path.stem.isdecimal() and int(path.stem) > step:
                path.unlink()


def swapped(row: Any, vocabulary: list[str], colors: tags.ColorTagParts) -> Any:
    """A multi-hot row with its colour exchanged, as train.data.tags.swap_color does."""
    return tags.multi_hot(tags.swap_color(tags.tags_from_multi_hot(row, vocabulary), colors)[0], vocabulary)


class TrainingMonitor:
    """All that a training leaves to look at, fed from one place. Of equal rows it makes equal alarms and bests."""

    def __init__(self, run: Path, clock: TrainingClock, config: Config, pairs: Pairs) -> None:
        """`pairs`: those that the fixed ones are taken from."""
        self.run, self.config = run, config
        self.stats, self.tensorboard = StatsLog(run, clock.step), TensorBoardLog(run, asdict(config))
        self.samples, self.fixed_pairs = SampleGrids(run, pairs, config.target), FixedPairs(pairs, config.target)
        self.rewind(clock)

    def rewind(self, clock: TrainingClock) -> None:
        """Go on from a snapshot's step: what was left of later ones is removed."""
        self.stats.discard_after(clock.step)
        self.samples.discard_after(clock.step)
        self.alarm_state, self.last_row = alarms.AlarmState(), dict[str, Any]()
        self.snapshot_scores: list[tuple[float, int]] = []
        """(figure, step) of the rows that have the config's `best_by`."""
        for row in self.stats.rows():
            self._note(row)

    def _note(self, row: dict[str, Any]) -> None:
        self.alarm_state, self.last_row = self.alarm_state.after_row(row, self.config.adversary), row
        if (figure := row.get(f"validation_{self.config.best_by}")) is not None:
            self.snapshot_scores.append((figure, row["step"]))

    def add(self, figures: Mapping[str, Any]) -> None:
        """Count one step's figures in."""
        self.stats.add(figures)

    def end_interval(self, clock: TrainingClock, rate: float, average: Any | None) -> dict[str, float]:
        """End an interval: its means, with figures of the fixed pairs if `average` is a generator to look at.

        They and the alarms go to stats.jsonl and TensorBoard. Raises NotFiniteError, and writes nothing, if one is no
        number.
        """
        figures = self.stats.take_means() | (self.fixed_pairs.figures(average) if average is not None else {})
        if odd := [name for name, value in figures.items() if not math.isfinite(value)]:
            raise NotFiniteError(clock.step, odd[0])
        row = {"step": clock.step, "images_seen": clock.images_seen, **figures, "rate": rate, "elapsed": clock.elapsed}
        self._note(row)
        raised = alarms.row_alarms(self.alarm_state, clock.step, clock.nan)
        self.stats.write({**row, "alarms": raised})
        self.tensorboard.scalars(clock, {**figures, "rate": rate}, raised)
        return figures

    def draw_samples(self, clock: TrainingClock, gan: Gan) -> None:
        """Colour the fixed pictures, into RUN/samples and TensorBoard; there, weights too."""
        self.tensorboard.image(clock, "samples", self.samples.draw(gan.averaged_generator, clock))
        judge = {"discriminator": gan.discriminator} if gan.discriminator is not None else {}
        self.tensorboard.weight_histograms(clock, {"generator": gan.generator, **judge})

    def best_step(self) -> int | None:
        """The step, of those whose snapshot is kept, with the least of the config's `best_by`; the first of equals."""
        latest = self.last_row.get("step")  # its snapshot may be about to be written
        return next(
            (
                step
                for _, step in sorted(self.snapshot_scores)
                if step == latest or snapshot_path(self.run, step).exists()
            ),
            None,
        )

    def result(self, clock: TrainingClock) -> dict[str, Any]:
        """The last row's figures, but for those of time, the best step and the verdict, which TensorBoard shows too."""
        words = alarms.verdict(self.alarm_state, clock.nan)
        self.tensorboard.text(clock, "verdict", words)
        shown = {name: value for name, value in self.last_row.items() if name not in {"elapsed", "alarms"}}
        return {**shown, "best_step": self.best_step(), "verdict": words}
