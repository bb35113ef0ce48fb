"""Models saved by older versions load, whatever module their layers lived in then."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from train.model.layers import CUSTOM_LAYERS
from train.model.trained_model import MODEL_FILE, load_trained

FLOAT32 = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
GROUP_NORM = {
    "module": "train.layers",
    "class_name": "GroupNorm",
    "config": {"name": "group_norm", "trainable": True, "dtype": FLOAT32, "groups": 8, "epsilon": 0.001},
    "registered_name": "nurie>GroupNorm",
    "build_config": {"input_shape": [None, 64, 64, 24]},
}
FILM = {
    "module": "train.layers",
    "class_name": "FiLM",
    "config": {"name": "fi_lm", "activity_regularizer": None, "trainable": True, "dtype": FLOAT32, "autocast": True},
    "registered_name": "nurie>FiLM",
    "build_config": {"input_shape": [[None, 8, 8, 192], [None, 128]]},
}
"""Layers as model.keras of an older run holds them."""


@pytest.mark.parametrize(("stored", "shapes"), [(GROUP_NORM, [(24,), (24,)]), (FILM, [(128, 384), (384,)])])
def test_a_layer_stored_by_an_older_version_is_recreated(stored: dict[str, Any], shapes: list[tuple[int, ...]]) -> None:
    layer = keras.saving.deserialize_keras_object(stored, custom_objects=CUSTOM_LAYERS, safe_mode=True)
    assert isinstance(layer, CUSTOM_LAYERS[stored["registered_name"]])
    assert [weight.shape for weight in layer.weights] == shapes
    assert layer.get_config()["name"] == stored["config"]["name"]


def test_a_model_saved_when_its_layers_lived_in_train_layers_loads(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    with zipfile.ZipFile(run / MODEL_FILE) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = members["config.json"].decode()
    assert '"module": "train.model.layers"' in config
    members["config.json"] = config.replace('"train.model.layers"', '"train.layers"').encode()
    with zipfile.ZipFile(run / MODEL_FILE, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert "train.model" not in json.dumps(json.loads(members["config.json"]))
    for weight, expected in zip(load_trained(run).model.weights, load_trained(trained).model.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
