"""A trained generator as a run folder holds it: saved, loaded, asked for colours."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from curate.contract import atomic_write, read_json
from train.config import Config, from_json
from train.data import Batch, white_outside
from train.errors import RunError
from train.layers import FiLM

CONFIG = "config.json"
MODEL = "model.keras"
TAGS = "vocabulary.txt"


@dataclass(frozen=True)
class Trained:
    """What a run folder says of its model, and the model."""

    model: keras.Model
    config: Config
    size: int
    """Side of the pairs it was trained on, px."""
    colors: dict[str, list[str]]
    """Colour tags of the vocabulary as [colour, noun]."""
    vocabulary: list[str]


def save(run: Path, model: keras.Model) -> None:
    """RUN/model.keras, by rename, so that no reader meets half of it."""
    with tempfile.TemporaryDirectory() as folder, atomic_write(run / MODEL) as file:
        whole = Path(folder) / MODEL  # Keras writes to a path only, and neither syncs nor renames
        model.save(whole)
        file.write(whole.read_bytes())


def load(run: Path) -> Trained:
    """Open a run folder. Raises RunError if it has no model yet, or one that safe mode refuses."""
    if not (run / MODEL).is_file() or not (run / CONFIG).is_file():
        raise RunError(f"{run} holds no trained model: run `train fit SHARDS {run}` to its end")
    described = read_json(run / CONFIG)
    config = from_json(described["config"])
    try:
        known = {"nurie>FiLM": FiLM}  # the only layer that Keras does not bring
        model = keras.saving.load_model(run / MODEL, custom_objects=known, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError) as error:
        raise RunError(f"{run / MODEL} cannot be loaded ({str(error).splitlines()[0]}): train again") from None
    vocabulary = (run / TAGS).read_text("utf-8").splitlines()
    return Trained(model, config, described["size"], described["colors"], vocabulary)


def colored(generator: Any, batch: Batch, tags: Any) -> npt.NDArray[np.float32]:
    """Colours for the batch's lines and tags (b, vocabulary): (b, size, size, 3) in [-1, 1], white outside the box."""
    inputs = [keras.ops.convert_to_tensor(one, "float32") for one in (batch.lines, tags)]
    fakes = generator(inputs, training=False)
    return np.asarray(white_outside(fakes, batch.mask), np.float32)
