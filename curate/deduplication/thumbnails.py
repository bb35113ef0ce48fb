"""The small pictures of datasets that dedupe compares, by where they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from curate.dataset import parquet
from curate.images.decode import Rgb
from curate.images.lineart import Gray
from curate.signatures import strokes
from curate.system.errors import DamagedError

MAX_CACHED_COLUMNS = 64  # columns of parts that are kept

PairLocation = tuple[int, int]
"""Number of a pairs part, and a row in it."""


class Thumbnails:
    """Ink masks and colours by place. Parts are read as needed and a few kept, as are some thousand masks."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self.parts = parts
        self._column = lru_cache(maxsize=MAX_CACHED_COLUMNS)(_column)
        self.sketch = lru_cache(maxsize=8192)(self._sketch)
        self.edge_mask = lru_cache(maxsize=8192)(self._edges)

    def _png(self, place: PairLocation, name: str, flags: int) -> npt.NDArray[np.uint8]:
        packed = np.frombuffer(self._column(self.parts[place[0]], name)[place[1]], np.uint8)
        return np.asarray(cv2.imdecode(packed, flags), np.uint8)

    def _sketch(self, place: PairLocation) -> Gray:
        return self._png(place, "sketch", cv2.IMREAD_GRAYSCALE)

    def _edges(self, place: PairLocation) -> Gray:
        return strokes.edge_mask(self.view(place))

    def view(self, place: PairLocation) -> Rgb:
        """(96, 96, 3) colours of the trimmed picture."""
        return self._png(place, "view", cv2.IMREAD_COLOR_RGB)

    def color(self, place: PairLocation) -> Rgb:
        """(size, size, 3) colours of the pair."""
        return self._png(place, "color", cv2.IMREAD_COLOR_RGB)


def locate_pairs(parts: Sequence[Path], ids: Sequence[str]) -> npt.NDArray[np.int32]:
    """(n, 2) place of the pair of each id: of the last part that has one. Raises DamagedError if none has."""
    wanted, at = set(ids), dict[str, PairLocation]()
    for part, path in enumerate(parts):
        keys = parquet.read_table(path, ["id"])["id"].to_pylist()
        at |= {key: (part, row) for row, key in enumerate(keys) if key in wanted}
    if lacking := sorted(wanted.difference(at)):
        raise DamagedError(f"no part of pairs holds {lacking[0]}: run `curate verify`, and extract again")
    return np.array([at[key] for key in ids], np.int32).reshape(-1, 2)


def _column(path: Path, name: str) -> list[bytes]:
    column: list[bytes] = parquet.read_table(path, [name])[name].to_pylist()
    return column
