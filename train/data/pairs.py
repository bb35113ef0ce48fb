"""The pairs of a split: where each one's record lies in the shards, its bytes, and its weight."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from curate.contract import VOCABULARY_FILE, ShardIndex, read_index, read_vocabulary
from curate.system.errors import DamagedError, NurieError
from curate.system.hashing import sha256_files
from train.data.sampling_order import PairWeights, mean_tag_weights, tag_weights
from train.data.tags import check_tag_indices, is_side_tag
from train.errors import RESHARD_REMEDY, RunError

RECORDS_PER_READ = 1024  # records parsed together when the tags of a whole split are read
FOOTER_BYTES = 4  # CRC-32C that TFRecord stores after a record


def open_index(shards: Path) -> ShardIndex:
    """The index of a shard folder. Raises NurieError if it is missing, damaged or not of the format tfrecord."""
    index = read_index(shards)
    if index.format != "tfrecord":
        remedy = "run `curate shard DATASET SHARDS` with the default --format, tfrecord"
        raise NurieError(f"{shards} is of the format {index.format}, which `train` does not read: {remedy}")
    return index


def line_style_indices(index: ShardIndex, lines: tuple[str, ...]) -> list[int]:
    """Positions of these line styles among the stored ones; all of them if `lines` is empty.

    Raises RunError for a style that is not stored.
    """
    if unknown := [name for name in lines if name not in index.lines]:
        raise RunError(f"the shards have no lines by {unknown[0]}: choose from {', '.join(index.lines)}")
    return [position for position, name in enumerate(index.lines) if name in lines or not lines]


class Pairs:
    """The pairs of one split: where each record lies, and its bytes on demand.

    Memory: 16 bytes a pair; more once `ids` or `families` are read, which training does not do.

    Raises DamagedError if the vocabulary or a listing differs from its SHA-256 in the index, or a shard from its size.
    The bytes of a record are compared with its checksum when it is read.
    """

    def __init__(self, shards: Path, split: str) -> None:
        self.folder, self.split = shards, split
        self.index: ShardIndex = open_index(shards)
        self.read_error: NurieError | None = None
        """Why a pair could not be read in a tf.data pipeline, where TensorFlow raises an error type of its own."""
        self.pool = ThreadPoolExecutor(os.cpu_count())
        """Threads that share the work on a batch; they start with the first batch that needs them."""
        names = self.index.shard_names(split)
        self.listing_paths = [(shards / name).with_suffix(".parquet") for name in names]
        self._check(names)
        self.vocabulary = read_vocabulary(shards)
        tables = [_listing(path, ["offset", "length"], np.int64) for path in self.listing_paths]
        self.shard_bytes = [np.memmap(shards / name, np.uint8, "r") for name in names]
        self.shard = np.repeat(np.arange(len(names), dtype=np.int32), [len(table) for table in tables])
        listing = pd.concat(tables) if tables else pd.DataFrame({"offset": [], "length": []})
        self.offset = listing["offset"].to_numpy(np.int64)
        self.length = listing["length"].to_numpy(np.int32)

    def _check(self, names: list[str]) -> None:
        expected = {self.folder / name: file for name, file in self.index.files.items()}
        for path, digest in sha256_files([self.folder / VOCABULARY_FILE, *self.listing_paths]):
            if isinstance(digest, OSError) or path not in expected or digest != expected[path].sha256:
                raise DamagedError(f"{path} does not match the index of the shards: {self._remedy}")
        for path in (self.folder / name for name in names):
            size = path.stat().st_size if path.is_file() else 0
            if not size or size != expected[path].bytes:  # no shard is empty
                raise DamagedError(f"{path} does not have the size that the index states: {self._remedy}")

    @property
    def _remedy(self) -> str:
        return f"run `curate verify {self.folder}`, and make the shards again"

    @cached_property
    def side_tag_mask(self) -> npt.NDArray[np.float32]:
        """(vocabulary,) 1 for each tag that names a side, else 0."""
        return np.array([is_side_tag(tag) for tag in self.vocabulary], np.float32)

    @cached_property
    def ids(self) -> list[str]:
        """The id of each pair."""
        return self._read_column("id")

    @cached_property
    def families(self) -> list[str]:
        """The family of each pair."""
        return self._read_column("family")

    def _read_column(self, column: str) -> list[str]:
        values = [str(value) for path in self.listing_paths for value in _listing(path, [column])[column]]
        if len(values) != len(self):  # the columns of a crafted Parquet file may differ in length
            lists = f"{self.folder} lists the {column} of {len(values)} of {len(self)} pairs"
            raise DamagedError(f"{lists}: {RESHARD_REMEDY}")
        return values

    def __len__(self) -> int:
        return len(self.offset)

    def close(self) -> None:
        """Release the files, the table of records and the threads.

        Deleting the object would not do: TensorFlow's global graph keeps the Python function of a tf.data.Dataset, and
        with it this object, as long as the process lives.
        """
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.shard_bytes = []
        self.shard = np.empty(0, np.int32)
        self.offset, self.length = np.empty(0, np.int64), np.empty(0, np.int32)

    def read_record(self, number: int) -> bytes:
        """The serialised tf.train.Example of pair `number`. Raises DamagedError if its checksum does not match."""
        start, shard = self.offset[number], self.shard[number]
        end = start + self.length[number]
        record = bytes(self.shard_bytes[shard][start:end])
        if _masked_crc(google_crc32c.value(record)) != int.from_bytes(
            bytes(self.shard_bytes[shard][end : end + FOOTER_BYTES]), "little"
        ):
            path = self.listing_paths[shard].with_suffix(".tfrecord")
            raise DamagedError(f"{path} is damaged at byte {start:,}: {self._remedy}")
        return record


def read_pair_weights(pairs: Pairs, balance: float) -> PairWeights:
    """The weight of each pair, by how rare its tags are in the split. Reads every record once; 8 bytes a pair."""
    tag_counts = pairs.index.tags.get(pairs.split, {})
    rare = tag_weights(np.array([tag_counts.get(tag, 0) for tag in pairs.vocabulary], np.int64), balance)
    feature = {"tags": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)}
    weights = np.empty(len(pairs))
    for start in range(0, len(pairs), RECORDS_PER_READ):
        numbers = range(start, min(start + RECORDS_PER_READ, len(pairs)))
        try:
            tags = tf.io.parse_example([pairs.read_record(number) for number in numbers], feature)["tags"]
        except tf.errors.InvalidArgumentError as error:
            message = f"{pairs.folder} holds a record that is not a pair ({error.message})"
            raise RunError(f"{message}: {RESHARD_REMEDY}") from None
        rows, values = tags.value_rowids().numpy(), tags.flat_values.numpy()
        check_tag_indices(values, len(pairs.vocabulary))
        weights[start : start + RECORDS_PER_READ] = mean_tag_weights(values, rows, len(numbers), rare)
    return PairWeights(weights)


def _listing(path: Path, columns: list[str], kind: Any = None) -> pd.DataFrame:
    """Columns of a listing. Raises DamagedError if it is not one, which a matching digest in the index allows."""
    try:
        table = pd.read_parquet(path, columns=columns)
        return table if kind is None else table.astype(kind)
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DamagedError(f"{path} is not a listing of pairs ({reason}): make the shards again") from None


def _masked_crc(crc: int) -> int:
    """The CRC-32C as TFRecord stores it, rotated and offset. Source: tensorflow/core/lib/hash/crc32c.h."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
