"""Export a run: its model in the format of another program, its vocabulary, and a card that describes both."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from curate.system.errors import MissingExtraError, name_file_in_errors
from curate.system.files import atomic_write, read_json, sync_folder
from train.config import read_run_config
from train.errors import RunError, translate_tensorflow_errors
from train.exports import model_card
from train.model.layers import CUSTOM_LAYERS
from train.model.trained_model import MODEL_FILE, RUN_VOCABULARY_FILE, TrainedModel, load_trained

Float32Array = npt.NDArray[np.float32]
ExportedModel = Callable[[Float32Array, Float32Array], Float32Array]
"""An exported model: lines (b, size, size, 1) and tags (b, vocabulary) to colours (b, size, size, 3)."""
MAX_COLOR_DIFFERENCE = 1e-3
"""How far an export's colours, in [-1, 1], may be from the run's: an eighth of a step of 8 bits."""
ONNX_OPSET = 18  # of 2022, which runtimes of recent years read
TRIAL_PICTURES = 3


@dataclass(frozen=True)
class ExportFormat:
    """A file format for models."""

    file_name: str
    """Name of the model's file or folder in OUT."""
    write: Callable[[keras.Model, Path], None]
    load: Callable[[Path], ExportedModel]
    """Opens the written model in the program that the format is meant for."""


def export(run: Path, out: Path, format_name: str = "keras", evaluation: Path | None = None) -> dict[str, Any]:
    """Write the model of `run`, its vocabulary and its card to the new folder `out`.

    `format_name` is a key of EXPORT_FORMATS. Every format takes lines (b, size, size, 1) and multi-hot tags
    (b, vocabulary) and returns colours (b, size, size, 3), all float32 with pixels in [-1, 1]. The written model is
    opened and tried before the folder appears: its colours may differ from the run's by MAX_COLOR_DIFFERENCE.
    `evaluation` is a file with the JSON of `train evaluate`, for the card.

    Raises RunError if the run has no finished model, `out` holds files, or the trial fails; MissingExtraError if the
    format needs the extra `export`.
    """
    trained = load_trained(run)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} holds other files: give a new or empty folder for the export")
    figures = read_json(evaluation) if evaluation else None
    with name_file_in_errors(out), translate_tensorflow_errors(), _folder_on_success(out) as folder:
        file_format = EXPORT_FORMATS[format_name]
        file_format.write(trained.model, folder / file_format.file_name)
        difference = _max_difference(trained, file_format.load(folder / file_format.file_name))
        if not difference <= MAX_COLOR_DIFFERENCE:
            raise RunError(
                f"the {format_name} export differs from {run / MODEL_FILE} by {difference:.2g}: choose another --format"
            )
        shutil.copyfile(run / RUN_VOCABULARY_FILE, folder / RUN_VOCABULARY_FILE)
        facts = model_card.CardFacts(
            format_name, file_format.file_name, read_run_config(run), trained.vocabulary, difference, figures
        )
        (folder / model_card.CARD_FILE).write_text(model_card.render_card(facts), "utf-8")
    return {"out": str(out), "format": format_name, "model": str(out / file_format.file_name), "difference": difference}


@contextmanager
def _folder_on_success(out: Path) -> Iterator[Path]:
    """A temporary folder that becomes `out` when the block succeeds; after an error it is removed."""
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed call
    temporary.mkdir(parents=True)
    try:
        yield temporary
        sync_folder(temporary)
        temporary.replace(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(out.parent)


def _max_difference(trained: TrainedModel, exported: ExportedModel) -> float:
    """Largest difference of any colour value between the two models, on squares of noise with half of the tags."""
    rng = np.random.default_rng(0)
    lines = rng.uniform(-1, 1, (TRIAL_PICTURES, trained.size, trained.size, 1)).astype(np.float32)
    tags = rng.integers(0, 2, (TRIAL_PICTURES, len(trained.vocabulary))).astype(np.float32)
    expected = np.asarray(trained.model([lines, tags], training=False))
    return float(np.abs(exported(lines, tags) - expected).max())


def _signature(model: keras.Model) -> list[tf.TensorSpec]:
    return [tf.TensorSpec(tensor.shape, tf.float32, name=tensor.name) for tensor in model.inputs]


def _with_named_tensors(model: keras.Model) -> Callable[[Any, Any], dict[str, Any]]:
    """The model as a function whose inputs (lines, tags) and output (colors) keep their names in every format."""

    def colors(lines: Any, tags: Any) -> dict[str, Any]:
        return {"colors": model([lines, tags], training=False)}

    return colors


def _write_keras(model: keras.Model, path: Path) -> None:
    model.save(path)


def _load_keras(path: Path) -> ExportedModel:
    model = keras.saving.load_model(path, custom_objects=CUSTOM_LAYERS, compile=False, safe_mode=True)
    return lambda lines, tags: np.asarray(model([lines, tags], training=False))


def _write_savedmodel(model: keras.Model, path: Path) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", _with_named_tensors(model), input_signature=_signature(model))
    archive.write_out(path, verbose=False)


def _load_savedmodel(path: Path) -> ExportedModel:
    loaded = tf.saved_model.load(str(path))  # the function below keeps its variables alive
    return lambda lines, tags: np.asarray(loaded.serve(tf.constant(lines), tf.constant(tags))["colors"])


def _import_onnx() -> tuple[Any, Any]:
    """The packages that write and run ONNX, tf2onnx and onnxruntime. Raises MissingExtraError without them."""
    try:
        import onnxruntime  # noqa: PLC0415  # an extra
        import tf2onnx  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError("--format onnx", "export") from None
    return tf2onnx, onnxruntime


def _write_onnx(model: keras.Model, path: Path) -> None:
    writer, _ = _import_onnx()
    graph, _ = writer.convert.from_function(
        tf.function(_with_named_tensors(model)), _signature(model), opset=ONNX_OPSET
    )
    with atomic_write(path) as file:
        file.write(graph.SerializeToString())


def _load_onnx(path: Path) -> ExportedModel:
    _, runtime = _import_onnx()
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda lines, tags: np.asarray(session.run(["colors"], {"lines": lines, "tags": tags})[0])


def _write_tflite(model: keras.Model, path: Path) -> None:
    saved = path.with_suffix(".saved")
    _write_savedmodel(model, saved)
    with atomic_write(path) as file:
        file.write(tf.lite.TFLiteConverter.from_saved_model(str(saved)).convert())
    shutil.rmtree(saved)


def _load_tflite(path: Path) -> ExportedModel:
    with warnings.catch_warnings():  # TensorFlow 2.21 announces that its interpreter will move to another package
        warnings.simplefilter("ignore", UserWarning)
        runner = tf.lite.Interpreter(model_content=path.read_bytes()).get_signature_runner("serving_default")
    return lambda lines, tags: np.asarray(runner(lines=lines, tags=tags)["colors"])


EXPORT_FORMATS: dict[str, ExportFormat] = {
    "keras": ExportFormat(MODEL_FILE, _write_keras, _load_keras),
    "savedmodel": ExportFormat("savedmodel", _write_savedmodel, _load_savedmodel),
    "onnx": ExportFormat("model.onnx", _write_onnx, _load_onnx),
    "tflite": ExportFormat("model.tflite", _write_tflite, _load_tflite),
}
