"""TensorBoard logs in RUN/logs: figures, sample grids, weights, and the config as text and hyperparameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from train.model.snapshots import TrainingClock
from train.training import alarms
from train.training.validation_pairs import VALIDATION_FIGURES


class TensorBoardLog:
    """Writes RUN/logs. TensorBoard's steps are pairs seen, so that runs of different batch sizes compare."""

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:
        self.writer = tf.summary.create_file_writer(str(run / "logs"))
        with self.writer.as_default(step=0):
            tf.summary.text("config", "\n".join(f"    {key} = {value}" for key, value in config.items()))
            # the hyperparameter page shows the last value of each metric
            hparams.hparams_config(hparams=[], metrics=[hparams.Metric(name) for name in VALIDATION_FIGURES])
            hparams.hparams(dict(config), trial_id=run.name)

    def scalars(self, clock: TrainingClock, figures: Mapping[str, float], raised: Iterable[str]) -> None:
        """Add a point to the curve of each figure and of each alarm, which is 1 while raised, else 0."""
        signals = {f"alarms/{name}": float(name in set(raised)) for name in alarms.ALARM_NAMES}
        with self.writer.as_default(step=clock.images_seen):
            for name, value in {**figures, **signals}.items():
                tf.summary.scalar(name, value)

    def image(self, clock: TrainingClock, name: str, rgb: Any) -> None:
        """Add an RGB picture (height, width, 3) uint8."""
        with self.writer.as_default(step=clock.images_seen):
            tf.summary.image(name, rgb[None])
        self.writer.flush()

    def weight_histograms(self, clock: TrainingClock, models: Mapping[str, Any]) -> None:
        """Add a histogram of each kernel under its network's name; biases and scales hold too few numbers for one."""
        with self.writer.as_default(step=clock.images_seen):
            for network, model in models.items():
                for weight in model.trainable_weights:
                    if len(weight.shape) > 1:
                        tf.summary.histogram(f"{network}/{weight.path}", weight)
        self.writer.flush()

    def text(self, clock: TrainingClock, name: str, line: str) -> None:
        """Add a line of text."""
        with self.writer.as_default(step=clock.images_seen):
            tf.summary.text(name, line)
        self.writer.flush()
