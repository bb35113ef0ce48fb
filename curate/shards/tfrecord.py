"""tf.train.Example and TFRecord framing without TensorFlow: pure functions from values to bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import google_crc32c

Feature = bytes | Sequence[int]
FIELD_1_TAG, FIELD_2_TAG, FIELD_3_TAG = (bytes([number << 3 | 2]) for number in (1, 2, 3))
"""Tags of a message's first fields, where they are told with their length (wire type 2)."""
HEADER_BYTES = 12  # bytes before a record: its length, and that length's checksum
FOOTER_BYTES = 4


@dataclass(frozen=True)
class RecordSpan:
    """Where a record lies in its file, framing left out; in bytes."""

    offset: int
    length: int


def serialize_example(features: Mapping[str, Feature]) -> bytes:
    """Serialised tf.train.Example: bytes become a BytesList of one, integers an Int64List (empty allowed).

    Equal to TensorFlow's `Example.SerializeToString(deterministic=True)`: map entries are sorted by name. (One name
    that begins another comes first here and last in Python's protobuf; no two of ours do.)
    Source: tensorflow/core/example/example.proto and feature.proto.
    """
    pieces = [piece for name in sorted(features) for piece in _entry(name, features[name])]
    return b"".join((FIELD_1_TAG, _varint(sum(map(len, pieces))), *pieces))


def frame_record(record: bytes) -> bytes:
    """One record as TFRecordWriter writes it: length, masked CRC-32C of it, bytes, masked CRC-32C of them."""
    length = struct.pack("<Q", len(record))
    return b"".join((length, _masked_crc(length), record, _masked_crc(record)))


def record_spans(lengths: Iterable[int]) -> list[RecordSpan]:
    """Where records of these lengths lie in a file that holds nothing else."""
    found, offset = [], HEADER_BYTES
    for length in lengths:
        found.append(RecordSpan(offset, length))
        offset += length + FOOTER_BYTES + HEADER_BYTES
    return found


def _entry(name: str, value: Feature) -> tuple[bytes, bytes]:
    """A map entry as what leads its value, and the value: pixels are copied once, when all entries are joined."""
    if isinstance(value, bytes):
        return _map_entry_prefix(name, FIELD_1_TAG, len(value)), value  # Feature.bytes_list
    content = b"".join(map(_varint, value))
    return _map_entry_prefix(name, FIELD_3_TAG, len(content)), content  # Feature.int64_list


@lru_cache(maxsize=1 << 14)
def _map_entry_prefix(name: str, kind: bytes, size: int) -> bytes:
    """What leads the `size` bytes of a map entry's value: its key, and the lengths of all that the value lies in."""
    values = FIELD_1_TAG + _varint(size) if size or kind is FIELD_1_TAG else b""
    listed = kind + _varint(len(values) + size) + values
    feature = FIELD_2_TAG + _varint(len(listed) + size) + listed
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
    """TFRecord rotates and shifts its CRCs, so that a CRC of data holding CRCs stays sound."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
