"""An export colours as the run does, has a card that describes it, and is written whole or not at all."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from curate.contract import read_index
from train.cli import main
from train.config import override
from train.data.batches import fixed_batch
from train.data.pairs import Pairs
from train.errors import RunError
from train.exports import export as stage
from train.exports.export import EXPORT_FORMATS, MAX_COLOR_DIFFERENCE, ExportFormat, export
from train.model import networks
from train.model.trained_model import load_trained
from train.presets import preset_config

TOLERANCE = 1e-4
"""Largest difference of colours in [-1, 1] on real pairs; a step of 8 bits is 78 times that."""
FIGURES = {"split": "validation", "pairs": 12, "kid": None, "tags": {"obedience": {"accuracy": 0.625}}, "seconds": 3.0}


def colored(trained: Any, batch: Any) -> Any:
    return np.asarray(trained.model([batch.lines, batch.tags], training=False))


@pytest.mark.parametrize("format_name", EXPORT_FORMATS)
def test_an_export_colours_real_pairs_as_the_run_does(
    format_name: str, trained: Path, pairs32: Path, tmp_path: Path
) -> None:
    result = export(trained, tmp_path / "out", format_name)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        EXPORT_FORMATS[format_name].file_name,
        "vocabulary.txt",
        "README.md",
    }
    assert result["difference"] <= TOLERANCE
    exported = EXPORT_FORMATS[format_name].load(Path(result["model"]))
    for numbers in ([0], [1, 2, 3]):  # the batch size is free
        batch = fixed_batch(Pairs(pairs32, "validation"), numbers)
        colors = exported(np.asarray(batch.lines), np.asarray(batch.tags))
        expected = colored(load_trained(trained), batch)
        assert colors.dtype == np.float32
        assert np.ptp(expected) > 1
        np.testing.assert_allclose(colors, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", ["autoencoder", "wgan"])
def test_generators_with_other_layers_can_be_written_in_every_format(name: str, tmp_path: Path) -> None:
    """Transposed convolutions, pooling, batch norm, and generators without tags."""
    model = networks.generator(override(preset_config(name), ["width=8", "levels=3"]), 32, 5)
    rng = np.random.default_rng(1)
    lines, tags = rng.uniform(-1, 1, (2, 32, 32, 1)).astype(np.float32), np.eye(2, 5, dtype=np.float32)
    expected = np.asarray(model([lines, tags], training=False))
    for file_format in EXPORT_FORMATS.values():
        path = tmp_path / file_format.file_name
        file_format.write(model, path)
        np.testing.assert_allclose(file_format.load(path)(lines, tags), expected, atol=TOLERANCE, rtol=0)


def test_the_exported_vocabulary_is_that_of_the_run(trained: Path, tmp_path: Path) -> None:
    export(trained, tmp_path / "out")
    assert (tmp_path / "out" / "vocabulary.txt").read_bytes() == (trained / "vocabulary.txt").read_bytes()


@pytest.mark.filterwarnings("ignore::UserWarning")  # TensorFlow 2.21 announces that its TFLite interpreter will move
@pytest.mark.parametrize("format_name", EXPORT_FORMATS)
def test_the_code_in_the_card_colours_a_blank_sheet(
    format_name: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(trained, tmp_path / "out", format_name)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path / "out")
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    model = load_trained(trained)
    expected = model.model([np.ones((1, 32, 32, 1)), np.zeros((1, len(model.vocabulary)))], training=False)
    np.testing.assert_allclose(names["colors"], np.asarray(expected), atol=MAX_COLOR_DIFFERENCE, rtol=0)


def test_the_card_states_data_licences_settings_figures_and_inputs(
    trained: Path, pairs32: Path, tmp_path: Path
) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps(FIGURES), "utf-8")
    export(trained, tmp_path / "out", "keras", tmp_path / "evaluation.json")
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    index = read_index(pairs32)
    [(license_name, count)] = index.licenses.items()
    assert f"{license_name} {count}" in card
    assert f"Attribution: {', '.join(index.attribution)}" in card
    assert f"train {index.pairs['train']}" in card
    assert f"float32 (b, {len(load_trained(trained).vocabulary)})" in card
    assert "| tags.obedience.accuracy | 0.625 |" in card
    assert "| learning_rate | 0.004 |" in card
    assert "| kid | - |" in card
    assert "seconds" not in card
    assert "value / 127.5 - 1" in card


def test_a_card_without_figures_says_how_to_measure_them(trained: Path, tmp_path: Path) -> None:
    export(trained, tmp_path / "out")
    assert "train evaluate RUN SHARDS --json > FILE" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_an_export_whose_colours_differ_is_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_other_weights(model: keras.Model, path: Path) -> None:
        other = keras.models.clone_model(model)
        other.set_weights([weights * 1.1 for weights in model.get_weights()])
        other.save(path)

    monkeypatch.setitem(
        stage.EXPORT_FORMATS, "keras", ExportFormat("model.keras", write_other_weights, EXPORT_FORMATS["keras"].load)
    )
    with pytest.raises(RunError, match="differs"):
        export(trained, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_export_leaves_nothing_and_the_next_one_is_complete(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(stage.EXPORT_FORMATS, "keras", replace(EXPORT_FORMATS["keras"], write=interrupted))
        with pytest.raises(KeyboardInterrupt):
            export(trained, tmp_path / "out")
    assert not list(tmp_path.iterdir())
    (tmp_path / ".out.tmp").mkdir()  # left by a killed export
    (tmp_path / ".out.tmp" / "model.onnx").touch()
    export(trained, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not (tmp_path / "out" / "model.onnx").exists()


@pytest.mark.parametrize("module", ["tf2onnx", "onnxruntime"])
def test_a_missing_extra_is_reported_in_one_line(
    module: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = CliRunner().invoke(main, ["export", str(trained), str(tmp_path / "out"), "--format", "onnx"])
    assert result.exit_code == 1
    assert result.stderr == "Error: --format onnx needs an extra: run `pip install 'nurie[export]'`\n"
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_files_is_refused_and_left_alone(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", "utf-8")
    with pytest.raises(RunError, match="other files"):
        export(trained, tmp_path)
    assert (tmp_path / "thesis.txt").read_text("utf-8") == "mine"


def test_the_command_prints_where_the_model_is(trained: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["export", str(trained), str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert Path(printed["model"]).is_file()
    assert printed["format"] == "keras"
