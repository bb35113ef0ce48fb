"""Pictures -> verified pairs of look-alikes: searches propose, the second look decides, on any number of workers.

Four searches find pairs as they lie (picture, line art, silhouette, edges of colour), one more those of which one was
turned; of those, a sieve proposes what can be look-alikes.
"""

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
from curate.deduplication import compare, partitions, thumbnails
from curate.deduplication.compare import Edge, VerifiedPair
from curate.deduplication.pictures import Pictures
from curate.deduplication.sieve import Sieve
from curate.search import hamming, multi_index
from curate.search.hamming import Hashes, Mask
from curate.signatures import likeness
from curate.stores import worker_folder
from curate.workers import executor
from curate.workers.executor import Workers

# bits; on OpenMoji the silhouette alone proposes 99.9 % of a tone family's pairs within it, the line art 82 %
LINE_RADIUS_BITS = 6
SIEVE_EXEMPT_BITS = (
    3  # bits to the hash of a variant at which no sieve is asked: narrow pictures change much by a slant
)
CANDIDATES_PER_TASK = 4096  # candidates a task

CandidateRows = npt.NDArray[np.int64]
"""(m, 3) int64: two indices a < b, and the variant that one lies in, as in lookalikes.Candidate."""
EdgesByPair = dict[tuple[int, int], Edge]


@dataclass(frozen=True)
class SearchRun:
    """What is compared, how, by whom; and a folder of this run's own, which all workers see."""

    datasets: Sequence[Path]
    """Of which the first is ours to write to."""
    pictures: Pictures
    max_distance: int
    workers: Workers
    scratch: Path

    @cached_property
    def pair_parts(self) -> tuple[Path, ...]:
        """The parts of pairs in which the pictures lie."""
        return tuple(path for dataset in self.datasets for path in parquet.part_paths(dataset / "pairs"))

    @cached_property
    def worker_parts(self) -> tuple[Path, ...]:
        """The parts as workers see them."""
        found: dict[Path, Path] = {}
        for dataset in self.datasets:
            found |= worker_folder.pair_parts_for_workers(dataset, self.workers, self.scratch)
        return tuple(found[path] for path in self.pair_parts)

    @cached_property
    def pair_locations(self) -> npt.NDArray[np.int32]:
        """(n, 2) of each picture in `parts`; every part is read for it once."""
        return thumbnails.locate_pairs(self.pair_parts, self.pictures.ids)

    def near_hashes(self, values: Hashes, known: Hashes, radius: int) -> Iterator[Hashes]:
        """As bands.near; where hashes are many, or others are at work, piece by piece by the workers."""
        few = len(values) + len(known) < partitions.HASHES_PER_PARTITION
        if self.workers == 1 or (isinstance(self.workers, int) and few):
            yield from multi_index.near_hash_pairs(values, known, radius)
            return
        folder = self.scratch / uuid4().hex
        storage.make_folder(folder)
        yield from partitions.find_near_hashes(folder, self.workers, values, known, radius)
        storage.delete_folder(folder)  # a worker given up as lost may still write there


@contextmanager
def _search_run(
    datasets: Sequence[Path], pictures: Pictures, max_distance: int, workers: Workers
) -> Iterator[SearchRun]:
    """A folder that no run before had: workers remember what they read for it, and the lost write to it still."""
    with worker_folder.staging_folder(datasets[0], workers) as folder:
        looks = folder / CANDIDATE_FOLDER
        scratch = looks / uuid4().hex
        for one in (looks, scratch):
            storage.make_folder(one)
        try:
            yield SearchRun(datasets, pictures, max_distance, workers, scratch)
        finally:
            storage.delete_folder(looks)


def find_edges(
    datasets: Sequence[Path],
    pictures: Pictures,
    max_distance: int,
    fresh: Mask | None = None,
    *,
    workers: Workers = 1,
) -> EdgesByPair:
    """Every verified look-alike pair by its two indices. A duplicate is within `max_distance` bits, of one colouring.

    `pictures` are of `datasets`, of which the first is ours to write to. With `fresh`, a (n,) mask, only the pairs of
    which either is fresh: the others have been looked at before.
    """
    fresh = np.ones(len(pictures.ids), np.bool_) if fresh is None else fresh
    sieve = Sieve(pictures)
    with _search_run(datasets, pictures, max_distance, workers) as search:
        pairs = untransformed_pairs(pictures, max_distance, fresh, search.near_hashes, sieve.may_be_lookalikes)
        edges = _edges(_verify_candidates(_with_identity(pairs), search))
        proposed = transformed_pairs(pictures, max_distance, fresh, search.near_hashes, sieve)
        return edges | _best_transformed_edges(
            _verify_candidates(_drop_known_duplicates(proposed, edges), search), edges
        )


def find_duplicates_across(
    datasets: Sequence[Path], pictures: Pictures, max_distance: int, ours: Mask, *, workers: Workers = 1
) -> EdgesByPair:
    """The duplicates among the pairs of one of `ours`, a (n,) mask, and another's; recolours are not sought."""
    sieve = Sieve(pictures)
    with _search_run(datasets, pictures, max_distance, workers) as search:
        pairs = near_picture_pairs(
            pictures.hashes_by_search["trimmed"], max_distance, ours, search.near_hashes, sieve.may_be_duplicates
        )
        edges = _edges(_verify_candidates(_cross_pairs(_with_identity(pairs), ours), search))
        proposed = transformed_pairs(pictures, max_distance, ours, search.near_hashes, sieve)
        edges |= _best_transformed_edges(
            _verify_candidates(_cross_pairs(_drop_known_duplicates(proposed, edges), ours), search), edges
        )
    return {pair: edge for pair, edge in edges.items() if edge.kind == "duplicate"}


def untransformed_pairs(
    pictures: Pictures, max_distance: int, fresh: Mask, search: hamming.PairSearch, sift: hamming.PairFilter | None
) -> hamming.RowPairs:
    """Pairs (m, 2) of which either is fresh, that any of four searches finds and that pass `sift`; each once."""
    radii = {"trimmed": max_distance, "line": LINE_RADIUS_BITS, "outline": LINE_RADIUS_BITS, "edge": LINE_RADIUS_BITS}
    found = [
        near_picture_pairs(pictures.hashes_by_search[name], radius, fresh, search, sift)
        for name, radius in radii.items()
    ]
    return np.unique(np.concatenate(found), axis=0)


def near_picture_pairs(
    hashes: list[str | None], radius: int, fresh: Mask, search: hamming.PairSearch, sift: hamming.PairFilter | None
) -> hamming.RowPairs:
    """As hamming.near_pairs, of hashes some of which say nothing."""
    told = np.array([number for number, one in enumerate(hashes) if one is not None], np.int64)
    parsed = hamming.parse_hex_hashes([one for one in hashes if one is not None])
    within = (lambda pairs: sift(told[pairs])) if sift else None
    return told[hamming.near_pairs(parsed, radius, fresh[told], search, within)].reshape(-1, 2)


def transformed_pairs(
    pictures: Pictures, max_distance: int, fresh: Mask, search: hamming.PairSearch, sieve: Sieve | None
) -> CandidateRows:
    """Pairs of which one is near a variant of the other, and that pass the sieve; sorted, once a variant."""
    told = np.array([number for number, hashes in enumerate(pictures.transform_hashes) if hashes], np.int64)
    if not len(told):
        return np.empty((0, 3), np.int64)
    table = np.array([pictures.transform_hashes[number] for number in told.tolist()], np.uint64)
    proposed = []
    for variant in range(1, table.shape[1]):

        def sift(pairs: hamming.RowPairs, variant: int = variant) -> Mask:
            across = (pairs[:, 0] < len(told)) & (pairs[:, 1] >= len(told)) & (pairs[:, 1] - pairs[:, 0] != len(told))
            if sieve:
                one, other = (pairs[across] - (0, len(told))).T
                sure = hamming.distance(table[one, 0], table[other, variant]) <= SIEVE_EXEMPT_BITS
                across[across] = sure | sieve.may_be_transformed_duplicates(
                    told[np.stack([one, other], axis=1)], variant
                )
            return np.asarray(across, np.bool_)

        hashes = np.concatenate([table[:, 0], table[:, variant]])
        pairs = hamming.near_pairs(hashes, max_distance, np.tile(fresh[told], 2), search, sift)
        one, other = told[pairs - (0, len(told))].T
        lies = np.where(one < other, variant, -variant)
        proposed.append(np.stack([np.minimum(one, other), np.maximum(one, other), lies], axis=1))
    return np.unique(np.concatenate(proposed), axis=0)


def _drop_known_duplicates(proposed: CandidateRows, edges: EdgesByPair) -> CandidateRows:
    """What is not known for a duplicate as it lies."""
    known = [(edge := edges.get((a, b))) is not None and edge.kind == "duplicate" for a, b, _ in proposed.tolist()]
    return proposed[~np.array(known, np.bool_)]


def _cross_pairs(proposed: CandidateRows, ours: Mask) -> CandidateRows:
    return np.asarray(proposed[ours[proposed[:, :2]].sum(axis=1) == 1], np.int64)


def _with_identity(pairs: hamming.RowPairs) -> CandidateRows:
    return np.concatenate([pairs, np.zeros((len(pairs), 1), np.int64)], axis=1)


def _edges(looks: Iterable[VerifiedPair]) -> EdgesByPair:
    return {(look.edge.a, look.edge.b): look.edge for look in looks}


def _best_transformed_edges(looks: Iterable[VerifiedPair], edges: EdgesByPair) -> EdgesByPair:
    """Edges of copies that lie otherwise, where `edges` knows of none as good: the first duplicate, else the first."""
    found: EdgesByPair = {}
    for candidate, edge in sorted(looks, key=lambda look: look.candidate[:3]):
        pair = candidate[:2]
        before = found.get(pair, edges.get(pair))
        if before is None or (edge.kind == "duplicate" and before.kind != "duplicate"):
            found[pair] = edge
    return found


def _verify_candidates(proposed: CandidateRows, search: SearchRun) -> Iterator[VerifiedPair]:
    """What the second look leaves of the proposed pairs, in no order."""
    if not len(proposed):
        return
    part = search.pair_locations[:, 0]
    proposed = proposed[np.lexsort((part[proposed[:, 1]], part[proposed[:, 0]]))]  # neighbours are in the same parts
    blocks = np.split(proposed, range(CANDIDATES_PER_TASK, len(proposed), CANDIDATES_PER_TASK))
    workers = search.workers if len(blocks) > 1 else 1  # starting others would take longer
    with terminal.ProgressBar("dedupe", len(proposed)) as bar:
        looks = executor.run(
            compare.compare_block, _tasks(blocks, search), workers, pictures_per_task=CANDIDATES_PER_TASK
        )
        for block, found in zip(blocks, looks, strict=True):
            bar.advance(len(block))
            yield from found


def _tasks(blocks: Iterable[CandidateRows], search: SearchRun) -> Iterator[compare.CompareTask]:
    for block in blocks:
        path = search.scratch / f"block-{uuid4().hex}.parquet"
        compare.write_candidates(path, _candidate_columns(block, search))
        yield compare.CompareTask(path, search.worker_parts)


def _candidate_columns(block: CandidateRows, search: SearchRun) -> dict[str, Any]:
    """What the records say of a block of pairs, column by column."""
    pictures = search.pictures
    a, b, variant = block.T
    bits, comparable = pictures.hash_distances(a, b), pictures.are_comparable(a, b)
    told = {"a": a, "b": b, "variant": variant.astype(np.int32), "bits": bits, "near": bits <= search.max_distance}
    told |= {f"part_{side}": search.pair_locations[numbers, 0] for side, numbers in (("a", a), ("b", b))}
    told |= {f"row_{side}": search.pair_locations[numbers, 1] for side, numbers in (("a", a), ("b", b))}
    told["color"] = likeness.color_distance(pictures.color_grids[a], pictures.color_grids[b])
    tags = [(pictures.tags[one], pictures.tags[other]) for one, other in zip(a.tolist(), b.tolist(), strict=True)]
    conflict = [likeness.has_color_conflict(*both) for both in tags]
    differ = [bool(one and other) and set(one) != set(other) for one, other in tags]
    return told | {"conflict": conflict, "doubtful": comparable & np.array(differ), "comparable": comparable}
