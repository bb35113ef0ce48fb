"""Config -> data -> model -> fit -> run folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from curate.contract import ShardIndex, check_files, read_vocabulary
from curate.system import lock
from train.config import Config
from train.data.batches import Choices
from train.data.pairs import Pairs, open_index, style_places
from train.errors import NotFiniteError, RunError
from train.model import networks, snapshots, trained
from train.model.devices import MACHINES, Crew, side_by_side
from train.model.devices import crew as devices_of
from train.model.gan import ColorTags, Gan
from train.model.snapshots import Clock
from train.training.callbacks import Watch
from train.training.folder import clear_torn, prepare
from train.training.intervals import Sitting
from train.training.schedule import Length


def devices() -> list[str]:
    """GPUs by name, or the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus] or ["CPU"]


def has_gpu() -> bool:
    """Whether TensorFlow finds a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def check_shards(shards: Path, tell: Callable[[int], None] | None = None) -> None:
    """Compare every byte with the index, before an hour is spent on damaged data; `tell` hears of bytes done.

    Raises NurieError.
    """
    faults = check_files(shards, open_index(shards), tell)
    if faults:
        raise RunError(
            f"{faults[0]}{f' and {len(faults) - 1} more faults' if faults[1:] else ''}: run `curate shard` again"
        )


def build(config: Config, shards: Path) -> Gan:
    """Both networks and their optimizers, initialised by the config's seed."""
    keras.utils.set_random_seed(config.seed)
    size, vocabulary = open_index(shards).size, len(read_vocabulary(shards))
    _halves(config, size)
    style_places(open_index(shards), config.line_styles)
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


def steadily() -> None:
    """Have TensorFlow do the same twice alike, from now on."""
    tf.config.experimental.enable_op_determinism()
    # it joins the gradients of a tensor used in several places to one sum, whose order was seen to vary from run to run
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


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
    """Train until `length`, going on from the last snapshot; returns the last figures and a verdict.

    With `accumulate` it goes on until the weights move next. Several devices, here or on the machines of TF_CONFIG,
    share every batch; how many there are is no setting of the run, which may go on with others.

    `tell(progress, clock, figures)` is called once an interval. Where a figure or a weight is no number, the training
    is taken back to the last snapshot and goes on at half the rates, three times. Raises RunError if that is not
    enough, if the run folder is of another config, or of other shards, and for a batch or length that the devices
    cannot share; DamagedError for a pair that is not what was written, NurieError if another run is writing the folder.
    """
    steadily()
    side_by_side(config.apart if devices == 1 and MACHINES not in os.environ else 1)
    crew = devices_of(devices)
    _fits(crew, config, length, open_index(shards))  # raises before the run folder holds the config
    with _held(run) if crew.chief else nullcontext():
        if crew.chief:
            prepare(shards, run, config, fresh=fresh)
        crew.meet()
        with crew.own(run) as folder:
            if not crew.chief:
                prepare(shards, folder, config, fresh=False)
            clear_torn(folder)
            result = _train(crew, shards, run, folder, config, length, tell)
            crew.meet()  # a worker that left while the chief still writes would be taken for one that crashed
    return result


@contextmanager
def _held(run: Path) -> Iterator[None]:
    run.mkdir(parents=True, exist_ok=True)
    with lock.alone(run):
        yield


def _train(
    crew: Crew, shards: Path, run: Path, folder: Path, config: Config, length: Length, tell: Callable[..., None]
) -> dict[str, Any]:
    """Train from the last snapshot of `run`, writing to `folder`."""
    with crew.scope():
        gan = build(config, shards)
    with closing(Pairs(shards, "train")) as pairs:
        clock = _resume(run, folder, gan)
        watch = Watch(folder, clock, config, Pairs(shards, "validation") or pairs)
        choices = Choices.of(config, crew.worker, crew.workers)
        sitting = Sitting(folder, config, length, gan, pairs, choices, watch, tell)
        snapshots.thin(folder, sitting.wanted(clock))  # a kill may have come before it
        while True:
            try:
                clock = sitting.train(clock)
                break
            except NotFiniteError as fault:
                clock = sitting.back(fault)
            except tf.errors.OpError:
                if pairs.fault:  # met by a thread of TensorFlow's
                    raise pairs.fault from None
                raise
    trained.save(folder, gan.average)
    result = watch.result(clock)
    if crew.chief:
        _save_best(folder, gan, result["best_step"])
    return {**result, "step": clock.step, "images_seen": clock.images_seen, "elapsed": round(clock.elapsed, 1)}


def _fits(crew: Crew, config: Config, length: Length, index: ShardIndex) -> None:
    count = crew.strategy.num_replicas_in_sync
    if config.batch_size % count:
        raise RunError(f"a batch of {config.batch_size} is not shared by {count} devices alike: --set batch_size=N")
    if crew.workers > 1 and length.steps is None:
        raise RunError("the clocks of several machines differ: give --steps N in place of --minutes")
    style_places(index, config.line_styles)
    _halves(config, index.size)


def _halves(config: Config, size: int) -> None:
    times = config.levels + bool(config.half_until)
    if size % 2**times or size % 16:
        raise RunError(f"pairs of {size} px cannot be halved {times} times: --set levels=N or extract with --size")


def _resume(run: Path, folder: Path, gan: Gan) -> Clock:
    """The last snapshot of `run`, loaded; at first one of the initial weights is written, to be gone back to.

    A worker that writes to a folder of its own keeps there what it began with.
    """
    found = snapshots.found(run)
    clock = snapshots.load(found[-1], gan.state()) if found else Clock()
    if not found or folder != run:
        snapshots.save(folder, clock, gan.state())
    return clock


def _save_best(run: Path, gan: Gan, step: int | None) -> None:
    """RUN/best.keras, the average as the best snapshot has it."""
    if step is None:
        return
    best = keras.models.clone_model(gan.average)
    _, arrays = snapshots.read(snapshots.at(run, step))
    for place, weight in enumerate(best.weights):
        weight.assign(arrays[f"average/{place:03d}"])
    trained.save(run, best, trained.BEST)
