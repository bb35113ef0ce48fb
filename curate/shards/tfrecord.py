"""tf.train.Example and TFRecord framing without TensorFlow: values in, bytes out."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import google_crc32c

Feature = bytes | Sequence[int]
FIELD_1_TAG, FIELD_2_TAG, FIELD_3_TAG = (bytes([number << 3 | 2]) for number in (1, 2, 3))
"""Protobuf tags of a message's first three fields, as length-delimited values (wire type 2)."""
HEADER_BYTES = 12  # before a record: its length in 8 bytes, and the checksum of that length in 4
FOOTER_BYTES = 4  # after a record: its checksum


@dataclass(frozen=True)
class RecordSpan:
    """Where a record lies in its file, without its framing; in bytes."""

    offset: int
    length: int


def serialize_example(features: Mapping[str, Feature]) -> bytes:
    """Return a serialised tf.train.Example: bytes become a BytesList of one value, integers an Int64List.

    The bytes equal those of TensorFlow's `Example.SerializeToString(deterministic=True)`: map entries are sorted by
    name. (Where one name is a prefix of another, Python's protobuf puts the longer first; no two features here are so.)
    Source: tensorflow/core/example/example.proto and feature.proto.
    """
    pieces = [piece for name in sorted(features) for piece in _entry(name, features[name])]
    return b"".join((FIELD_1_TAG, _varint(sum(map(len, pieces))), *pieces))


def frame_record(record: bytes) -> bytes:
    """Return a record as TFRecordWriter writes it: its length and bytes, each followed by a masked CRC-32C."""
    length = struct.pack("<Q", len(record))
    return b"".join((length, _masked_crc(length), record, _masked_crc(record)))


def record_spans(lengths: Iterable[int]) -> list[RecordSpan]:
    """Where records of these lengths lie in a file that holds nothing else."""
    spans, offset = [], HEADER_BYTES
    for length in lengths:
        spans.append(RecordSpan(offset, length))
        offset += length + FOOTER_BYTES + HEADER_BYTES
    return spans


def _entry(name: str, value: Feature) -> tuple[bytes, bytes]:
    """A map entry in two pieces, its prefix and its value, so that pixels are copied only once, when all is joined."""
    if isinstance(value, bytes):
        return _map_entry_prefix(name, FIELD_1_TAG, len(value)), value  # Feature.bytes_list
    content = b"".join(map(_varint, value))
    return _map_entry_prefix(name, FIELD_3_TAG, len(content)), content  # Feature.int64_list


@lru_cache(maxsize=1 << 14)
def _map_entry_prefix(name: str, kind: bytes, size: int) -> bytes:
    """The bytes before a map entry's value of `size` bytes: the key, and the lengths of the enclosing messages."""
    values = FIELD_1_TAG + _varint(size) if size or kind is FIELD_1_TAG else b""
    value_list = kind + _varint(len(values) + size) + values
    feature = FIELD_2_TAG + _varint(len(value_list) + size) + value_list
    key = FIELD_1_TAG + _varint(len(name.encode())) + name.encode()
    return FIELD_1_TAG + _varint(len(key) + len(feature) + size) + key + feature


@lru_cache(maxsize=1 << 15)
def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1  # negative numbers take ten bytes, as two's complement
    encoded = bytearray()
    while number > 0x7F:  # seven bits a byte
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _masked_crc(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted as TFRecord does it, so that a CRC of data that holds CRCs stays sound."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
