"""tf.train.Example and TFRecord framing without TensorFlow: pure functions from values to bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import google_crc32c

Feature = bytes | Sequence[int]
HEADER = 12  # bytes before a record: its length, and that length's checksum
FOOTER = 4


@dataclass(frozen=True)
class Span:
    """Where a record lies in its file, framing left out; in bytes."""

    offset: int
    length: int


def example(features: Mapping[str, Feature]) -> bytes:
    """Serialised tf.train.Example: bytes become a BytesList of one, integers an Int64List (empty allowed).

    Equal to TensorFlow's `Example.SerializeToString(deterministic=True)`: map entries are sorted by name. (One name
    that begins another comes first here and last in Python's protobuf; no two of ours do.)
    Source: tensorflow/core/example/example.proto and feature.proto.
    """
    entries = (_field(1, _field(1, name.encode()) + _field(2, _feature(features[name]))) for name in sorted(features))
    return _field(1, b"".join(entries))


def frame(record: bytes) -> bytes:
    """One record as TFRecordWriter writes it: length, masked CRC-32C of it, bytes, masked CRC-32C of them."""
    length = struct.pack("<Q", len(record))
    return length + _masked_crc(length) + record + _masked_crc(record)


def spans(lengths: Iterable[int]) -> list[Span]:
    """Where records of these lengths lie in a file that holds nothing else."""
    found, offset = [], HEADER
    for length in lengths:
        found.append(Span(offset, length))
        offset += length + FOOTER + HEADER
    return found


def _feature(value: Feature) -> bytes:
    if isinstance(value, bytes):
        return _field(1, _field(1, value))  # Feature.bytes_list
    packed = b"".join(_varint(number) for number in value)
    return _field(3, _field(1, packed) if packed else b"")  # Feature.int64_list


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protocol buffer field (wire type 2)."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


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
