"""A serialised Example -> the pixels and tags of a pair.

PNGs as extract writes them are inflated by zlib-ng, and those of shaded art unfiltered: half of libpng's cost, or less.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError
from zlib_ng import zlib_ng

from curate.contract import ShardIndex
from curate.images.png import COLOR_TYPES, FILTER_NONE, FILTER_SUB, PNG_SIGNATURE
from train.errors import RESHARD_REMEDY, RunError

Pixels = npt.NDArray[np.uint8]


class Pair(NamedTuple):
    """One pair as it is stored."""

    line: Pixels
    """(size, size, 1)"""
    color: Pixels
    """(size, size, 3) RGB"""
    content_box: tuple[int, int, int, int]
    """Top, left, height and width of what is drawn, px."""
    tag_indices: Sequence[int]
    """Places in the vocabulary."""


def unpack_pair(record: bytes, style: int, index: ShardIndex) -> Pair:
    """The pair of a serialised tf.train.Example, in line style number `style`. Raises RunError if it is damaged."""
    try:
        features = tf.train.Example.FromString(record).features.feature
        line = features[f"line_{index.lines[style]}"].bytes_list.value[0]
        color = features["color"].bytes_list.value[0]
        read = decode_raw_pixels if index.encoding == "raw" else decode_png
        top, left, height, width = features["content_box"].int64_list.value
        if min(top, left, height, width) < 0 or max(top + height, left + width) > index.size:
            raise ValueError("its content lies outside of its square")
        tags = list(features["tags"].int64_list.value)
        return Pair(read(line, index.size, 1), read(color, index.size, 3), (top, left, height, width), tags)
    except (DecodeError, IndexError, ValueError) as error:
        told = f"the shards have a pair that is none of their index ({error})"
        raise RunError(f"{told}: run `curate shard` again") from None


def decode_raw_pixels(data: bytes, size: int, channels: int) -> Pixels:
    """Pixels in rows: (size, size, channels). Raises RunError if they are not as many."""
    if len(data) != size * size * channels:
        raise RunError(f"the shards have a pair of {len(data):,} bytes that is not one of {size} px: {RESHARD_REMEDY}")
    return np.frombuffer(data, np.uint8).reshape(size, size, channels)


def decode_png(data: bytes, size: int, channels: int) -> Pixels:
    """Pixels of a PNG: (size, size, 1 or 3), gray or RGB. Raises RunError if they cannot be read."""
    rows = _filtered(data, size, channels)
    filters = set() if rows is None else {*rows[:, 0].tolist()}
    if rows is not None and filters == {FILTER_NONE}:
        return rows[:, 1:].reshape(size, size, channels)
    if rows is not None and filters == {FILTER_SUB}:
        if channels > 1:
            return np.add.accumulate(rows[:, 1:].reshape(size, size, channels), axis=1, dtype=np.uint8)
        columns = np.asarray(cv2.transpose(rows[:, 1:]), np.uint8)  # they add up whole, twice as fast as along each row
        np.add.accumulate(columns, axis=0, out=columns)
        return np.asarray(cv2.transpose(columns), np.uint8)[..., None]
    mode = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), mode) if _has_expected_size(data, size) else None
    if pixels is None or pixels.shape[:2] != (size, size):
        raise RunError(f"the shards have a pair whose PNG is no picture of {size} px: {RESHARD_REMEDY}")
    return np.asarray(pixels, np.uint8).reshape(size, size, channels)


def _has_expected_size(data: bytes, size: int) -> bool:
    """Whether the header says so: to decode what claims more would take memory without bound."""
    return data[:8] == PNG_SIGNATURE and data[12:24] == struct.pack(">4sII", b"IHDR", size, size)


def _filtered(data: bytes, size: int, channels: int) -> Pixels | None:
    """Rows (size, 1 + size x channels) of a PNG, each its filter and what that left; None if it is of another kind.

    Source: W3C, Portable Network Graphics (third edition), sections 5, 9, 10 and 11.2.
    """
    header = struct.pack(">I4sIIBBBBB", 13, b"IHDR", size, size, 8, COLOR_TYPES[channels], 0, 0, 0)
    length = 1 + size * channels
    if not data.startswith(PNG_SIGNATURE + header):
        return None
    try:
        rows = zlib_ng.decompress(b"".join(_chunks(data, b"IDAT")), bufsize=size * length)
        return np.frombuffer(rows, np.uint8).reshape(size, length)
    except (zlib_ng.error, ValueError):  # type: ignore[misc]  # its stubs take the class for an instance
        return None


def _chunks(data: bytes, kind: bytes) -> Iterator[bytes]:
    at = len(PNG_SIGNATURE)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == kind:
            yield data[at + 8 : at + 8 + length]
        at += 12 + length
