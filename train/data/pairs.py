"""Where each pair of a split lies in its shards, and which of them are seen how often."""

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
from train.data.order import PairWeights, mean_tag_weights, tag_weights
from train.data.tags import check_tag_indices, is_side_tag
from train.errors import RESHARD_REMEDY, RunError

RECORDS_PER_READ = 1024  # pairs whose tags are read at once
FOOTER_BYTES = 4  # bytes after a record: its checksum


def open_index(shards: Path) -> ShardIndex:
    """The table of contents of shards that can be trained on. Raises NurieError if they are of another format."""
    index = read_index(shards)
    if index.format != "tfrecord":
        remedy = "make others with `curate shard DATASET SHARDS`, whose format is tfrecord"
        raise NurieError(f"{shards} is of the format {index.format}, which `train` does not read: {remedy}")
    return index


def line_style_indices(index: ShardIndex, lines: tuple[str, ...]) -> list[int]:
    """Places of these styles among the stored ones; none means all. Raises RunError for one that is not stored."""
    if unknown := [name for name in lines if name not in index.lines]:
        raise RunError(f"the shards have no lines by {unknown[0]}: choose of {', '.join(index.lines)}")
    return [place for place, name in enumerate(index.lines) if name in lines or not lines]


class Pairs:
    """The pairs of one split: where each lies, and its bytes on demand.

    Memory: 16 bytes a pair, until its ids or families are asked for, which a training does not. Raises DamagedError if
    a file that tells of pairs and tags is not what the index says, or a shard has another size; its records are
    compared with their checksums as they are read.
    """

    def __init__(self, shards: Path, split: str) -> None:
        self.folder, self.split = shards, split
        self.index: ShardIndex = open_index(shards)
        self.read_error: NurieError | None = None
        """What was wrong with a pair, where TensorFlow calls and tells it in its own words."""
        self.pool = ThreadPoolExecutor(os.cpu_count())
        """Threads that share the work on a batch; none is begun before there is such."""
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
        told = {self.folder / name: file for name, file in self.index.files.items()}
        remedy = f"see `curate verify {self.folder}`, and make the shards again"
        for path, found in sha256_files([self.folder / VOCABULARY_FILE, *self.listing_paths]):
            if isinstance(found, OSError) or path not in told or found != told[path].sha256:
                raise DamagedError(f"{path} is not what the index says: {remedy}")
        for path in (self.folder / name for name in names):
            size = path.stat().st_size if path.is_file() else 0
            if not size or size != told[path].bytes:  # no shard is empty
                raise DamagedError(f"{path} is not of the size that the index says: {remedy}")

    @cached_property
    def side_tag_mask(self) -> npt.NDArray[np.float32]:
        """(vocabulary,) 1 for each tag that names a side."""
        return np.array([is_side_tag(tag) for tag in self.vocabulary], np.float32)

    @cached_property
    def ids(self) -> list[str]:
        """Id of each pair."""
        return self._read_column("id")

    @cached_property
    def families(self) -> list[str]:
        """Family of each pair."""
        return self._read_column("family")

    def _read_column(self, column: str) -> list[str]:
        found = [str(value) for path in self.listing_paths for value in _listing(path, [column])[column]]
        if len(found) != len(self):  # a stranger's Parquet may have columns of unlike lengths
            raise DamagedError(
                f"{self.folder} lists the {column} of {len(found)} of {len(self)} pairs: {RESHARD_REMEDY}"
            )
        return found

    def __len__(self) -> int:
        return len(self.offset)

    def close(self) -> None:
        """Let go of the files, of what it says of pairs, and of its threads.

        TensorFlow keeps what reads a tf.data.Dataset, in its graph of all graphs, for as long as the process lives.
        """
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.shard_bytes = []
        self.shard = np.empty(0, np.int32)
        self.offset, self.length = np.empty(0, np.int64), np.empty(0, np.int32)

    def read_record(self, number: int) -> bytes:
        """Serialised tf.train.Example of pair `number`. Raises DamagedError if it is not what was written."""
        start, shard = self.offset[number], self.shard[number]
        end = start + self.length[number]
        record = bytes(self.shard_bytes[shard][start:end])
        if _masked_crc(google_crc32c.value(record)) != int.from_bytes(
            bytes(self.shard_bytes[shard][end : end + FOOTER_BYTES]), "little"
        ):
            path = self.listing_paths[shard].with_suffix(".tfrecord")
            told = f"{path} is damaged at byte {start:,}"
            raise DamagedError(f"{told}: see `curate verify {self.folder}`, and make the shards again")
        return record


def read_pair_weights(pairs: Pairs, balance: float) -> PairWeights:
    """Of each pair, by how rare its tags are in the split. Every record is read once; memory: 8 bytes a pair."""
    counted = pairs.index.tags.get(pairs.split, {})
    rare = tag_weights(np.array([counted.get(tag, 0) for tag in pairs.vocabulary], np.int64), balance)
    feature = {"tags": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)}
    found = np.empty(len(pairs))
    for start in range(0, len(pairs), RECORDS_PER_READ):
        numbers = range(start, min(start + RECORDS_PER_READ, len(pairs)))
        try:
            tags = tf.io.parse_example([pairs.read_record(number) for number in numbers], feature)["tags"]
        except tf.errors.InvalidArgumentError as error:
            raise RunError(f"{pairs.folder} has a record that is no pair ({error.message}): {RESHARD_REMEDY}") from None
        rows, values = tags.value_rowids().numpy(), tags.flat_values.numpy()
        check_tag_indices(values, len(pairs.vocabulary))
        found[start : start + RECORDS_PER_READ] = mean_tag_weights(values, rows, len(numbers), rare)
    return PairWeights(found)


def _listing(path: Path, columns: list[str], kind: Any = None) -> pd.DataFrame:
    """Columns of a listing. Raises DamagedError for one that is none, though the index vouches for it."""
    try:
        table = pd.read_parquet(path, columns=columns)
        return table if kind is None else table.astype(kind)
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        told = next(iter(str(error).splitlines()), type(error).__name__)
        raise DamagedError(f"{path} lists no pairs ({told}): make the shards again") from None


def _masked_crc(crc: int) -> int:
    """A checksum as TFRecord stores it. Source: tensorflow/core/lib/hash/crc32c.h."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
