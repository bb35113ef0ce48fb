"""Distinct hashes -> pairs of near ones, by workers that share nothing but a folder.

Every band's table is cut by the first bits of its key, a file a piece. Two hashes that are near in the band lie in one
piece, or in two whose first bits differ by no more than the band's radius: each such pair of pieces is a task. A worker
reads its pieces, verifies what it finds, and leaves the pairs in a file of its own.
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
from curate.search import multi_index
from curate.search.arrays import Hashes, HashPairs
from curate.search.multi_index import Bands
from curate.workers import executor
from curate.workers.executor import Workers

HASHES_PER_PARTITION = 1 << 20  # hashes a piece, about: 8 MB to read, some seconds to search
TASK_WEIGHT_PICTURES = 1 << 20  # that a task counts as, where tasks are bundled
MAX_CUT_BITS = 10  # bits of a key by which a table is cut


@dataclass(frozen=True)
class PartitionTask:
    """Two pieces of one band's table, or twice the same."""

    folder: Path
    bands: Bands
    band: int
    cut_bits: int
    radius: int
    partition_a: tuple[str, int]
    """Name of the set, and the key's first bits."""
    partition_b: tuple[str, int]


def find_near_hashes(folder: Path, workers: Workers, values: Hashes, known: Hashes, radius: int) -> Iterator[HashPairs]:
    """As bands.near, in files below an existing folder that all workers see; the caller clears it."""
    known = multi_index.distinct_excluding(known, values)
    plan = multi_index.choose_bands(np.concatenate([values, known]), len(values), radius)
    cut = min(
        MAX_CUT_BITS,
        min(plan.widths) - 1,
        max(0, len(values) + len(known) - 1).bit_length() - HASHES_PER_PARTITION.bit_length() + 1,
    )
    cut = max(0, cut)
    _write(folder, "fresh", values, plan, cut)
    if len(known):
        _write(folder, "known", known, plan, cut)
    tasks = list(_tasks(folder, plan, cut, radius, known=len(known) > 0))
    split = 0
    for path, hot in executor.run(_search_partition_pair, tasks, workers, pictures_per_task=TASK_WEIGHT_PICTURES):
        split += hot
        table = parquet.read_table(path)
        yield np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1)
    if split:
        terminal.print_status(
            f"dedupe: {split:,} buckets of more than {multi_index.HOT_BUCKET_HASHES:,} hashes were split on other bits"
        )


def _write(folder: Path, name: str, hashes: Hashes, plan: Bands, cut: int) -> None:
    """A file for each piece of each band's table, its hashes in order."""
    dealt = plan.permute(hashes)
    for band, reach in enumerate(plan.radii):
        turned = np.sort(plan.rotate_to_band(dealt, band, cut)) if reach >= 0 else dealt[:0]
        first = turned & np.uint64((1 << cut) - 1)
        for key in range(1 << cut if reach >= 0 else 0):
            piece = pa.table({"hash": turned[first == key]})
            parquet.write_table(_partition_path(folder, band, (name, key)), piece)


def _partition_path(folder: Path, band: int, piece: tuple[str, int]) -> Path:
    return folder / f"band-{band}-{piece[0]}-{piece[1]:04d}.parquet"


def _tasks(folder: Path, plan: Bands, cut: int, radius: int, *, known: bool) -> Iterator[PartitionTask]:
    for band, reach in enumerate(plan.radii):
        for one, other in product(range(1 << cut), repeat=2):
            if (one ^ other).bit_count() > reach:
                continue
            if one <= other:
                yield PartitionTask(folder, plan, band, cut, radius, ("fresh", one), ("fresh", other))
            if known:
                yield PartitionTask(folder, plan, band, cut, radius, ("fresh", one), ("known", other))


def _search_partition_pair(task: PartitionTask) -> tuple[Path, int]:
    """Search one pair of pieces; returns where the pairs lie, and how many of its buckets had to be split."""
    names = dict.fromkeys((task.partition_a, task.partition_b))
    tables = [parquet.read_table(_partition_path(task.folder, task.band, name))["hash"].to_numpy() for name in names]
    spent = (task.partition_a[1] ^ task.partition_b[1]).bit_count()
    joined = multi_index.join_tables(
        task.bands, task.band, tables, task.radius, prefix_bits=task.cut_bits, prefix_distance=spent
    )
    found = np.concatenate([np.empty((0, 2), np.uint64), *joined])
    found = task.bands.restore(found, task.band, task.cut_bits)
    partitions = "-".join(f"{name}-{key:04d}" for name, key in (task.partition_a, task.partition_b))
    path = task.folder / f"found-{task.band}-{partitions}.parquet"
    parquet.write_table(path, pa.table({"a": found[:, 0], "b": found[:, 1]}))
    return path, multi_index.count_hot_buckets(task.bands, task.band, tables[-1], prefix_bits=task.cut_bits)
