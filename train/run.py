"""Config -> data -> model -> fit -> run folder."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from curate.contract import VOCABULARY, atomic_write, check_files, read_json, read_vocabulary, write_json
from train import networks, snapshots, trained
from train.callbacks import Watch
from train.config import Config
from train.data import Choices, Pairs, open_index, training_batches
from train.devices import Crew
from train.devices import crew as devices_of
from train.errors import RunError
from train.gan import ColorTags, Gan, Pace
from train.snapshots import Clock
from train.trained import CONFIG, TAGS

RUN_VERSION = 1


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
    shards: Path,
    run: Path,
    config: Config,
    length: Length,
    *,
    fresh: bool = False,
    tell: Callable[..., None],
    devices: int = 1,
) -> dict[str, Any]:
    """Train until `length`, going on from the last snapshot; returns the last figures.

    With `accumulate` it goes on until the weights move next. Several devices, here or on the machines of TF_CONFIG,
    share every batch; how many there are is no setting of the run, which may go on with others.

    `tell(progress, clock, figures)` is called once an interval. Raises RunError if the run folder is of another
    config, or of other shards, and for a batch or length that the devices cannot share.
    """
    tf.config.experimental.enable_op_determinism()
    crew = devices_of(devices)
    _fits(crew, config, length)
    if crew.chief:
        _prepare(shards, run, config, fresh)
    crew.meet()
    with crew.own(run) as folder:
        if not crew.chief:
            _prepare(shards, folder, config, fresh=False)
        result = _train(crew, shards, run, folder, config, length, tell)
        crew.meet()  # a worker that left while the chief still writes would be taken for one that crashed
    return result


def _train(
    crew: Crew, shards: Path, run: Path, folder: Path, config: Config, length: Length, tell: Callable[..., None]
) -> dict[str, Any]:
    """Train from the last snapshot of `run`, writing to `folder`."""
    with crew.scope():
        gan = build(config, shards)
    pairs = Pairs(shards, "train")
    clock = _resume(run, gan)
    watch = Watch(folder, clock, asdict(config), Pairs(shards, "validation") or pairs)
    shares = (config.tag_dropout, config.single_tag_dropout)
    choices = Choices(config.seed, config.flip, *shares, config.target, crew.worker, crew.workers)
    began = time.monotonic() - clock.elapsed
    done = 0.0
    for batch in training_batches(pairs, config.batch_size, choices, clock.step):
        if clock.step % config.accumulate == 0:  # else gradients are pending, which no snapshot holds
            done = length.progress(clock)
        if done >= 1:
            break
        share = rate(config, clock.step, done)
        moves = (clock.step + 1) % config.accumulate == 0
        watch.add(gan.step(batch, pace(config, clock.step, done), share, kind(config, clock.step, done), moves))
        clock = Clock(clock.step + 1, clock.images_seen + config.batch_size, time.monotonic() - began)
        if clock.step % config.log_every == 0:
            tell(length.progress(clock), clock, watch.interval(clock, rate=share))
        if clock.step % config.snapshot_every == 0:
            _keep(folder, clock, gan, watch)
    _keep(folder, clock, gan, watch)
    trained.save(folder, gan.average)
    return {"step": clock.step, "images_seen": clock.images_seen, "elapsed": round(clock.elapsed, 1), **watch.latest}


def _fits(crew: Crew, config: Config, length: Length) -> None:
    count = crew.strategy.num_replicas_in_sync
    if config.batch_size % count:
        raise RunError(f"a batch of {config.batch_size} is not shared by {count} devices alike: --set batch_size=N")
    if crew.workers > 1 and length.steps is None:
        raise RunError("the clocks of several machines differ: give --steps N in place of --minutes")


def _keep(run: Path, clock: Clock, gan: Gan, watch: Watch) -> None:
    snapshots.save(run, clock, gan.state())
    watch.draw(clock, gan.average)


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
    return Pace(
        np.float32(decay(config, step // config.accumulate)),
        np.float32(weight),
        np.array([config.seed, step], np.int64),
    )


def kind(config: Config, step: int, progress: float) -> str:
    """Which update a step is: `plain`, then with an adversary `both`, or but for one in `critic_steps` `critic`."""
    if config.adversary == "none" or progress < config.adversary_from:
        return "plain"
    return "critic" if (step // config.accumulate + 1) % config.critic_steps else "both"


def _prepare(shards: Path, run: Path, config: Config, fresh: bool) -> None:
    index = open_index(shards)
    wanted = {
        "version": RUN_VERSION,
        "config": asdict(config),
        "shards": index.options_hash,
        "size": index.size,
        "lines": list(index.lines),
        "colors": {tag: list(pair) for tag, pair in index.colors.items()},
        "pairs": dict(index.pairs),  # from here on, what a model that is handed on must tell of its data
        "licenses": dict(index.licenses),
        "attribution": list(index.attribution),
    }
    if fresh and (run / CONFIG).exists():
        shutil.rmtree(run)
    if (run / CONFIG).exists():
        _same(run, read_json(run / CONFIG), wanted)
        return
    if run.exists() and any(run.iterdir()):
        raise RunError(f"{run} holds other files: give a new or empty folder for the run")
    run.mkdir(parents=True, exist_ok=True)
    with atomic_write(run / TAGS) as file:
        file.write((shards / VOCABULARY).read_bytes())
    write_json(run / CONFIG, wanted)


def _same(run: Path, held: dict[str, Any], wanted: dict[str, Any]) -> None:
    if held.get("shards") != wanted["shards"]:
        raise RunError(f"{run} was trained on other shards: give another run folder, or --fresh to start over")
    mine, yours = held.get("config", {}), wanted["config"]
    if different := [key for key in yours if mine.get(key) != yours[key]]:
        was = ", ".join(f"{key}={mine.get(key)}" for key in different)
        raise RunError(f"{run} was begun with {was}: use the same settings, or --fresh to start over")


def _resume(run: Path, gan: Gan) -> Clock:
    found = snapshots.found(run)
    return snapshots.load(found[-1], gan.state()) if found else Clock()
