"""Train: prepare the run folder, build or restore the networks, run the loop, save the models."""

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
from train.model import networks, snapshots, trained_model
from train.model.devices import TF_CONFIG_VARIABLE, TrainingDevices, assign_cores_to_parts, open_devices
from train.model.gan import ColorTags, Gan
from train.model.snapshots import TrainingClock
from train.training.monitor import TrainingMonitor
from train.training.run_folder import delete_partial_files, prepare_run_folder
from train.training.schedule import TrainingLength
from train.training.training_loop import TrainingLoop


def device_names() -> list[str]:
    """Names of the GPUs, or `CPU`."""
    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus] or ["CPU"]


def has_gpu() -> bool:
    """Whether TensorFlow finds a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def check_shards(shards: Path, on_bytes: Callable[[int], None] | None = None) -> None:
    """Compare all bytes of a shard folder with its index, so that no hour is spent on damaged data.

    `on_bytes` is called with the number of bytes read. Raises RunError if anything differs.
    """
    faults = find_file_faults(shards, open_index(shards), on_bytes)
    if faults:
        more = f" and {len(faults) - 1} more faults" if faults[1:] else ""
        raise RunError(f"{faults[0]}{more}: run `curate shard` again")


def build_gan(config: Config, shards: Path) -> Gan:
    """Both networks and their optimizers, initialised from the config's seed."""
    keras.utils.set_random_seed(config.seed)
    index, vocabulary = open_index(shards), read_vocabulary(shards)
    _check_pair_size(config, index.size)
    line_style_indices(index, config.line_styles)
    colors = color_tags(index.colors, vocabulary)
    generator = networks.generator(config, index.size, len(vocabulary))
    discriminator = None
    if config.adversary != "none":
        discriminator = networks.discriminator(config, index.size, len(vocabulary), len(colors.indices))
    return Gan(config, generator, discriminator, colors)


def color_tags(colors: Mapping[str, Sequence[str]], vocabulary: Sequence[str]) -> ColorTags:
    """The colour tags of a vocabulary, from each one's (colour, noun)."""
    indices = [index for index, tag in enumerate(vocabulary) if tag in colors]
    nouns = np.array([colors[vocabulary[index]][1] for index in indices])
    return ColorTags(np.array(indices, np.int32), (nouns[:, None] == nouns[None]).astype(np.float32))


def describe(config: Config, shards: Path) -> dict[str, Any]:
    """What a training would be: its devices, config, numbers of parameters and of pairs."""
    gan, index = build_gan(config, shards), open_index(shards)
    discriminator_size = gan.discriminator.count_params() if gan.discriminator is not None else 0
    parameters = {"generator": gan.generator.count_params(), "discriminator": discriminator_size}
    return {"devices": device_names(), "config": asdict(config), "parameters": parameters, "pairs": dict(index.pairs)}


def enable_determinism() -> None:
    """Make TensorFlow compute equal results from equal inputs, for the rest of the process."""
    tf.config.experimental.enable_op_determinism()
    # it merges the gradients of a tensor used in several places into one sum, in an order that varied between runs
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
    """Train until `length`, resuming from the last snapshot in `run`. Returns the last figures and a verdict.

    `fresh` deletes an earlier run there. `on_progress(progress, clock, figures)` is called once an interval.

    With `accumulate`, training ends at the next update of the weights. Several devices, on this machine or on those
    that TF_CONFIG names, share every batch. Their number is not a setting of the run and may change when it resumes.

    If a figure or a weight is NaN or infinite, the training returns to the last snapshot and continues at half the
    learning rates, up to three times.

    Raises RunError if three times are not enough, if the run folder belongs to another config or other shards, or if
    the devices cannot share the batch or the length; DamagedError if a pair is damaged; NurieError if another process
    is writing the run folder.
    """
    enable_determinism()
    assign_cores_to_parts(config.effective_parts if devices == 1 and TF_CONFIG_VARIABLE not in os.environ else 1)
    training_devices = open_devices(devices)
    is_chief = training_devices.is_chief
    _check_devices(training_devices, config, length, open_index(shards))  # before the run folder holds the config
    with _locked(run) if is_chief else nullcontext():
        if is_chief:
            prepare_run_folder(shards, run, config, fresh=fresh)
        training_devices.barrier()
        with training_devices.output_folder(run) as folder:
            if not is_chief:
                prepare_run_folder(shards, folder, config, fresh=False)
            delete_partial_files(folder)
            result = _train(training_devices, shards, run, folder, config, length, on_progress)
            training_devices.barrier()  # a worker that ends while the chief still writes would count as crashed
    return result


@contextmanager
def _locked(run: Path) -> Iterator[None]:
    run.mkdir(parents=True, exist_ok=True)
    with lock.exclusive(run):
        yield


def _train(
    devices: TrainingDevices,
    shards: Path,
    run: Path,
    folder: Path,
    config: Config,
    length: TrainingLength,
    on_progress: Callable[..., None],
) -> dict[str, Any]:
    """Train from the last snapshot of `run`, and write to `folder`."""
    with devices.scope():
        gan = build_gan(config, shards)
    with closing(Pairs(shards, "train")) as pairs:
        clock = _resume(run, folder, gan)
        monitor = TrainingMonitor(folder, clock, config, Pairs(shards, "validation") or pairs)
        options = BatchOptions.from_config(config, devices.worker, devices.workers)
        loop = TrainingLoop(folder, config, length, gan, pairs, options, monitor, on_progress)
        snapshots.delete_old_snapshots(folder, loop.kept_steps(clock))  # an earlier process may have died before it did
        clock = _run_with_rollbacks(loop, clock)
    trained_model.save_model(folder, gan.averaged_generator)
    result = monitor.result(clock)
    if devices.is_chief:
        _save_best_model(folder, gan, result["best_step"])
    return {**result, "step": clock.step, "images_seen": clock.images_seen, "elapsed": round(clock.elapsed, 1)}


def _run_with_rollbacks(loop: TrainingLoop, clock: TrainingClock) -> TrainingClock:
    """Run the loop to its end, going back to the last snapshot after every NotFiniteError."""
    while True:
        try:
            return loop.run_to_end(clock)
        except NotFiniteError as error:
            clock = loop.roll_back(error)
        except tf.errors.OpError:
            if loop.pairs.read_error:  # raised inside TensorFlow's input pipeline, which hides its type
                raise loop.pairs.read_error from None
            raise


def _check_devices(devices: TrainingDevices, config: Config, length: TrainingLength, index: ShardIndex) -> None:
    count = devices.strategy.num_replicas_in_sync
    if config.batch_size % count:
        raise RunError(
            f"a batch of {config.batch_size} cannot be shared equally by {count} devices: --set batch_size=N"
        )
    if devices.workers > 1 and length.steps is None:
        raise RunError("the clocks of several machines differ: give --steps N instead of --minutes")
    line_style_indices(index, config.line_styles)
    _check_pair_size(config, index.size)


def _check_pair_size(config: Config, size: int) -> None:
    times = config.levels + bool(config.half_until)
    if size % 2**times or size % 16:
        raise RunError(f"pairs of {size} px cannot be halved {times} times: --set levels=N or extract with --size")


def _resume(run: Path, folder: Path, gan: Gan) -> TrainingClock:
    """Restore the last snapshot of `run`; without one, write a first snapshot, to have one to return to.

    A worker that writes to a folder of its own also writes there the snapshot it starts from.
    """
    paths = snapshots.list_snapshots(run)
    clock = snapshots.restore(paths[-1], gan.state()) if paths else TrainingClock()
    if not paths or folder != run:
        snapshots.save(folder, clock, gan.state())
    return clock


def _save_best_model(run: Path, gan: Gan, step: int | None) -> None:
    """Write RUN/best.keras, the averaged generator of the best snapshot; nothing if there is none."""
    if step is None:
        return
    model = keras.models.clone_model(gan.averaged_generator)
    _, arrays = snapshots.read_snapshot(snapshots.snapshot_path(run, step))
    for number, weight in enumerate(model.weights):
        weight.assign(arrays[f"average/{number:03d}"])
    trained_model.save_model(run, model, trained_model.BEST_MODEL_FILE)
