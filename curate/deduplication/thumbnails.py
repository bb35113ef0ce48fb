"""The small stored pictures that dedupe compares, by place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from curate.dataset import parquet
from curate.images.array_types import Gray, Rgb
from curate.signatures import strokes
from curate.system.errors import DamagedError

MAX_CACHED_COLUMNS = 64  # columns of parts kept in memory

PairLocation = tuple[int, int]
"""Number of a part of pairs, and the row in it."""


class Thumbnails:
    """Reads parts when needed; keeps some columns and some thousand masks in memory."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self.parts = parts
        self._column = lru_cache(maxsize=MAX_CACHED_COLUMNS)(_read_column)
        self.sketch = lru_cache(maxsize=8192)(self._sketch)
        self.edge_mask = lru_cache(maxsize=8192)(self._edge_mask)

    def _decode(self, place: PairLocation, name: str, flags: int) -> npt.NDArray[np.uint8]:
        part, row = place
        png = np.frombuffer(self._column(self.parts[part], name)[row], np.uint8)
        return np.asarray(cv2.imdecode(png, flags), np.uint8)

    def _sketch(self, place: PairLocation) -> Gray:
        return self._decode(place, "sketch", cv2.IMREAD_GRAYSCALE)

    def _edge_mask(self, place: PairLocation) -> Gray:
        return strokes.edge_mask(self.view(place))

    def view(self, place: PairLocation) -> Rgb:
        """(96, 96, 3) uint8: the trimmed picture."""
        return self._decode(place, "view", cv2.IMREAD_COLOR_RGB)

    def color(self, place: PairLocation) -> Rgb:
        """(size, size, 3) uint8: the colour square of the pair."""
        return self._decode(place, "color", cv2.IMREAD_COLOR_RGB)


def locate_pairs(parts: Sequence[Path], ids: Sequence[str]) -> npt.NDArray[np.int32]:
    """(n, 2) place of each id's pair, in the last part that has one.

    Raises DamagedError if no part has a pair of some id.
    """
    wanted, places = set(ids), dict[str, PairLocation]()
    for part, path in enumerate(parts):
        part_ids = parquet.read_table(path, ["id"])["id"].to_pylist()
        places |= {pair_id: (part, row) for row, pair_id in enumerate(part_ids) if pair_id in wanted}
    if missing := sorted(wanted.difference(places)):
        raise DamagedError(f"no part of pairs holds {missing[0]}: run `curate verify`, and extract again")
    return np.array([places[pair_id] for pair_id in ids], np.int32).reshape(-1, 2)


def _read_column(path: Path, name: str) -> list[bytes]:
    column: list[bytes] = parquet.read_table(path, [name])[name].to_pylist()
    return column
