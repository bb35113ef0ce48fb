"""Config -> data -> model -> fit -> run folder."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from curate.contract import check_files, read_vocabulary
from train import networks, snapshots, trained
from train.callbacks import Watch
from train.config import Config
from train.data import Choices, Pairs, open_index, style_places, training_batches
from train.errors import NotFiniteError, RunError
from train.folder import prepare
from train.gan import ColorTags, Gan, Pace
from train.snapshots import Clock

LOWER = 0.5  # what the rates are lowered to after a NaN
BACK = 3  # times that a run goes back: what an eighth of the rates does not mend is another fault


@dataclass(frozen=True)
class Length:
    """How long to train: a number of steps, or minutes of wall time over all sittings."""

    steps: int | None = None
    minutes: float | None = None

    def progress(self, clock: Clock) -> float:
        """Share of the training that is done, 0 to 1."""
        if self.steps is not None:
            return min(1.0, clock.step / self.steps)
        return min(1.0, clock.elapsed / (60 * (self.minutes or math.inf)))


def devices() -> list[str]:
    """GPUs by name, or the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus] or ["CPU"]


def has_gpu() -> bool:
    """Whether TensorFlow finds a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def check_shards(shards: Path) -> None:
    """Compare every byte with the index, before an hour is spent on damaged data. Raises NurieError."""
    faults = check_files(shards, open_index(shards))
    if faults:
        raise RunError(
            f"{faults[0]}{f' and {len(faults) - 1} more faults' if faults[1:] else ''}: run `curate shard` again"
        )


def build(config: Config, shards: Path) -> Gan:
    """Both networks and their optimizers, initialised by the config's seed."""
    keras.utils.set_random_seed(config.seed)
    size, vocabulary = open_index(shards).size, len(read_vocabulary(shards))
    style_places(open_index(shards), config.line_styles)
    if size % 2**config.levels or size % 16:
        raise RunError(
            f"pairs of {size} px cannot be halved {config.levels} times: --set levels=N or extract with --size"
        )
    colors = color_tags(open_index(shards).colors, read_vocabulary(shards))
    generator = networks.generator(config, size, vocabulary)
    judges = config.adversary != "none"
    judge = networks.discriminator(config, size, vocabulary, len(colors.places)) if judges else None
    return Gan(config, generator, judge, colors)


def color_tags(colors: Mapping[str, Sequence[str]], vocabulary: Sequence[str]) -> ColorTags:
    """Where a vocabulary's colour tags are, and which of them are of one noun."""
    places = [place for place, tag in enumerate(vocabulary) if tag in colors]
    nouns = np.array([colors[vocabulary[place]][1] for place in places])
    return ColorTags(np.array(places, np.int32), (nouns[:, None] == nouns[None]).astype(np.float32))


def describe(config: Config, shards: Path) -> dict[str, Any]:
    """What a training would be: devices, resolved config, parameters, pairs."""
    gan, index = build(config, shards), open_index(shards)
    judge = gan.discriminator.count_params() if gan.discriminator is not None else 0
    parameters = {"generator": gan.generator.count_params(), "discriminator": judge}
    return {"devices": devices(), "config": asdict(config), "parameters": parameters, "pairs": dict(index.pairs)}


def fit(
    shards: Path, run: Path, config: Config, length: Length, *, fresh: bool = False, tell: Callable[..., None]
) -> dict[str, Any]:
    """Train until `length`, going on from the last snapshot; returns the last figures and a verdict.

    `tell(progress, clock, figures)` is called once an interval. Where a figure or a weight is no number, the training
    is taken back to the last snapshot and goes on at half the rates, three times. Raises RunError if that is not
    enough, or if the run folder is of another config, or of other shards.
    """
    tf.config.experimental.enable_op_determinism()
    gan, pairs = build(config, shards), Pairs(shards, "train")  # raises before the run folder holds its config
    prepare(shards, run, config, fresh=fresh)
    clock = _resume(run, gan)
    watch = Watch(run, clock, config, Pairs(shards, "validation") or pairs)
    sitting = Sitting(run, config, length, gan, pairs, watch, tell)
    snapshots.thin(run, sitting.wanted(clock))  # a kill may have come before it
    while True:
        try:
            clock = sitting.train(clock)
            break
        except NotFiniteError as fault:
            clock = sitting.back(fault)
    trained.save(run, gan.average)
    result = watch.result(clock)
    _save_best(run, gan, result["best_step"])
    return {**result, "step": clock.step, "images_seen": clock.images_seen, "elapsed": round(clock.elapsed, 1)}


@dataclass(frozen=True)
class Sitting:
    """One call of fit, ready to train."""

    run: Path
    config: Config
    length: Length
    gan: Gan
    pairs: Pairs
    watch: Watch
    tell: Callable[..., None]

    def train(self, clock: Clock) -> Clock:
        """From a clock to the end. Raises NotFiniteError where a figure or a weight is no number."""
        config, began, share, kept = self.config, time.monotonic() - clock.elapsed, 0.0, clock.step
        for batch in training_batches(self.pairs, config.batch_size, Choices.of(config), clock.step):
            step, done = clock.step, self.length.progress(clock)
            if done >= 1:
                break
            share = rate(config, step, done) * LOWER ** len(clock.nan)
            self.watch.add(self.gan.step(batch, pace(config, step, done), share, kind(config, step, done)))
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


def rate(config: Config, step: int, progress: float) -> float:
    """Learning rate as a share of its peak: a linear warm-up, then half a cosine down to zero at the end."""
    return min(1.0, (step + 1) / max(1, config.warm_up_steps)) * (1 + math.cos(math.pi * progress)) / 2


def decay(config: Config, step: int) -> float:
    """Of the moving average: short at first, so that it does not remember the initial weights."""
    return min(config.average_decay, (1 + step) / (10 + step))


def pace(config: Config, step: int, progress: float) -> Pace:
    """What a step does otherwise than the one before."""
    since = max(0.0, progress - config.adversary_from) / max(1e-9, 1 - config.adversary_from)
    weight = config.loss_weight + (config.loss_weight_end - config.loss_weight) * since
    return Pace(np.float32(decay(config, step)), np.float32(weight), np.array([config.seed, step], np.int64))


def kind(config: Config, step: int, progress: float) -> str:
    """Which update a step is: `plain`, then with an adversary `both`, or but for one in `critic_steps` `critic`."""
    if config.adversary == "none" or progress < config.adversary_from:
        return "plain"
    return "critic" if (step + 1) % config.critic_steps else "both"


def _resume(run: Path, gan: Gan) -> Clock:
    """The last snapshot, loaded; at first one of the initial weights is written, to be gone back to."""
    if not snapshots.found(run):
        snapshots.save(run, Clock(), gan.state())
    return snapshots.load(snapshots.found(run)[-1], gan.state())


def _save_best(run: Path, gan: Gan, step: int | None) -> None:
    """RUN/best.keras, the average as the best snapshot has it."""
    if step is None:
        return
    best = keras.models.clone_model(gan.average)
    _, arrays = snapshots.read(snapshots.at(run, step))
    for place, weight in enumerate(best.weights):
        weight.assign(arrays[f"average/{place:03d}"])
    trained.save(run, best, trained.BEST)
