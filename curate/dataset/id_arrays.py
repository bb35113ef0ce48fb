"""Ids of 32 hex digits as the sixteen bytes they tell: a tenth of the memory that as many texts take."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

ID_PATTERN = "^[0-9a-f]{32}$"
PackedIds = npt.NDArray[np.bytes_]


def pack_ids(texts: pa.Array) -> pa.Array:
    """Ids as sixteen bytes each; a column that holds anything else as it is."""
    if texts.null_count or not pc.all(pc.match_substring_regex(texts, ID_PATTERN), min_count=0).as_py():
        return texts
    return ids_from_bytes(bytes.fromhex("".join(texts.to_pylist())))


def ids_from_bytes(data: bytes) -> pa.Array:
    """Bytes after one another as ids."""
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(data) // 16, [None, pa.py_buffer(data)])


def unpack_ids(column: pa.Array) -> pa.Array:
    """Texts again."""
    if not are_ids_packed(column):
        return column
    offsets = np.arange(len(column) + 1, dtype=np.int32) * 32
    return pa.StringArray.from_buffers(len(column), pa.py_buffer(offsets), pa.py_buffer(_bytes(column).hex().encode()))


def are_ids_packed(column: pa.Array) -> bool:
    """Whether `packed` could pack a column."""
    return bool(pa.types.is_fixed_size_binary(column.type))


def to_numpy_ids(column: pa.Array) -> PackedIds:
    """Packed ids as NumPy's, which sort."""
    return np.frombuffer(_bytes(column), "S16") if len(column) else np.zeros(0, "S16")


def _bytes(column: pa.Array) -> memoryview:
    return memoryview(column.buffers()[1])[16 * column.offset : 16 * (column.offset + len(column))]
