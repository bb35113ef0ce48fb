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

from curate.contract import ShardIndex, find_file_faults, read_vocabulary
from curate.system import lock
from train.config import Config
from train.data.batches import BatchOptions
from train.data.pairs import Pairs, line_style_indices, open_index
from train.errors import NotFiniteError, RunError
from train.model import networks, snapshots, trained
from train.model.devices import TF_CONFIG_VARIABLE, TrainingDevices, assign_cores_to_parts
from train.model.devices import open_devices as devices_of
from train.model.gan import ColorTags, Gan
from train.model.snapshots import TrainingClock
from train.training.monitor import TrainingMonitor
from train.training.run_folder import delete_partial_files, prepare_run_folder
from train.training.schedule import TrainingLength
from train.training.training_loop import TrainingLoop


def device_names() -> list[str]:
    """GPUs by name, or the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus] or ["CPU"]


def has_gpu() -> bool:
    """Whether TensorFlow finds a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def check_shards(shards: Path, on_bytes: Callable[[int], None] | None = None) -> None:
    """Compare every byte with the index, before an hour is spent on damaged data; `tell` hears of bytes done.

    Raises NurieError.
    """
    faults = find_file_faults(shards, open_index(shards), on_bytes)
    if faults:
        raise RunError(
            f"{faults[0]}{f' and {len(faults) - 1} more faults' if faults[1:] else ''}: run `curate shard` again"
        )


def build_gan(config: Config, shards: Path) -> Gan:
    """Both networks and their optimizers, initialised by the config's seed."""
    keras.utils.set_random_seed(config.seed)
    size, vocabulary = open_index(shards).size, len(read_vocabulary(shards))
    _check_pair_size(config, size)
    line_style_indices(open_index(shards), config.line_styles)
    colors = color_tags(open_index(shards).colors, read_vocabulary(shards))
    generator = networks.generator(config, size, vocabulary)
    judges = config.adversary != "none"
    judge = networks.discriminator(config, size, vocabulary, len(colors.indices)) if judges else None
    return Gan(config, generator, judge, colors)


def color_tags(colors: Mapping[str, Sequence[str]], vocabulary: Sequence[str]) -> ColorTags:
    """Where a vocabulary's colour tags are, and which of them are of one noun."""
    places = [place for place, tag in enumerate(vocabulary) if tag in colors]
    nouns = np.array([colors[vocabulary[place]][1] for place in places])
    return ColorTags(np.array(places, np.int32), (nouns[:, None] == nouns[None]).astype(np.float32))


def describe(config: Config, shards: Path) -> dict[str, Any]:
    """What a training would be: devices, resolved config, parameters, pairs."""
    gan, index = build_gan(config, shards), open_index(shards)
    judge = gan.discriminator.count_params() if gan.discriminator is not None else 0
    parameters = {"generator": gan.generator.count_params(), "discriminator": judge}
    return {"devices": device_names(), "config": asdict(config), "parameters": parameters, "pairs": dict(index.pairs)}


def enable_determinism() -> None:
    """Have TensorFlow do the same twice alike, from now on."""
    tf.config.experimental.enable_op_determinism()
    # it joins the gradients of a tensor used in several places to one sum, whose order was seen to vary from run to run
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


def fit(
    shards: Path,
    run: Path,
    config: Config,
    length: TrainingLength,
    *,
    fresh: bool = False,
    on_progress: Callable[..., None],
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
    enable_determinism()
    assign_cores_to_parts(config.effective_parts if devices == 1 and TF_CONFIG_VARIABLE not in os.environ else 1)
    crew = devices_of(devices)
    _check_devices(crew, config, length, open_index(shards))  # raises before the run folder holds the config
    with _locked(run) if crew.is_chief else nullcontext():
        if crew.is_chief:
            prepare_run_folder(shards, run, config, fresh=fresh)
        crew.barrier()
        with crew.output_folder(run) as folder:
            if not crew.is_chief:
                prepare_run_folder(shards, folder, config, fresh=False)
            delete_partial_files(folder)
            result = _train(crew, shards, run, folder, config, length, on_progress)
            crew.barrier()  # a worker that left while the chief still writes would be taken for one that crashed
    return result


@contextmanager
def _locked(run: Path) -> Iterator[None]:
    run.mkdir(parents=True, exist_ok=True)
    with lock.exclusive(run):
        yield


def _train(
    crew: TrainingDevices,
    shards: Path,
    run: Path,
    folder: Path,
    config: Config,
    length: TrainingLength,
    tell: Callable[..., None],
) -> dict[str, Any]:
    """Train from the last snapshot of `run`, writing to `folder`."""
    with crew.scope():
        gan = build_gan(config, shards)
    with closing(Pairs(shards, "train")) as pairs:
        clock = _resume(run, folder, gan)
        watch = TrainingMonitor(folder, clock, config, Pairs(shards, "validation") or pairs)
        choices = BatchOptions.from_config(config, crew.worker, crew.workers)
        sitting = TrainingLoop(folder, config, length, gan, pairs, choices, watch, tell)
        snapshots.delete_old_snapshots(folder, sitting.kept_steps(clock))  # a kill may have come before it
        while True:
            try:
                clock = sitting.run_to_end(clock)
                break
            except NotFiniteError as fault:
                clock = sitting.roll_back(fault)
            except tf.errors.OpError:
                if pairs.read_error:  # met by a thread of TensorFlow's
                    raise pairs.read_error from None
                raise
    trained.save_model(folder, gan.averaged_generator)
    result = watch.result(clock)
    if crew.is_chief:
        _save_best(folder, gan, result["best_step"])
    return {**result, "step": clock.step, "images_seen": clock.images_seen, "elapsed": round(clock.elapsed, 1)}


def _check_devices(crew: TrainingDevices, config: Config, length: TrainingLength, index: ShardIndex) -> None:
    count = crew.strategy.num_replicas_in_sync
    if config.batch_size % count:
        raise RunError(f"a batch of {config.batch_size} is not shared by {count} devices alike: --set batch_size=N")
    if crew.workers > 1 and length.steps is None:
        raise RunError("the clocks of several machines differ: give --steps N in place of --minutes")
    line_style_indices(index, config.line_styles)
    _check_pair_size(config, index.size)


def _check_pair_size(config: Config, size: int) -> None:
    times = config.levels + bool(config.half_until)
    if size % 2**times or size % 16:
        raise RunError(f"pairs of {size} px cannot be halved {times} times: --set levels=N or extract with --size")


def _resume(run: Path, folder: Path, gan: Gan) -> TrainingClock:
    """The last snapshot of `run`, loaded; at first one of the initial weights is written, to be gone back to.

    A worker that writes to a folder of its own keeps there what it began with.
    """
    found = snapshots.list_snapshots(run)
    clock = snapshots.restore(found[-1], gan.state()) if found else TrainingClock()
    if not found or folder != run:
        snapshots.save(folder, clock, gan.state())
    return clock


def _save_best(run: Path, gan: Gan, step: int | None) -> None:
    """RUN/best.keras, the average as the best snapshot has it."""
    if step is None:
        return
    best = keras.models.clone_model(gan.averaged_generator)
    _, arrays = snapshots.read_snapshot(snapshots.snapshot_path(run, step))
    for place, weight in enumerate(best.weights):
        weight.assign(arrays[f"average/{place:03d}"])
    trained.save_model(run, best, trained.BEST_MODEL_FILE)
