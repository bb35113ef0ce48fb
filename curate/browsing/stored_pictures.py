"""The PNG files in a dataset's `pairs/`, by id: colours and every style of line art, read a row group at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.dataset import parquet
from curate.dataset.ids import IdIndex

COLOR_COLUMN, LINE_COLUMN_PREFIX = "color", "line_"
CACHE_BYTES = 128 << 20  # of row groups kept in memory
RowGroupColumn = tuple[Path, int, str]
"""(part, row group in it, column)."""


class StoredPictures:
    """Reads pictures from the pairs as they were when this object was made. Safe to use from several threads."""

    def __init__(self, dataset: Path) -> None:
        self.parts = parquet.part_paths(dataset / "pairs")
        names = parquet.column_names(self.parts[0]) if self.parts else []
        self.layers = [name for name in names if name == COLOR_COLUMN or name.startswith(LINE_COLUMN_PREFIX)]
        keys, locations = list[str](), [np.zeros((0, 3), np.int32)]
        for number, path in enumerate(self.parts):
            for group, table in enumerate(parquet.iter_row_groups(path, ["id"])):
                keys += table["id"].to_pylist()
                rows = np.arange(table.num_rows, dtype=np.int32)
                locations.append(np.stack([np.full_like(rows, number), np.full_like(rows, group), rows], axis=1))
        self._ids, self._locations = IdIndex(keys), np.concatenate(locations)
        self._cache: OrderedDict[RowGroupColumn, pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()

    def read_png(self, key: str, layer: str) -> bytes | None:
        """The PNG of one layer (`color` or `line_METHOD`) of a picture; None if the dataset does not have it."""
        rows = self._ids.rows(key)
        if layer not in self.layers or not len(rows):
            return None
        part, group, row = self._locations[rows[-1]].tolist()  # if parts repeat an id, the last part counts
        value = self._column((self.parts[part], group, layer))[row].as_py()
        return None if value is None else bytes(value)

    def has(self, key: str | None) -> bool:
        """Whether a picture has stored pixels."""
        return len(self._ids.rows(key)) > 0

    def _column(self, group: RowGroupColumn) -> pa.ChunkedArray:
        with self._lock:
            if group in self._cache:
                self._cache.move_to_end(group)
                return self._cache[group]
        path, number, layer = group
        column = parquet.read_row_group(path, number, [layer])[layer]
        with self._lock:
            self._cache[group] = column
            while len(self._cache) > 1 and sum(cached.nbytes for cached in self._cache.values()) > CACHE_BYTES:
                self._cache.popitem(last=False)
        return column
