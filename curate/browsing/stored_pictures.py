"""A dataset's stored pictures, by id: the colours and every style of line art, read a row group at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.dataset import parquet
from curate.dataset.ids import IdIndex

COLOR_COLUMN, LINE_COLUMN_PREFIX = "color", "line_"
CACHE_BYTES = 128 << 20  # bytes of row groups that are kept
RowGroupColumn = tuple[Path, int, str]
"""A part, a row group in it, a column."""


class StoredPictures:
    """Of pairs as they were when it was made. Its methods may be called by several threads."""

    def __init__(self, dataset: Path) -> None:
        self.parts = parquet.part_paths(dataset / "pairs")
        names = parquet.column_names(self.parts[0]) if self.parts else []
        self.layers = [name for name in names if name == COLOR_COLUMN or name.startswith(LINE_COLUMN_PREFIX)]
        keys, places = list[str](), [np.zeros((0, 3), np.int32)]
        for number, path in enumerate(self.parts):
            for group, table in enumerate(parquet.iter_row_groups(path, ["id"])):
                keys += table["id"].to_pylist()
                rows = np.arange(table.num_rows, dtype=np.int32)
                places.append(np.stack([np.full_like(rows, number), np.full_like(rows, group), rows], axis=1))
        self._lookup, self._places = IdIndex(keys), np.concatenate(places)
        self._held: OrderedDict[RowGroupColumn, pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()

    def read_png(self, key: str, layer: str) -> bytes | None:
        """The PNG of a picture's colours or line art; None if the dataset has none by that id and name."""
        found = self._lookup.rows(key)
        if layer not in self.layers or not len(found):
            return None
        part, group, row = self._places[found[-1]].tolist()  # of several with one id the last part's counts
        value = self._column((self.parts[part], group, layer))[row].as_py()
        return None if value is None else bytes(value)

    def has(self, key: str | None) -> bool:
        """Whether anything is stored of a picture."""
        return len(self._lookup.rows(key)) > 0

    def _column(self, group: RowGroupColumn) -> pa.ChunkedArray:
        with self._lock:
            if group in self._held:
                self._held.move_to_end(group)
                return self._held[group]
        path, number, layer = group
        column = parquet.read_row_group(path, number, [layer])[layer]
        with self._lock:
            self._held[group] = column
            while len(self._held) > 1 and sum(one.nbytes for one in self._held.values()) > CACHE_BYTES:
                self._held.popitem(last=False)
        return column
