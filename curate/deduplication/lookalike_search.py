"""Pictures -> verified pairs of look-alikes: searches propose candidates, workers verify them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from curate import storage, terminal
from curate.dataset import parquet
from curate.dataset.ledger import CANDIDATE_FOLDER
from curate.deduplication import compare, partitioned_search, thumbnails
from curate.deduplication.candidates import CandidateRows, near_picture_pairs, pairs_as_stored, pairs_reoriented
from curate.deduplication.compare import Edge, VerifiedPair
from curate.deduplication.pictures import Pictures
from curate.deduplication.sieve import Sieve
from curate.hash_search import multi_index
from curate.hash_search.hamming import Hashes, Mask, RowPairs
from curate.signatures import similarity
from curate.stores import worker_folder
from curate.workers import executor
from curate.workers.executor import Workers

CANDIDATES_PER_TASK = 4096

EdgesByPair = dict[tuple[int, int], Edge]


@dataclass(frozen=True)
class SearchRun:
    """What one search for look-alikes works on, and with."""

    datasets: Sequence[Path]
    """The datasets that hold the pictures; only the first may be written to."""
    pictures: Pictures
    max_distance: int
    workers: Workers
    scratch: Path
    """A folder of this run's own that all workers see."""

    @cached_property
    def pair_parts(self) -> tuple[Path, ...]:
        """The parts of all datasets' pairs."""
        return tuple(path for dataset in self.datasets for path in parquet.part_paths(dataset / "pairs"))

    @cached_property
    def worker_parts(self) -> tuple[Path, ...]:
        """`pair_parts` under the paths by which workers see them."""
        path_for_workers: dict[Path, Path] = {}
        for dataset in self.datasets:
            path_for_workers |= worker_folder.pair_parts_for_workers(dataset, self.workers, self.scratch)
        return tuple(path_for_workers[path] for path in self.pair_parts)

    @cached_property
    def pair_locations(self) -> npt.NDArray[np.int32]:
        """(n, 2) part number and row of each picture's pair. Reads the ids of every part once."""
        return thumbnails.locate_pairs(self.pair_parts, self.pictures.ids)

    def near_hashes(self, values: Hashes, known: Hashes, radius: int) -> Iterator[Hashes]:
        """As `multi_index.near_hash_pairs`. Workers share the search if there are many hashes or remote workers."""
        few = len(values) + len(known) < partitioned_search.HASHES_PER_PARTITION
        if self.workers == 1 or (isinstance(self.workers, int) and few):
            yield from multi_index.near_hash_pairs(values, known, radius)
            return
        folder = self.scratch / uuid4().hex
        storage.make_folder(folder)
        yield from partitioned_search.find_near_hashes(folder, self.workers, values, known, radius)
        storage.delete_folder(folder)  # a worker that was given up as lost may still write there

    def verify(self, candidates: CandidateRows) -> Iterator[VerifiedPair]:
        """The candidates that are no strangers, in no particular order."""
        if not len(candidates):
            return
        part = self.pair_locations[:, 0]
        # candidates of the same parts are neighbours, so that a worker reads few parts
        candidates = candidates[np.lexsort((part[candidates[:, 1]], part[candidates[:, 0]]))]
        blocks = np.split(candidates, range(CANDIDATES_PER_TASK, len(candidates), CANDIDATES_PER_TASK))
        workers = self.workers if len(blocks) > 1 else 1  # starting others would take longer
        with terminal.ProgressBar("dedupe", len(candidates)) as bar:
            results = executor.run(
                compare.compare_block, self.compare_tasks(blocks), workers, pictures_per_task=CANDIDATES_PER_TASK
            )
            for block, verified in zip(blocks, results, strict=True):
                bar.advance(len(block))
                yield from verified

    def compare_tasks(self, blocks: Iterable[CandidateRows]) -> Iterator[compare.CompareTask]:
        """Write each block of candidates to a file for a worker."""
        for block in blocks:
            path = self.scratch / f"block-{uuid4().hex}.parquet"
            compare.write_candidates(path, self.candidate_columns(block))
            yield compare.CompareTask(path, self.worker_parts)

    def candidate_columns(self, block: CandidateRows) -> dict[str, Any]:
        """A column for each field of `compare.Candidate`."""
        pictures, (a, b, orientation) = self.pictures, block.T
        bits, comparable = pictures.hash_distances(a, b), pictures.are_comparable(a, b)
        tags = [(pictures.tags[index_a], pictures.tags[index_b]) for index_a, index_b in block[:, :2].tolist()]
        tags_differ = [bool(tags_a and tags_b) and set(tags_a) != set(tags_b) for tags_a, tags_b in tags]
        return {
            "a": a,
            "b": b,
            "orientation": orientation.astype(np.int32),
            "bits": bits,
            "part_a": self.pair_locations[a, 0],
            "row_a": self.pair_locations[a, 1],
            "part_b": self.pair_locations[b, 0],
            "row_b": self.pair_locations[b, 1],
            "color": similarity.color_distance(pictures.color_grids[a], pictures.color_grids[b]),
            "near": bits <= self.max_distance,
            "conflict": [similarity.has_color_conflict(*both) for both in tags],
            "doubtful": comparable & np.array(tags_differ),
            "comparable": comparable,
        }


@contextmanager
def start_search(
    datasets: Sequence[Path], pictures: Pictures, max_distance: int, workers: Workers
) -> Iterator[SearchRun]:
    """A run with a scratch folder that no earlier run used: workers cache what they read there, and lost ones write."""
    with worker_folder.staging_folder(datasets[0], workers) as folder:
        candidates = folder / CANDIDATE_FOLDER
        scratch = candidates / uuid4().hex
        for path in (candidates, scratch):
            storage.make_folder(path)
        try:
            yield SearchRun(datasets, pictures, max_distance, workers, scratch)
        finally:
            storage.delete_folder(candidates)


def find_edges(
    datasets: Sequence[Path],
    pictures: Pictures,
    max_distance: int,
    fresh: Mask | None = None,
    *,
    workers: Workers = 1,
) -> EdgesByPair:
    """Every verified pair of look-alikes, by its two indices. Duplicates are within `max_distance` bits.

    `pictures` come from `datasets`, of which only the first may be written to. `fresh` is a (n,) mask: only pairs with
    a fresh picture are compared. By default all are fresh.
    """
    fresh = np.ones(len(pictures.ids), np.bool_) if fresh is None else fresh
    sieve = Sieve(pictures)
    with start_search(datasets, pictures, max_distance, workers) as run:
        pairs = pairs_as_stored(pictures, max_distance, fresh, run.near_hashes, sieve.may_be_lookalikes)
        edges = _edges_by_pair(run.verify(_as_stored(pairs)))
        reoriented = pairs_reoriented(pictures, max_distance, fresh, run.near_hashes, sieve)
        return edges | _better_edges(run.verify(_without_duplicates(reoriented, edges)), edges)


def find_duplicates_across(
    datasets: Sequence[Path], pictures: Pictures, max_distance: int, is_own: Mask, *, workers: Workers = 1
) -> EdgesByPair:
    """The duplicates of an own picture and a foreign one, by their two indices. Recolours are not searched for.

    `is_own` is a (n,) mask.
    """
    sieve, trimmed = Sieve(pictures), pictures.hashes_by_search["trimmed"]
    with start_search(datasets, pictures, max_distance, workers) as run:
        pairs = near_picture_pairs(trimmed, max_distance, is_own, run.near_hashes, sieve.may_be_duplicates)
        edges = _edges_by_pair(run.verify(_across(_as_stored(pairs), is_own)))
        reoriented = pairs_reoriented(pictures, max_distance, is_own, run.near_hashes, sieve)
        edges |= _better_edges(run.verify(_across(_without_duplicates(reoriented, edges), is_own)), edges)
    return {pair: edge for pair, edge in edges.items() if edge.kind == "duplicate"}


def _as_stored(pairs: RowPairs) -> CandidateRows:
    return np.concatenate([pairs, np.zeros((len(pairs), 1), np.int64)], axis=1)


def _across(candidates: CandidateRows, is_own: Mask) -> CandidateRows:
    """The candidates with exactly one own picture."""
    return np.asarray(candidates[is_own[candidates[:, :2]].sum(axis=1) == 1], np.int64)


def _without_duplicates(candidates: CandidateRows, edges: EdgesByPair) -> CandidateRows:
    """The candidates that are not yet known to be duplicates."""
    is_duplicate = [
        (edge := edges.get((a, b))) is not None and edge.kind == "duplicate" for a, b, _ in candidates.tolist()
    ]
    return candidates[~np.array(is_duplicate, np.bool_)]


def _edges_by_pair(verified: Iterable[VerifiedPair]) -> EdgesByPair:
    return {(edge.a, edge.b): edge for _, edge in verified}


def _better_edges(verified: Iterable[VerifiedPair], edges: EdgesByPair) -> EdgesByPair:
    """The first duplicate of each verified pair, else its first edge, if it is better than the one in `edges`."""
    better: EdgesByPair = {}
    for _, edge in sorted(verified, key=lambda pair: pair.candidate[:3]):  # by pair, then orientation
        key = (edge.a, edge.b)
        best = better.get(key, edges.get(key))
        if best is None or (edge.kind == "duplicate" and best.kind != "duplicate"):
            better[key] = edge
    return better
