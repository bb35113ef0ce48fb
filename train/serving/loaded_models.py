"""Models ready to colour what a page sends; one drawing at a time, as each takes all cores."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from train.coloring.colorize import ColorizeOptions, Colorizer, TagPrompt
from train.config import read_run_config
from train.errors import DrawingError
from train.model import trained

DRAWING_FILE, COLORED_FILE = "drawing", "colored.png"


@dataclass(frozen=True)
class ModelTag:
    """A tag that a model knows."""

    name: str
    count: int | None
    """Pairs it was trained on with it; None where its run did not note them."""
    color: tuple[str, str] | None
    """Colour and noun of a colour tag."""


@dataclass(frozen=True)
class ModelInfo:
    """What a page tells of a model."""

    number: int
    name: str
    preset: str
    size: int
    """px of its pairs."""
    tags: list[ModelTag]
    """Most frequent first."""


class LoadedModels:
    """The models of some run folders, by number."""

    def __init__(self, models: Sequence[Path]) -> None:
        """Load them. Raises RunError for one that is none."""
        self.colorizers = [Colorizer(trained.load_trained(path)) for path in models]
        self.models = [
            _describe_model(number, path, one)
            for number, (path, one) in enumerate(zip(models, self.colorizers, strict=True))
        ]
        self._coloring_lock = threading.Lock()

    def color(self, number: int, data: bytes, wish: TagPrompt, manner: ColorizeOptions) -> bytes:
        """A PNG or JPEG of line art -> a PNG in colour, of its size. Raises PictureError or TagError."""
        with TemporaryDirectory() as folder, self._coloring_lock:
            drawing, colored = Path(folder) / DRAWING_FILE, Path(folder) / COLORED_FILE
            drawing.write_bytes(data)
            try:
                self.colorizers[number].color_file(drawing, colored, wish, manner)
            except DrawingError as error:
                raise DrawingError(str(error).replace(str(drawing), "the drawing")) from None
            return colored.read_bytes()


def _describe_model(number: int, path: Path, painter: Colorizer) -> ModelInfo:
    known = painter.trained
    folder, file = trained.split_model_path(path)
    counts: Mapping[str, int] = read_run_config(folder).get("tags", {})
    tags = [ModelTag(name, counts.get(name), _color_and_noun(known.colors, name)) for name in known.vocabulary]
    name = folder.absolute().name if file == trained.MODEL_FILE else f"{folder.absolute().name}/{file}"
    return ModelInfo(number, name, known.config.preset, known.size, tags if known.config.tags else [])


def _color_and_noun(colors: Mapping[str, Sequence[str]], name: str) -> tuple[str, str] | None:
    return (colors[name][0], colors[name][1]) if name in colors else None
