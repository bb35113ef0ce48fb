"""Where a training runs: this machine's one device, several of them, or several machines that TF_CONFIG names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tensorflow as tf

from curate.system.hashing import usable_cores
from train.errors import RunError

TF_CONFIG_VARIABLE = "TF_CONFIG"
"""The variable in which TensorFlow looks for the other machines, and for which of them this is."""


@dataclass(frozen=True)
class TrainingDevices:
    """The devices of a training, and this process's place among its workers."""

    strategy: tf.distribute.Strategy
    worker: int = 0
    workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.worker == 0

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Variables made in the block are on every device, with the same values."""
        with self.strategy.scope(), tf.variable_creator_scope(_alike):
            yield

    @contextmanager
    def output_folder(self, run: Path) -> Iterator[Path]:
        """The folder that this process writes to: the run's, or of other workers than the chief one thrown away."""
        if self.is_chief:
            yield run
            return
        with TemporaryDirectory(prefix="nurie-worker-") as folder:
            yield Path(folder)

    def barrier(self) -> None:
        """Wait until every worker is here."""
        if self.workers > 1:
            one = tf.function(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.ones(())))
            self.strategy.run(one)


def assign_cores_to_parts(parts: int) -> None:
    """Have each of so many parts of a batch keep to cores of its own, as long as TensorFlow has not begun.

    Else every operation is shared by all cores, which then wait for one another: slower, and else the same.
    """
    if parts > 1:
        with suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(max(1, usable_cores() // parts))
            tf.config.threading.set_inter_op_parallelism_threads(usable_cores())


def open_devices(count: int = 1) -> TrainingDevices:
    """`count` devices of this machine; or all of all machines, where TF_CONFIG names some.

    To be called before TensorFlow does anything. Raises RunError for more devices than there are, or a TF_CONFIG that
    cannot be read.
    """
    if os.environ.get(TF_CONFIG_VARIABLE):
        if count > 1:
            raise RunError(f"with {TF_CONFIG_VARIABLE} every GPU of each machine is used: leave out --devices")
        return _workers()
    if count == 1:
        return TrainingDevices(tf.distribute.get_strategy())
    return TrainingDevices(tf.distribute.MirroredStrategy(_devices(count)))


def _workers() -> TrainingDevices:
    try:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        cluster = resolver.cluster_spec().as_dict()
        kinds = {kind: len(cluster.get(kind, [])) for kind in ("chief", "worker")}
        worker = resolver.task_id + (kinds["chief"] if resolver.task_type == "worker" else 0)
        if resolver.task_type not in kinds or not worker < sum(kinds.values()):
            raise ValueError(f"no {resolver.task_type} {resolver.task_id}")  # told below
    except (ValueError, TypeError, AttributeError) as error:
        raise RunError(
            f"{TF_CONFIG_VARIABLE} is not what TensorFlow reads ({error}): see .github/docs/training.md"
        ) from None
    strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    return TrainingDevices(strategy, worker, sum(kinds.values()))


def _devices(count: int) -> list[str]:
    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) >= count:
        return [f"GPU:{number}" for number in range(count)]
    if gpus:
        raise RunError(f"there are {len(gpus)} GPUs: give --devices {len(gpus)} or less")
    try:  # the CPU in parts: nothing is gained, but that the road of several devices can be tried anywhere
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise RunError(f"TensorFlow has begun with fewer than {count} devices: start anew") from None
    return [f"CPU:{number}" for number in range(count)]


def _alike(make: Callable[..., Any], **given: Any) -> Any:
    """Where a layer assigns a variable of its own in a step, as spectral norm does, the first device's value holds."""
    if given.get("aggregation") in {None, tf.VariableAggregation.NONE}:
        given["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return make(**given)
