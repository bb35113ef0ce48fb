"""One sitting of a training: batch after batch, interval after interval, back after a NaN."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from train.config import Config
from train.data.batches import Choices, training_batches
from train.data.pairs import Pairs
from train.errors import NotFiniteError, RunError
from train.model import snapshots
from train.model.gan import Gan
from train.model.snapshots import Clock
from train.training.callbacks import Watch
from train.training.schedule import Length, kind, pace, rate

LOWER = 0.5  # what the rates are lowered to after a NaN
BACK = 3  # times that a run goes back: what an eighth of the rates does not mend is another fault


@dataclass(frozen=True)
class Sitting:
    """One call of fit, ready to train."""

    run: Path
    config: Config
    length: Length
    gan: Gan
    pairs: Pairs
    choices: Choices
    watch: Watch
    tell: Callable[..., None]

    def train(self, clock: Clock) -> Clock:
        """From a clock to the end. Raises NotFiniteError where a figure or a weight is no number."""
        config, began, share, kept = self.config, time.monotonic() - clock.elapsed, 0.0, clock.step
        done = 0.0
        for batch in training_batches(self.pairs, config.batch_size, self.choices, clock.step):
            step = clock.step
            if step % config.accumulate == 0:  # else gradients are pending, which no snapshot holds
                done = self.length.progress(clock)
            if done >= 1:
                break
            share = rate(config, step, done) * LOWER ** len(clock.nan)
            moves = (step + 1) % config.accumulate == 0
            self.watch.add(self.gan.step(batch, pace(config, step, done), share, kind(config, step, done), moves))
            seen = clock.images_seen + config.batch_size
            clock = replace(clock, step=step + 1, images_seen=seen, elapsed=time.monotonic() - began)
            if clock.step % config.snapshot_every == 0:
                kept = self.keep(clock, share)
            elif clock.step % config.log_every == 0:
                self.tell(self.length.progress(clock), clock, self.watch.interval(clock, share, None))
        if kept != clock.step:
            self.keep(clock, share)
        return clock

    def keep(self, clock: Clock, share: float) -> int:
        """End an interval with a look at the pictures, and write a snapshot; returns its step.

        What a kill leaves unfinished is done again from the snapshot before, so the snapshot is written last.
        """
        state = snapshots.finite(clock.step, self.gan.state())
        self.tell(self.length.progress(clock), clock, self.watch.interval(clock, share, self.gan.average))
        self.watch.draw(clock, self.gan)
        snapshots.save(self.run, clock, state, self.wanted(clock))
        return clock.step

    def wanted(self, clock: Clock) -> set[int]:
        """Steps whose snapshots are kept, beside the last three: the best, and one an interval."""
        best = self.watch.best()
        spread = snapshots.spread(clock.step, self.config.keep_every, self.config.snapshot_every)
        return spread if best is None else spread | {best}

    def back(self, fault: NotFiniteError) -> Clock:
        """The last snapshot, loaded, and written again with the fault on its clock, so that a kill does not forget it.

        Raises RunError once it has been so three times.
        """
        clock = snapshots.load(snapshots.found(self.run)[-1], self.gan.state())
        if len(clock.nan) >= BACK:
            raise RunError(
                f"{fault}, though the rates were halved {BACK} times before (at steps "
                f"{', '.join(map(str, clock.nan))}): start over with --fresh and a lower --set learning_rate=R"
            )
        clock = replace(clock, nan=(*clock.nan, fault.step))
        self.watch.take_back(clock)
        snapshots.save(self.run, clock, self.gan.state(), self.wanted(clock))
        return clock
