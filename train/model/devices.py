"""Where a training runs: on one device of this machine, on several, or on the machines that TF_CONFIG names."""

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
"""Environment variable that tells TensorFlow the addresses of all machines, and which of them this one is."""


@dataclass(frozen=True)
class TrainingDevices:
    """The devices of a training, and the number of this process among its workers."""

    strategy: tf.distribute.Strategy
    worker: int = 0
    """Number of this process, from 0: the chief."""
    workers: int = 1
    """Number of processes, one on each machine."""

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes the run folder."""
        return self.worker == 0

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Create the variables made in the block on every device, with equal values."""
        with self.strategy.scope(), tf.variable_creator_scope(_first_device_assigns):
            yield

    @contextmanager
    def output_folder(self, run: Path) -> Iterator[Path]:
        """The folder this process writes to: the run folder for the chief, a temporary one for other workers."""
        if self.is_chief:
            yield run
            return
        with TemporaryDirectory(prefix="nurie-worker-") as folder:
            yield Path(folder)

    def barrier(self) -> None:
        """Wait until every worker has called this."""
        if self.workers > 1:
            count_devices = tf.function(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.ones(())))
            self.strategy.run(count_devices)


def assign_cores_to_parts(parts: int) -> None:
    """Give each part of a batch its own CPU cores; no effect once TensorFlow has started.

    By default all cores share every operation and wait for one another, which is slower and gives the same results.
    """
    if parts > 1:
        with suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(max(1, usable_cores() // parts))
            tf.config.threading.set_inter_op_parallelism_threads(usable_cores())


def open_devices(count: int = 1) -> TrainingDevices:
    """`count` devices of this machine, or every device of all machines if TF_CONFIG is set.

    Call it before TensorFlow does anything else. Raises RunError if there are fewer devices, or if TF_CONFIG cannot be
    read.
    """
    if os.environ.get(TF_CONFIG_VARIABLE):
        if count > 1:
            raise RunError(f"{TF_CONFIG_VARIABLE} is set, so every GPU of each machine is used: leave out --devices")
        return _workers()
    if count == 1:
        return TrainingDevices(tf.distribute.get_strategy())
    return TrainingDevices(tf.distribute.MirroredStrategy(_devices(count)))


def _workers() -> TrainingDevices:
    try:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        cluster = resolver.cluster_spec().as_dict()
        counts = {role: len(cluster.get(role, [])) for role in ("chief", "worker")}
        worker = resolver.task_id + (counts["chief"] if resolver.task_type == "worker" else 0)
        if resolver.task_type not in counts or not worker < sum(counts.values()):
            raise ValueError(f"no {resolver.task_type} {resolver.task_id}")  # reported below
    except (ValueError, TypeError, AttributeError) as error:
        message = f"{TF_CONFIG_VARIABLE} cannot be read ({error})"
        form = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": N}}'
        raise RunError(f"{message}: write it as {form}, see .github/docs/training.md") from None
    strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    return TrainingDevices(strategy, worker, sum(counts.values()))


def _devices(count: int) -> list[str]:
    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) >= count:
        return [f"GPU:{number}" for number in range(count)]
    if gpus:
        raise RunError(f"this machine has {len(gpus)} GPUs: give --devices {len(gpus)} or less")
    try:  # divide the CPU: no faster, but training on several devices can be tried on any machine
        devices = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise RunError(f"TensorFlow has started with fewer than {count} devices: start a new process") from None
    return [f"CPU:{number}" for number in range(count)]


def _first_device_assigns(create: Callable[..., Any], **options: Any) -> Any:
    """Create a variable; if layers assign it in a step, as spectral norm does, the first device's value counts."""
    if options.get("aggregation") in {None, tf.VariableAggregation.NONE}:
        options["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return create(**options)
