"""Columns of ids without Python objects: packed to sixteen bytes each, and an index from id to rows.

An id is 32 hex digits. Packed, a column takes a tenth of the memory of Python strings, and NumPy can sort it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

ID_HEX_DIGITS = 32
ID_PATTERN = f"^[0-9a-f]{{{ID_HEX_DIGITS}}}$"
PackedIds = npt.NDArray[np.bytes_]
RowNumbers = npt.NDArray[np.int64]


def pack_ids(texts: pa.Array) -> pa.Array:
    """Pack a column of ids to sixteen bytes each; a column that holds anything else is returned as it is."""
    if texts.null_count or not pc.all(pc.match_substring_regex(texts, ID_PATTERN), min_count=0).as_py():
        return texts
    return ids_from_bytes(bytes.fromhex("".join(texts.to_pylist())))


def ids_from_bytes(data: bytes) -> pa.Array:
    """A packed column from the concatenated bytes of its ids."""
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(data) // 16, [None, pa.py_buffer(data)])


def unpack_ids(column: pa.Array) -> pa.Array:
    """The inverse of `pack_ids`."""
    if not are_ids_packed(column):
        return column
    offsets = np.arange(len(column) + 1, dtype=np.int32) * ID_HEX_DIGITS
    return pa.StringArray.from_buffers(len(column), pa.py_buffer(offsets), pa.py_buffer(_bytes(column).hex().encode()))


def are_ids_packed(column: pa.Array) -> bool:
    """Whether `pack_ids` packed this column."""
    return bool(pa.types.is_fixed_size_binary(column.type))


def to_numpy_ids(column: pa.Array) -> PackedIds:
    """A packed column as a NumPy array of `S16`, which can be sorted."""
    return np.frombuffer(_bytes(column), "S16") if len(column) else np.zeros(0, "S16")


def _bytes(column: pa.Array) -> memoryview:
    return memoryview(column.buffers()[1])[16 * column.offset : 16 * (column.offset + len(column))]


class IdIndex:
    """Finds the rows of an id in a column with nulls, by binary search in a sorted copy.

    A dictionary of millions of ids would take several times the memory.
    """

    def __init__(self, ids: Iterable[str | None]) -> None:
        keys = np.array([key or "" for key in ids], f"S{ID_HEX_DIGITS}")
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def rows(self, key: str | None) -> RowNumbers:
        """Numbers of the rows with this id, ascending; empty for None and for text that is not an id."""
        wanted = np.bytes_((key or "").encode())
        if not wanted or len(wanted) > ID_HEX_DIGITS:
            return self._order[:0]
        low, high = (np.searchsorted(self._keys, wanted, side=side) for side in ("left", "right"))
        return self._order[low:high]
