"""A serialised Example -> the pixels and tags of a pair."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from curate.contract import ShardIndex
from train.data.array_types import BytePixels
from train.errors import RESHARD_REMEDY, RunError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Pair(NamedTuple):
    """One pair as it is stored."""

    line: BytePixels
    """(size, size, 1)"""
    color: BytePixels
    """(size, size, 3)"""
    content_box: tuple[int, int, int, int]
    """Top, left, height and width of the drawing within the square, px; the rest is padding."""
    tag_indices: Sequence[int]
    """Positions of the pair's tags in the vocabulary."""


def unpack_pair(record: bytes, style: int, index: ShardIndex) -> Pair:
    """The pair of a serialised tf.train.Example, with its lines in stored style number `style`.

    Raises RunError if the record does not fit the index.
    """
    try:
        features = tf.train.Example.FromString(record).features.feature
        line = features[f"line_{index.lines[style]}"].bytes_list.value[0]
        color = features["color"].bytes_list.value[0]
        decode = decode_raw_pixels if index.encoding == "raw" else decode_png
        top, left, height, width = features["content_box"].int64_list.value
        if min(top, left, height, width) < 0 or max(top + height, left + width) > index.size:
            raise ValueError("its content box lies outside its square")
        tags = list(features["tags"].int64_list.value)
        return Pair(decode(line, index.size, 1), decode(color, index.size, 3), (top, left, height, width), tags)
    except (DecodeError, IndexError, ValueError) as error:
        raise RunError(f"the shards hold a pair that does not fit their index ({error}): {RESHARD_REMEDY}") from None


def decode_raw_pixels(data: bytes, size: int, channels: int) -> BytePixels:
    """Pixels (size, size, channels) stored row by row. Raises RunError if the number of bytes differs."""
    if len(data) != size * size * channels:
        raise RunError(f"the shards hold a pair of {len(data):,} bytes that is not {size} px large: {RESHARD_REMEDY}")
    return np.frombuffer(data, np.uint8).reshape(size, size, channels)


def decode_png(data: bytes, size: int, channels: int) -> BytePixels:
    """Pixels (size, size, channels) of a PNG: gray for 1 channel, RGB for 3. Raises RunError if it cannot be read."""
    mode = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), mode) if _has_expected_size(data, size) else None
    if pixels is None or pixels.shape[:2] != (size, size):
        raise RunError(f"the shards hold a pair whose PNG is not a picture of {size} px: {RESHARD_REMEDY}")
    return np.asarray(pixels, np.uint8).reshape(size, size, channels)


def _has_expected_size(data: bytes, size: int) -> bool:
    """Whether the PNG's header states this size: decoding one that claims more would take memory without bound."""
    return data[:8] == PNG_SIGNATURE and data[12:24] == struct.pack(">4sII", b"IHDR", size, size)
