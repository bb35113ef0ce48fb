"""A trained generator as a run folder holds it: saved, loaded, asked for colours."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from curate.contract import read_vocabulary
from curate.system.files import atomic_write
from curate.system.hashing import sha256_file
from train.config import CONFIG_FILE, Config, config_from_json, read_run_config
from train.data.batches import Batch, white_outside
from train.errors import RunError
from train.model import networks, snapshots
from train.model.layers import CUSTOM_LAYERS

MODEL_FILE = "model.keras"
BEST_MODEL_FILE = "best.keras"
RUN_VOCABULARY_FILE = "vocabulary.txt"
KERAS_ARCHIVE_MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
"""What Keras stores a model as."""


@dataclass(frozen=True)
class TrainedModel:
    """What a run folder says of its model, and the model."""

    model: keras.Model
    config: Config
    size: int
    """Side of the pairs it was trained on, px."""
    colors: dict[str, list[str]]
    """Colour tags of the vocabulary as [colour, noun]."""
    vocabulary: list[str]


def save_model(run: Path, model: keras.Model, name: str = MODEL_FILE) -> None:
    """RUN/`name`, by rename, so that no reader meets half of it."""
    whole = run / f".{name}"  # Keras writes to a path of its own ending only, and neither syncs nor renames
    try:
        model.save(whole)
        with atomic_write(run / name) as file:
            file.write(whole.read_bytes())
    finally:
        whole.unlink(missing_ok=True)


def split_model_path(run: Path) -> tuple[Path, str]:
    """A run folder and the name of its model: RUN means RUN/model.keras, the last.

    RUN/best.keras may be given too, and RUN/snapshots/STEP.npz.
    """
    if run.suffix == ".npz":
        return run.parent.parent, f"{run.parent.name}/{run.name}"
    return (run.parent, run.name) if run.suffix == ".keras" else (run, MODEL_FILE)


def load_trained(run: Path) -> TrainedModel:
    """Open a run folder, or one of its models.

    Raises RunError if it is not there yet, is damaged, or not of this run, or if safe mode refuses it.
    """
    folder, name = split_model_path(run)
    if not (folder / name).is_file() or not (folder / CONFIG_FILE).is_file():
        raise RunError(
            f"{folder} holds no {name}: run `train fit SHARDS {folder}` to its end, or name one of its snapshots"
        )
    told = read_run_config(folder)
    vocabulary = _vocabulary(folder, told)
    config = config_from_json(told["config"])
    snapshot = name.endswith(".npz")
    model = _snapshot(folder / name, config, told["size"], len(vocabulary)) if snapshot else _model(folder / name)
    inputs = [tuple(one.shape[1:]) for one in model.inputs]
    if inputs != [(told["size"], told["size"], 1), (len(vocabulary),)]:
        raise RunError(f"{folder / name} is no model of this run's pairs and tags: train again")
    return TrainedModel(model, config, told["size"], told["colors"], vocabulary)


def _vocabulary(run: Path, told: Mapping[str, Any]) -> list[str]:
    path = run / RUN_VOCABULARY_FILE
    if not path.is_file() or told.get("vocabulary") not in {None, sha256_file(path)}:
        raise RunError(f"{path} is not the training's: copy its shards' tags.txt there")
    return read_vocabulary(run, RUN_VOCABULARY_FILE)


def _model(path: Path) -> keras.Model:
    try:
        _check_memory_claims(path)
        model = keras.saving.load_model(path, custom_objects=CUSTOM_LAYERS, compile=False, safe_mode=True)
    except Exception as error:  # noqa: BLE001  # of damaged bytes Keras, zipfile, h5py and json raise what they will
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise RunError(f"{path} cannot be loaded ({said}): train again") from None
    if not isinstance(model, keras.Model) or not model.built:
        raise RunError(f"{path} holds no model: train again")
    return model


def _snapshot(path: Path, config: Config, size: int, vocabulary: int) -> keras.Model:
    """The average that a snapshot holds, as RUN/model.keras would be if the training had ended there."""
    config = replace(config, precision="float32")
    with keras.StatelessScope(initialize_variables=False):
        shapes = [weight.shape for weight in networks.generator(config, size, vocabulary).weights]
    names = [f"average/{place:03d}" for place in range(len(shapes))]
    _, arrays = snapshots.read_snapshot(path, names)
    if [arrays[name].shape for name in names if name in arrays] != shapes:
        raise RunError(f"{path} is no snapshot of this run: take one of its own")
    model = networks.generator(config, size, vocabulary)
    model.set_weights([arrays[name] for name in names])
    return model


def _check_memory_claims(path: Path) -> None:
    """Raise ValueError for a model that would take more memory than its file has bytes, as a stranger's may.

    Its layers are made without their weights, which are then counted.
    """
    with zipfile.ZipFile(path) as archive:
        if {one.filename for one in archive.infolist()} != KERAS_ARCHIVE_MEMBERS or len(archive.infolist()) != len(
            KERAS_ARCHIVE_MEMBERS
        ):
            raise ValueError(f"it holds other files than {', '.join(sorted(KERAS_ARCHIVE_MEMBERS))}")
        if sum(one.file_size for one in archive.infolist()) > path.stat().st_size:
            raise ValueError("it is packed, which `train` never does")
        layers = json.loads(archive.read("config.json"))
    with keras.StatelessScope(initialize_variables=False):
        model = keras.saving.deserialize_keras_object(layers, custom_objects=CUSTOM_LAYERS, safe_mode=True)
        if 4 * sum(math.prod(weight.shape) for weight in model.weights) > path.stat().st_size:
            raise ValueError("its layers have more weights than it holds")


def generate_colors(generator: Any, batch: Batch, tags: Any) -> npt.NDArray[np.float32]:
    """Colours for the batch's lines and tags (b, vocabulary): (b, size, size, 3) in [-1, 1], white outside the box."""
    inputs = [keras.ops.convert_to_tensor(one, "float32") for one in (batch.lines, tags)]
    fakes = generator(inputs, training=False)
    return np.asarray(white_outside(fakes, batch.mask), np.float32)
