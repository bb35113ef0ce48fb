"""Loaded models that colour drawings sent to the page, one drawing at a time, as each takes all cores."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from train.coloring.colorize import ColorizeOptions, Colorizer, TagPrompt
from train.config import read_run_config
from train.errors import DrawingError
from train.model import trained_model

DRAWING_FILE, COLORED_FILE = "drawing", "colored.png"


@dataclass(frozen=True)
class ModelTag:
    """A tag that a model knows."""

    name: str
    count: int | None
    """Training pairs with the tag; None if the run did not record it."""
    color: tuple[str, str] | None
    """Colour and noun of a colour tag, as ("blue", "hair"); None for other tags."""


@dataclass(frozen=True)
class ModelInfo:
    """What the page knows about a model."""

    number: int
    name: str
    preset: str
    size: int
    """Side of its pairs, px."""
    tags: list[ModelTag]
    """Most frequent first."""


class LoadedModels:
    """The models of the given run folders, by number."""

    def __init__(self, models: Sequence[Path]) -> None:
        """Load run folders or models in them. Raises RunError for one that cannot be loaded."""
        self.colorizers = [Colorizer(trained_model.load_trained(path)) for path in models]
        self.models = [
            _describe_model(number, path, colorizer.trained)
            for number, (path, colorizer) in enumerate(zip(models, self.colorizers, strict=True))
        ]
        self._coloring_lock = threading.Lock()

    def color(self, number: int, data: bytes, prompt: TagPrompt, options: ColorizeOptions) -> bytes:
        """Colour a PNG or JPEG of line art: a PNG of its size. Raises DrawingError or TagError."""
        with TemporaryDirectory() as folder, self._coloring_lock:
            drawing, colored = Path(folder) / DRAWING_FILE, Path(folder) / COLORED_FILE
            drawing.write_bytes(data)
            try:
                self.colorizers[number].color_file(drawing, colored, prompt, options)
            except DrawingError as error:
                raise DrawingError(str(error).replace(str(drawing), "the drawing")) from None
            return colored.read_bytes()


def _describe_model(number: int, path: Path, model: trained_model.TrainedModel) -> ModelInfo:
    folder, file = trained_model.split_model_path(path)
    counts: Mapping[str, int] = read_run_config(folder).get("tags", {})
    tags = [ModelTag(name, counts.get(name), _color_and_noun(model.colors, name)) for name in model.vocabulary]
    name = folder.absolute().name if file == trained_model.MODEL_FILE else f"{folder.absolute().name}/{file}"
    return ModelInfo(number, name, model.config.preset, model.size, tags if model.config.tags else [])


def _color_and_noun(colors: Mapping[str, Sequence[str]], name: str) -> tuple[str, str] | None:
    return (colors[name][0], colors[name][1]) if name in colors else None
