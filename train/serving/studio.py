"""Models ready to colour what a page sends; one drawing at a time, as each takes all cores."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from train.coloring.colorize import Manner, Painter, Wish
from train.config import described
from train.errors import PictureError
from train.model import trained

DRAWING, COLORED = "drawing", "colored.png"


@dataclass(frozen=True)
class Tag:
    """A tag that a model knows."""

    name: str
    count: int | None
    """Pairs it was trained on with it; None where its run did not note them."""
    color: tuple[str, str] | None
    """Colour and noun of a colour tag."""


@dataclass(frozen=True)
class Model:
    """What a page tells of a model."""

    number: int
    name: str
    preset: str
    size: int
    """px of its pairs."""
    tags: list[Tag]
    """Most frequent first."""


class Studio:
    """The models of some run folders, by number."""

    def __init__(self, models: Sequence[Path]) -> None:
        """Load them. Raises RunError for one that is none."""
        self.painters = [Painter(trained.load(path)) for path in models]
        self.models = [
            _described(number, path, one) for number, (path, one) in enumerate(zip(models, self.painters, strict=True))
        ]
        self._brush = threading.Lock()

    def color(self, number: int, data: bytes, wish: Wish, manner: Manner) -> bytes:
        """A PNG or JPEG of line art -> a PNG in colour, of its size. Raises PictureError or TagError."""
        with TemporaryDirectory() as folder, self._brush:
            drawing, colored = Path(folder) / DRAWING, Path(folder) / COLORED
            drawing.write_bytes(data)
            try:
                self.painters[number].file(drawing, colored, wish, manner)
            except PictureError as error:
                raise PictureError(str(error).replace(str(drawing), "the drawing")) from None
            return colored.read_bytes()


def _described(number: int, path: Path, painter: Painter) -> Model:
    known = painter.trained
    folder, file = trained.opened(path)
    counts: Mapping[str, int] = described(folder).get("tags", {})
    tags = [Tag(name, counts.get(name), _pair(known.colors, name)) for name in known.vocabulary]
    name = folder.absolute().name if file == trained.MODEL else f"{folder.absolute().name}/{file}"
    return Model(number, name, known.config.preset, known.size, tags if known.config.tags else [])


def _pair(colors: Mapping[str, Sequence[str]], name: str) -> tuple[str, str] | None:
    return (colors[name][0], colors[name][1]) if name in colors else None
