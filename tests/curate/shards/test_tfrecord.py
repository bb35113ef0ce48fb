"""The bytes of curate.shards.tfrecord against TensorFlow's own."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.shards import tfrecord

integers = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20)
features = st.dictionaries(st.text(min_size=1, max_size=12), st.binary(max_size=200) | integers, max_size=6)


def serialize_by_tensorflow(values: dict[str, Any]) -> bytes:
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, bytes)
        else tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        for name, value in values.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    data: bytes = example.SerializeToString(deterministic=True)
    return data


def no_prefixes(values: dict[str, Any]) -> bool:
    """Python's protobuf puts "00" before "0". No stored name is a prefix of another; readers accept any order."""
    return not any(name != prefix and name.startswith(prefix) for name in values for prefix in values)


@given(features.filter(no_prefixes))
@example({"00": b"", "0a": b"", "é": [1]})
def test_an_example_has_tensorflows_bytes(values: dict[str, Any]) -> None:
    assert tfrecord.serialize_example(values) == serialize_by_tensorflow(values)


@given(features)
def test_tensorflow_parses_an_example_to_its_values(values: dict[str, Any]) -> None:
    feature = tf.train.Example.FromString(tfrecord.serialize_example(values)).features.feature
    parsed = {
        name: one.bytes_list.value[0] if one.bytes_list.value else list(one.int64_list.value)
        for name, one in feature.items()
    }
    assert parsed == values


@settings(max_examples=20)
@given(st.lists(st.binary(max_size=500), max_size=8))
def test_framed_records_have_tensorflows_bytes_and_spans_locate_them(records: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "records.tfrecord")
        with tf.io.TFRecordWriter(path) as writer:
            for record in records:
                writer.write(record)
        data = Path(path).read_bytes()
        assert [record.numpy() for record in tf.data.TFRecordDataset(path)] == records
    assert b"".join(map(tfrecord.frame_record, records)) == data
    spans = tfrecord.record_spans(map(len, records))
    assert [data[span.offset : span.offset + span.length] for span in spans] == records


def test_a_framed_record_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    framed = bytearray(tfrecord.frame_record(b"a record"))
    framed[14] ^= 1
    path = tmp_path / "damaged.tfrecord"
    path.write_bytes(framed)
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(path)))
