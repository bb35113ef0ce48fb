"""The training loop: batch after batch, snapshot after snapshot, and back to the last snapshot after a NaN."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from train.config import Config
from train.data.batches import BatchOptions, training_batches
from train.data.pairs import Pairs
from train.errors import NotFiniteError, RunError
from train.model import snapshots
from train.model.gan import Gan
from train.model.snapshots import TrainingClock
from train.training.monitor import TrainingMonitor
from train.training.schedule import TrainingLength, learning_rate_factor, step_kind, step_settings

RATE_FACTOR_AFTER_NAN = 0.5  # of the learning rates
MAX_ROLLBACKS = 3  # in a run: what an eighth of the rates does not cure has another cause


@dataclass(frozen=True)
class TrainingLoop:
    """One call of `fit`, ready to train."""

    run: Path
    """The folder to write to."""
    config: Config
    length: TrainingLength
    gan: Gan
    pairs: Pairs
    options: BatchOptions
    monitor: TrainingMonitor
    on_progress: Callable[..., None]
    """Called once an interval: see `fit`."""

    def run_to_end(self, clock: TrainingClock) -> TrainingClock:
        """Train from a clock to the end. Raises NotFiniteError if a figure or a weight is NaN or infinite."""
        config, start_time = self.config, time.monotonic() - clock.elapsed
        progress, rate, saved_step = 0.0, 0.0, clock.step
        for batch in training_batches(self.pairs, config.batch_size, self.options, clock.step):
            step = clock.step
            if step % config.accumulate == 0:  # else there are pending gradients, which no snapshot holds
                progress = self.length.progress(clock)
            if progress >= 1:
                break
            rate = learning_rate_factor(config, step, progress) * RATE_FACTOR_AFTER_NAN ** len(clock.nan)
            settings, kind = step_settings(config, step, progress), step_kind(config, step, progress)
            updates_weights = (step + 1) % config.accumulate == 0
            self.monitor.add(self.gan.step(batch, settings, rate, kind, updates_weights))
            images_seen = clock.images_seen + config.batch_size
            clock = replace(clock, step=step + 1, images_seen=images_seen, elapsed=time.monotonic() - start_time)
            if clock.step % config.snapshot_every == 0:
                saved_step = self.save_snapshot(clock, rate)
            elif clock.step % config.log_every == 0:
                self._end_interval(clock, rate, None)
        if saved_step != clock.step:
            self.save_snapshot(clock, rate)
        return clock

    def _end_interval(self, clock: TrainingClock, rate: float, average: Any | None) -> None:
        figures = self.monitor.end_interval(clock, rate, average)
        self.on_progress(self.length.progress(clock), clock, figures)

    def save_snapshot(self, clock: TrainingClock, rate: float) -> int:
        """End an interval with validation figures and samples, and write a snapshot. Returns its step.

        The snapshot is written last: after a kill before that, all of it is done again from the previous snapshot.
        """
        state = snapshots.check_finite(clock.step, self.gan.state())
        self._end_interval(clock, rate, self.gan.averaged_generator)
        self.monitor.draw_samples(clock, self.gan)
        snapshots.save(self.run, clock, state, self.kept_steps(clock))
        return clock.step

    def kept_steps(self, clock: TrainingClock) -> set[int]:
        """Steps of the snapshots that are kept besides the latest three: the best one and the history."""
        best = self.monitor.best_step()
        history = snapshots.history_steps(clock.step, self.config.keep_every, self.config.snapshot_every)
        return history if best is None else history | {best}

    def roll_back(self, error: NotFiniteError) -> TrainingClock:
        """Restore the last snapshot, and write it again with the error's step on its clock. Returns the clock.

        It is written again so that a killed training remembers to halve its rates. Raises RunError after three times.
        """
        clock = snapshots.restore(snapshots.list_snapshots(self.run)[-1], self.gan.state())
        if len(clock.nan) >= MAX_ROLLBACKS:
            steps = ", ".join(map(str, clock.nan))
            raise RunError(
                f"{error}, though the rates were halved {MAX_ROLLBACKS} times before (at steps {steps}): "
                "start over with --fresh and a lower --set learning_rate=R"
            )
        clock = replace(clock, nan=(*clock.nan, error.step))
        self.monitor.rewind(clock)
        snapshots.save(self.run, clock, self.gan.state(), self.kept_steps(clock))
        return clock
