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

from curate.dataset import parquet
from curate.search import multi_index
from curate.search.bucket_join import Hashes
from curate.search.multi_index import Bands, Found
from curate.workers import executor, progress
from curate.workers.executor import Workers

PIECE = 1 << 20  # hashes a piece, about: 8 MB to read, some seconds to search
PICTURES = 1 << 20  # that a task counts as, where tasks are bundled
MOST = 10  # bits of a key by which a table is cut


@dataclass(frozen=True)
class Task:
    """Two pieces of one band's table, or twice the same."""

    folder: Path
    bands: Bands
    band: int
    cut: int
    radius: int
    one: tuple[str, int]
    """Name of the set, and the key's first bits."""
    other: tuple[str, int]


def search(folder: Path, workers: Workers, values: Hashes, known: Hashes, radius: int) -> Iterator[Found]:
    """As bands.near, in files below an existing folder that all workers see; the caller clears it."""
    known = multi_index.apart(known, values)
    plan = multi_index.bands_for(np.concatenate([values, known]), len(values), radius)
    cut = min(MOST, min(plan.widths) - 1, max(0, len(values) + len(known) - 1).bit_length() - PIECE.bit_length() + 1)
    cut = max(0, cut)
    _write(folder, "fresh", values, plan, cut)
    if len(known):
        _write(folder, "known", known, plan, cut)
    tasks = list(_tasks(folder, plan, cut, radius, known=len(known) > 0))
    split = 0
    for path, hot in executor.run(_join, tasks, workers, pictures=PICTURES):
        split += hot
        table = parquet.read_table(path)
        yield np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1)
    if split:
        progress.say(f"dedupe: {split:,} buckets of more than {multi_index.HOT:,} hashes were split on other bits")


def _write(folder: Path, name: str, hashes: Hashes, plan: Bands, cut: int) -> None:
    """A file for each piece of each band's table, its hashes in order."""
    dealt = plan.deal(hashes)
    for band, reach in enumerate(plan.radii):
        turned = np.sort(plan.turn(dealt, band, cut)) if reach >= 0 else dealt[:0]
        first = turned & np.uint64((1 << cut) - 1)
        for key in range(1 << cut if reach >= 0 else 0):
            piece = pa.table({"hash": turned[first == key]})
            parquet.write_table(_piece(folder, band, (name, key)), piece)


def _piece(folder: Path, band: int, piece: tuple[str, int]) -> Path:
    return folder / f"band-{band}-{piece[0]}-{piece[1]:04d}.parquet"


def _tasks(folder: Path, plan: Bands, cut: int, radius: int, *, known: bool) -> Iterator[Task]:
    for band, reach in enumerate(plan.radii):
        for one, other in product(range(1 << cut), repeat=2):
            if (one ^ other).bit_count() > reach:
                continue
            if one <= other:
                yield Task(folder, plan, band, cut, radius, ("fresh", one), ("fresh", other))
            if known:
                yield Task(folder, plan, band, cut, radius, ("fresh", one), ("known", other))


def _join(task: Task) -> tuple[Path, int]:
    """Search one pair of pieces; returns where the pairs lie, and how many of its buckets had to be split."""
    names = dict.fromkeys((task.one, task.other))
    tables = [parquet.read_table(_piece(task.folder, task.band, name))["hash"].to_numpy() for name in names]
    spent = (task.one[1] ^ task.other[1]).bit_count()
    joined = multi_index.join(task.bands, task.band, tables, task.radius, cut=task.cut, spent=spent)
    found = np.concatenate([np.empty((0, 2), np.uint64), *joined])
    found = task.bands.undo(found, task.band, task.cut)
    path = (
        task.folder
        / f"found-{task.band}-{'-'.join(f'{name}-{key:04d}' for name, key in (task.one, task.other))}.parquet"
    )
    parquet.write_table(path, pa.table({"a": found[:, 0], "b": found[:, 1]}))
    return path, multi_index.hot_buckets(task.bands, task.band, tables[-1], cut=task.cut)
