"""Search distinct hashes for near pairs, on workers that share nothing but a folder.

The table of every band is cut into partitions, one file each, by the first bits of its keys. Two hashes that are near
in a band lie in one partition, or in two whose first bits differ by at most the band's radius. Each such pair of
partitions is a task: a worker reads both, verifies the pairs it finds, and writes them to a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate import terminal
from curate.dataset import parquet
from curate.hash_search import multi_index
from curate.hash_search.array_types import Hashes, HashPairs
from curate.hash_search.multi_index import Bands
from curate.workers import executor
from curate.workers.executor import Workers

HASHES_PER_PARTITION = 1 << 20  # at most about so many: 8 MB to read, some seconds to search
TASK_WEIGHT_PICTURES = 1 << 20  # a task counts as so many pictures when tasks are bundled
MAX_CUT_BITS = 10  # bits of a key by which a table is cut, at most


@dataclass(frozen=True)
class PartitionTask:
    """Two partitions of one band's table, or one partition twice."""

    folder: Path
    bands: Bands
    band: int
    cut_bits: int
    radius: int
    partition_a: tuple[str, int]
    """`fresh` or `known`, and the first bits of the keys."""
    partition_b: tuple[str, int]


def find_near_hashes(folder: Path, workers: Workers, values: Hashes, known: Hashes, radius: int) -> Iterator[HashPairs]:
    """As `multi_index.near_hash_pairs`, by way of a folder that exists, that all workers see and the caller deletes."""
    known = multi_index.distinct_excluding(known, values)
    bands = multi_index.choose_bands(np.concatenate([values, known]), len(values), radius)
    count = len(values) + len(known)
    wanted_bits = max(0, count - 1).bit_length() - HASHES_PER_PARTITION.bit_length() + 1
    cut_bits = max(0, min(MAX_CUT_BITS, min(bands.widths) - 1, wanted_bits))
    _write_partitions(folder, "fresh", values, bands, cut_bits)
    if len(known):
        _write_partitions(folder, "known", known, bands, cut_bits)
    tasks = list(_tasks(folder, bands, cut_bits, radius, known=len(known) > 0))
    hot_buckets = 0
    for path, hot in executor.run(_search_partition_pair, tasks, workers, pictures_per_task=TASK_WEIGHT_PICTURES):
        hot_buckets += hot
        table = parquet.read_table(path)
        yield np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1)
    if hot_buckets:
        size = f"more than {multi_index.HOT_BUCKET_HASHES:,} hashes"
        terminal.print_status(f"dedupe: {hot_buckets:,} buckets of {size} were split on other bits")


def _write_partitions(folder: Path, name: str, hashes: Hashes, bands: Bands, cut_bits: int) -> None:
    """Write a file with sorted hashes for each partition of each band's table."""
    permuted = bands.permute(hashes)
    for band, band_radius in enumerate(bands.radii):
        if band_radius < 0:
            continue
        rotated = np.sort(bands.rotate_to_band(permuted, band, cut_bits))
        first_bits = rotated & np.uint64((1 << cut_bits) - 1)
        for key in range(1 << cut_bits):
            partition = pa.table({"hash": rotated[first_bits == key]})
            parquet.write_table(_partition_path(folder, band, (name, key)), partition)


def _partition_path(folder: Path, band: int, partition: tuple[str, int]) -> Path:
    name, key = partition
    return folder / f"band-{band}-{name}-{key:04d}.parquet"


def _tasks(folder: Path, bands: Bands, cut_bits: int, radius: int, *, known: bool) -> Iterator[PartitionTask]:
    for band, band_radius in enumerate(bands.radii):
        for key_a, key_b in product(range(1 << cut_bits), repeat=2):
            if (key_a ^ key_b).bit_count() > band_radius:
                continue
            if key_a <= key_b:
                yield PartitionTask(folder, bands, band, cut_bits, radius, ("fresh", key_a), ("fresh", key_b))
            if known:
                yield PartitionTask(folder, bands, band, cut_bits, radius, ("fresh", key_a), ("known", key_b))


def _search_partition_pair(task: PartitionTask) -> tuple[Path, int]:
    """Search two partitions. Returns the file with the pairs, and how many buckets had to be split for their size."""
    partitions = dict.fromkeys((task.partition_a, task.partition_b))
    tables = [
        parquet.read_table(_partition_path(task.folder, task.band, partition))["hash"].to_numpy()
        for partition in partitions
    ]
    prefix_distance = (task.partition_a[1] ^ task.partition_b[1]).bit_count()
    joined = multi_index.join_tables(
        task.bands, task.band, tables, task.radius, prefix_bits=task.cut_bits, prefix_distance=prefix_distance
    )
    pairs = np.concatenate([np.empty((0, 2), np.uint64), *joined])
    pairs = task.bands.restore(pairs, task.band, task.cut_bits)
    names = "-".join(f"{name}-{key:04d}" for name, key in (task.partition_a, task.partition_b))
    path = task.folder / f"found-{task.band}-{names}.parquet"
    parquet.write_table(path, pa.table({"a": pairs[:, 0], "b": pairs[:, 1]}))
    return path, multi_index.count_hot_buckets(task.bands, task.band, tables[-1], prefix_bits=task.cut_bits)
