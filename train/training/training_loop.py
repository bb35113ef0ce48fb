"""One sitting of a training: batch after batch, interval after interval, back after a NaN."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from train.config import Config
from train.data.batches import BatchOptions, training_batches
from train.data.pairs import Pairs
from train.errors import NotFiniteError, RunError
from train.model import snapshots
from train.model.gan import Gan
from train.model.snapshots import TrainingClock
from train.training.monitor import TrainingMonitor
from train.training.schedule import TrainingLength, learning_rate_factor, step_kind, step_settings

RATE_FACTOR_AFTER_NAN = 0.5  # what the rates are lowered to after a NaN
MAX_ROLLBACKS = 3  # times that a run goes back: what an eighth of the rates does not mend is another fault


@dataclass(frozen=True)
class TrainingLoop:
    """One call of fit, ready to train."""

    run: Path
    config: Config
    length: TrainingLength
    gan: Gan
    pairs: Pairs
    options: BatchOptions
    monitor: TrainingMonitor
    on_progress: Callable[..., None]

    def run_to_end(self, clock: TrainingClock) -> TrainingClock:
        """From a clock to the end. Raises NotFiniteError where a figure or a weight is no number."""
        config, began, share, kept = self.config, time.monotonic() - clock.elapsed, 0.0, clock.step
        done = 0.0
        for batch in training_batches(self.pairs, config.batch_size, self.options, clock.step):
            step = clock.step
            if step % config.accumulate == 0:  # else gradients are pending, which no snapshot holds
                done = self.length.progress(clock)
            if done >= 1:
                break
            share = learning_rate_factor(config, step, done) * RATE_FACTOR_AFTER_NAN ** len(clock.nan)
            moves = (step + 1) % config.accumulate == 0
            self.monitor.add(
                self.gan.step(batch, step_settings(config, step, done), share, step_kind(config, step, done), moves)
            )
            seen = clock.images_seen + config.batch_size
            clock = replace(clock, step=step + 1, images_seen=seen, elapsed=time.monotonic() - began)
            if clock.step % config.snapshot_every == 0:
                kept = self.save_snapshot(clock, share)
            elif clock.step % config.log_every == 0:
                self.on_progress(self.length.progress(clock), clock, self.monitor.end_interval(clock, share, None))
        if kept != clock.step:
            self.save_snapshot(clock, share)
        return clock

    def save_snapshot(self, clock: TrainingClock, share: float) -> int:
        """End an interval with a look at the pictures, and write a snapshot; returns its step.

        What a kill leaves unfinished is done again from the snapshot before, so the snapshot is written last.
        """
        state = snapshots.check_finite(clock.step, self.gan.state())
        self.on_progress(
            self.length.progress(clock), clock, self.monitor.end_interval(clock, share, self.gan.averaged_generator)
        )
        self.monitor.draw_samples(clock, self.gan)
        snapshots.save(self.run, clock, state, self.kept_steps(clock))
        return clock.step

    def kept_steps(self, clock: TrainingClock) -> set[int]:
        """Steps whose snapshots are kept, beside the last three: the best, and one an interval."""
        best = self.monitor.best_step()
        spread = snapshots.history_steps(clock.step, self.config.keep_every, self.config.snapshot_every)
        return spread if best is None else spread | {best}

    def roll_back(self, fault: NotFiniteError) -> TrainingClock:
        """The last snapshot, loaded, and written again with the fault on its clock, so that a kill does not forget it.

        Raises RunError once it has been so three times.
        """
        clock = snapshots.restore(snapshots.list_snapshots(self.run)[-1], self.gan.state())
        if len(clock.nan) >= MAX_ROLLBACKS:
            raise RunError(
                f"{fault}, though the rates were halved {MAX_ROLLBACKS} times before (at steps "
                f"{', '.join(map(str, clock.nan))}): start over with --fresh and a lower --set learning_rate=R"
            )
        clock = replace(clock, nan=(*clock.nan, fault.step))
        self.monitor.rewind(clock)
        snapshots.save(self.run, clock, self.gan.state(), self.kept_steps(clock))
        return clock
