"""What a training leaves to look at: figures in stats.jsonl, alarms, sample grids, TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

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
from train.model.trained_model import generate_colors
from train.training import alarms
from train.training.stats import StatsLog, StatsRow
from train.training.tensorboard_log import TensorBoardLog
from train.training.validation_pairs import FixedPairs

PAIRS_PER_SAMPLE_GRID = 6


class SampleGrids:
    """Grids of the same few pairs at every snapshot: the first of the split, whose order in the shards is a shuffle."""

    def __init__(self, run: Path, pairs: Pairs, target: str) -> None:
        self.folder = run / "samples"
        self.folder.mkdir(exist_ok=True)
        self.batch = fixed_batch(pairs, list(range(min(PAIRS_PER_SAMPLE_GRID, len(pairs)))), target=target)
        colors = pairs.index.colors
        self.tags = np.stack([swap_color(row, pairs.vocabulary, colors) for row in np.asarray(self.batch.tags)])

    def draw(self, generator: Any, clock: TrainingClock) -> Any:
        """Write RUN/samples/STEP.png: coloured without tags, as tagged, with a colour swapped, and the truths.

        Returns the grid, (height, width, 3) uint8.
        """
        batch = self.batch
        tag_rows = (tf.zeros_like(batch.tags), batch.tags, tf.constant(self.tags))
        fakes = [generate_colors(generator, batch, tags) for tags in tag_rows]
        grid = grids.draw_grid([np.asarray(batch.lines), *fakes, np.asarray(batch.colors)], grids.SAMPLE_COLUMNS)
        grids.save_png(self.folder / f"{clock.step:09d}.png", grid)
        return grid

    def discard_after(self, step: int) -> None:
        """Delete grids of steps after `step`."""
        for path in self.folder.glob("*.png"):
            if path.stem.isdecimal() and int(path.stem) > step:
                path.unlink()


def swap_color(row: Any, vocabulary: list[str], colors: tags.ColorTagParts) -> Any:
    """A multi-hot row (vocabulary,) with one colour swapped: see train.data.tags.swap_color."""
    return tags.multi_hot(tags.swap_color(tags.tags_from_multi_hot(row, vocabulary), colors)[0], vocabulary)


class TrainingMonitor:
    """Writes figures, alarms, sample grids and TensorBoard logs, and knows the best snapshot.

    Alarms and the best snapshot follow from the rows of stats.jsonl alone.
    """

    def __init__(self, run: Path, clock: TrainingClock, config: Config, pairs: Pairs) -> None:
        """Continue at a clock; the fixed pairs are the first of `pairs`."""
        self.run, self.config = run, config
        self.stats, self.tensorboard = StatsLog(run, clock.step), TensorBoardLog(run, asdict(config))
        self.samples, self.fixed_pairs = SampleGrids(run, pairs, config.target), FixedPairs(pairs, config.target)
        self.rewind(clock)

    def rewind(self, clock: TrainingClock) -> None:
        """Go back to a snapshot: delete rows and grids of later steps, and read the earlier rows again."""
        self.stats.discard_after(clock.step)
        self.samples.discard_after(clock.step)
        self.alarm_state = alarms.AlarmState()
        self.last_row: StatsRow | None = None
        self.snapshot_scores: list[tuple[float, int]] = []
        """(the config's `best_by` figure, step) of each snapshot's row."""
        for row in self.stats.rows():
            self._note(row)

    def _note(self, row: StatsRow) -> None:
        self.alarm_state, self.last_row = self.alarm_state.after_row(row, self.config.adversary), row
        score = row.get("validation_l1") if self.config.best_by == "l1" else row.get("validation_ciede2000")
        if score is not None:
            self.snapshot_scores.append((score, row["step"]))

    def add(self, figures: Mapping[str, Any]) -> None:
        """Add one step's figures to the interval."""
        self.stats.add(figures)

    def end_interval(self, clock: TrainingClock, rate: float, average: Any | None) -> dict[str, float]:
        """Write an interval's figures and alarms to stats.jsonl and TensorBoard, and return the figures.

        They are means over the interval's steps and, if a generator `average` is given, its validation figures.
        Raises NotFiniteError, and writes nothing, if a figure is NaN or infinite.
        """
        figures = self.stats.take_means() | (self.fixed_pairs.figures(average) if average is not None else {})
        if not_finite := [name for name, value in figures.items() if not math.isfinite(value)]:
            raise NotFiniteError(clock.step, not_finite[0])
        seen, times = {"step": clock.step, "images_seen": clock.images_seen}, {"rate": rate, "elapsed": clock.elapsed}
        row = cast("StatsRow", seen | figures | times)
        self._note(row)
        raised = alarms.row_alarms(self.alarm_state, clock.step, clock.nan)
        self.stats.write({**row, "alarms": raised})
        self.tensorboard.scalars(clock, {**figures, "rate": rate}, raised)
        return figures

    def draw_samples(self, clock: TrainingClock, gan: Gan) -> None:
        """Write a sample grid to RUN/samples and TensorBoard, and histograms of the weights to TensorBoard."""
        self.tensorboard.image(clock, "samples", self.samples.draw(gan.averaged_generator, clock))
        models = {"generator": gan.generator}
        if gan.discriminator is not None:
            models["discriminator"] = gan.discriminator
        self.tensorboard.weight_histograms(clock, models)

    def best_step(self) -> int | None:
        """Step of the best kept snapshot, which has the lowest `best_by` figure; the earliest of equals."""
        latest = self.last_row["step"] if self.last_row else None  # its snapshot may be about to be written
        steps = (step for _, step in sorted(self.snapshot_scores))
        return next((step for step in steps if step == latest or snapshot_path(self.run, step).exists()), None)

    def result(self, clock: TrainingClock) -> dict[str, Any]:
        """The last row without its time and alarms, the best step, and the verdict, which TensorBoard shows as well."""
        verdict = alarms.verdict(self.alarm_state, clock.nan)
        self.tensorboard.text(clock, "verdict", verdict)
        figures = {name: value for name, value in (self.last_row or {}).items() if name not in {"elapsed", "alarms"}}
        return {**figures, "best_step": self.best_step(), "verdict": verdict}
