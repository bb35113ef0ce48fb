"""A trained generator in a run folder: save it, load it, generate colours with it."""

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

from curate.contract import read_vocabulary
from curate.system.files import atomic_write
from curate.system.hashing import sha256_file
from train.config import CONFIG_FILE, Config, config_from_json, read_run_config
from train.data.array_types import SignedPixels
from train.data.batches import Batch, white_outside
from train.errors import RunError
from train.model import networks, snapshots
from train.model.layers import CUSTOM_LAYERS

MODEL_FILE = "model.keras"
BEST_MODEL_FILE = "best.keras"
RUN_VOCABULARY_FILE = "vocabulary.txt"
KERAS_ARCHIVE_MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
"""Files in a .keras archive."""


@dataclass(frozen=True)
class TrainedModel:
    """A generator, with what its run folder states about it."""

    model: keras.Model
    """(lines, tags) -> colours: see train.model.networks.generator."""
    config: Config
    size: int
    """Side of the pairs it was trained on and takes, px."""
    colors: dict[str, list[str]]
    """The colour tags of the vocabulary, each with its [colour, noun]."""
    vocabulary: list[str]
    """Tags in the order of the model's input."""


def save_model(run: Path, model: keras.Model, name: str = MODEL_FILE) -> None:
    """Write the model to RUN/`name` atomically, so that no reader meets half of it."""
    temporary = run / f".{name}"  # Keras insists on its own suffix, and neither syncs nor renames
    try:
        model.save(temporary)
        with atomic_write(run / name) as file:
            file.write(temporary.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)


def split_model_path(run: Path) -> tuple[Path, str]:
    """A run folder and the name of a model in it. RUN means RUN/model.keras, the last one.

    RUN/best.keras and RUN/snapshots/STEP.npz are models too.
    """
    if run.suffix == ".npz":
        return run.parent.parent, f"{run.parent.name}/{run.name}"
    return (run.parent, run.name) if run.suffix == ".keras" else (run, MODEL_FILE)


def load_trained(run: Path) -> TrainedModel:
    """The model of a run folder, or one of its models named by path (see `split_model_path`).

    Raises RunError if the model does not exist yet, is damaged, does not fit the run, or fails Keras' safe mode.
    """
    folder, name = split_model_path(run)
    if not (folder / name).is_file() or not (folder / CONFIG_FILE).is_file():
        remedy = f"run `train fit SHARDS {folder}` to its end, or name one of its snapshots"
        raise RunError(f"{folder} holds no {name}: {remedy}")
    run_config = read_run_config(folder)
    vocabulary = _read_run_vocabulary(folder, run_config)
    config, size = config_from_json(run_config["config"]), run_config["size"]
    if name.endswith(".npz"):
        model = _load_snapshot(folder / name, config, size, len(vocabulary))
    else:
        model = _load_keras_model(folder / name)
    if [tuple(tensor.shape[1:]) for tensor in model.inputs] != [(size, size, 1), (len(vocabulary),)]:
        raise RunError(f"{folder / name} does not fit the pairs and tags of this run: train again")
    return TrainedModel(model, config, size, run_config["colors"], vocabulary)


def _read_run_vocabulary(run: Path, run_config: Mapping[str, Any]) -> list[str]:
    path = run / RUN_VOCABULARY_FILE
    if not path.is_file() or run_config.get("vocabulary") not in {None, sha256_file(path)}:
        raise RunError(f"{path} is not the vocabulary of this training: copy tags.txt of its shards there")
    return read_vocabulary(run, RUN_VOCABULARY_FILE)


def _load_keras_model(path: Path) -> keras.Model:
    try:
        _check_weights_fit_file(path)
        model = keras.saving.load_model(path, custom_objects=CUSTOM_LAYERS, compile=False, safe_mode=True)
    except Exception as error:  # noqa: BLE001  # Keras, zipfile, h5py and json raise many types for damaged bytes
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise RunError(f"{path} cannot be loaded ({reason}): train again") from None
    if not isinstance(model, keras.Model) or not model.built:
        raise RunError(f"{path} holds no model: train again")
    return model


def _load_snapshot(path: Path, config: Config, size: int, vocabulary: int) -> keras.Model:
    """The averaged generator of a snapshot: what RUN/model.keras would be if the training had ended there."""
    config = replace(config, precision="float32")
    with keras.StatelessScope(initialize_variables=False):
        shapes = [weight.shape for weight in networks.generator(config, size, vocabulary).weights]
    names = [f"average/{number:03d}" for number in range(len(shapes))]
    _, arrays = snapshots.read_snapshot(path, names)
    if [arrays[name].shape for name in names if name in arrays] != shapes:
        raise RunError(f"{path} is not a snapshot of this run: give one from its own folder")
    model = networks.generator(config, size, vocabulary)
    model.set_weights([arrays[name] for name in names])
    return model


def _check_weights_fit_file(path: Path) -> None:
    """Raise ValueError if the model's weights would take more memory than the file has bytes, as a crafted one might.

    The layers are created without weights, only to count them.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if sorted(entry.filename for entry in entries) != sorted(KERAS_ARCHIVE_MEMBERS):
            raise ValueError(f"it holds other files than {', '.join(sorted(KERAS_ARCHIVE_MEMBERS))}")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("it is compressed, which `train` never does")
        layers = json.loads(archive.read("config.json"))
    with keras.StatelessScope(initialize_variables=False):
        model = keras.saving.deserialize_keras_object(layers, custom_objects=CUSTOM_LAYERS, safe_mode=True)
        if 4 * sum(math.prod(weight.shape) for weight in model.weights) > path.stat().st_size:
            raise ValueError("its layers have more weights than the file holds")


def generate_colors(generator: Any, batch: Batch, tags: Any) -> SignedPixels:
    """Colours (b, size, size, 3) in [-1, 1] for the batch's lines and multi-hot tags (b, vocabulary).

    They are white outside the content box.
    """
    inputs = [keras.ops.convert_to_tensor(values, "float32") for values in (batch.lines, tags)]
    fakes = generator(inputs, training=False)
    return np.asarray(white_outside(fakes, batch.mask), np.float32)
