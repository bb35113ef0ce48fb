"""The small pictures of datasets that dedupe compares, by picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from curate import manifest, strokes
from curate.decode import Rgb
from curate.lineart import Gray


class Thumbnails:
    """Ink masks and colours by picture. Parts are read as needed and a few kept, as are some thousand masks."""

    def __init__(self, datasets: Sequence[Path], ids: list[str]) -> None:
        self.ids = ids
        self.place: dict[str, tuple[Path, int]] = {}
        for path in [path for dataset in datasets for path in manifest.parts(dataset / "pairs")]:
            keys = manifest.read_table(path, ["id"])["id"].to_pylist()
            self.place |= {key: (path, row) for row, key in enumerate(keys)}
        self._column = lru_cache(maxsize=64)(_column)
        self.sketch = lru_cache(maxsize=8192)(self._sketch)
        self.edges = lru_cache(maxsize=8192)(self._edges)

    def _png(self, picture: int, name: str, flags: int) -> npt.NDArray[np.uint8]:
        path, row = self.place[self.ids[picture]]
        packed = np.frombuffer(self._column(path, name)[row], np.uint8)
        return np.asarray(cv2.imdecode(packed, flags), np.uint8)

    def _sketch(self, picture: int) -> Gray:
        return self._png(picture, "sketch", cv2.IMREAD_GRAYSCALE)

    def _edges(self, picture: int) -> Gray:
        return strokes.edges(self.view(picture))

    def view(self, picture: int) -> Rgb:
        """(96, 96, 3) colours of the trimmed picture."""
        return self._png(picture, "view", cv2.IMREAD_COLOR_RGB)

    def color(self, picture: int) -> Rgb:
        """(size, size, 3) colours of the pair."""
        return self._png(picture, "color", cv2.IMREAD_COLOR_RGB)


def _column(path: Path, name: str) -> list[bytes]:
    column: list[bytes] = manifest.read_table(path, [name])[name].to_pylist()
    return column
