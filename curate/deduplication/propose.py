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

from curate.dataset import parquet
from curate.dataset.ledger import LOOKS
from curate.deduplication import compare, partitions, thumbnails
from curate.deduplication.compare import Edge, Look
from curate.deduplication.pictures import Pictures
from curate.deduplication.sieve import Sieve
from curate.search import hamming, multi_index
from curate.search.hamming import Hashes, Mask
from curate.signatures import likeness
from curate.stores import worker_folder
from curate.system import storage
from curate.workers import executor, progress
from curate.workers.executor import Workers

# bits; on OpenMoji the silhouette alone proposes 99.9 % of a tone family's pairs within it, the line art 82 %
LINE_RADIUS = 6
SURE = 3  # bits to the hash of a variant at which no sieve is asked: narrow pictures change much by a slant
BLOCK = 4096  # candidates a task

Proposed = npt.NDArray[np.int64]
"""(m, 3) int64: two indices a < b, and the variant that one lies in, as in lookalikes.Candidate."""
Edges = dict[tuple[int, int], Edge]


@dataclass(frozen=True)
class Search:
    """What is compared, how, by whom; and a folder of this run's own, which all workers see."""

    datasets: Sequence[Path]
    """Of which the first is ours to write to."""
    pictures: Pictures
    max_distance: int
    workers: Workers
    scratch: Path

    @cached_property
    def parts(self) -> tuple[Path, ...]:
        """The parts of pairs in which the pictures lie."""
        return tuple(path for dataset in self.datasets for path in parquet.parts(dataset / "pairs"))

    @cached_property
    def seen(self) -> tuple[Path, ...]:
        """The parts as workers see them."""
        found: dict[Path, Path] = {}
        for dataset in self.datasets:
            found |= worker_folder.parts(dataset, self.workers, self.scratch)
        return tuple(found[path] for path in self.parts)

    @cached_property
    def places(self) -> npt.NDArray[np.int32]:
        """(n, 2) of each picture in `parts`; every part is read for it once."""
        return thumbnails.places(self.parts, self.pictures.ids)

    def near(self, values: Hashes, known: Hashes, radius: int) -> Iterator[Hashes]:
        """As bands.near; where hashes are many, or others are at work, piece by piece by the workers."""
        few = len(values) + len(known) < partitions.PIECE
        if self.workers == 1 or (isinstance(self.workers, int) and few):
            yield from multi_index.near(values, known, radius)
            return
        folder = self.scratch / uuid4().hex
        storage.make(folder)
        yield from partitions.search(folder, self.workers, values, known, radius)
        storage.clear(folder)  # a worker given up as lost may still write there


@contextmanager
def _searching(datasets: Sequence[Path], pictures: Pictures, max_distance: int, workers: Workers) -> Iterator[Search]:
    """A folder that no run before had: workers remember what they read for it, and the lost write to it still."""
    with worker_folder.staging(datasets[0], workers) as folder:
        looks = folder / LOOKS
        scratch = looks / uuid4().hex
        for one in (looks, scratch):
            storage.make(one)
        try:
            yield Search(datasets, pictures, max_distance, workers, scratch)
        finally:
            storage.clear(looks)


def find(
    datasets: Sequence[Path],
    pictures: Pictures,
    max_distance: int,
    fresh: Mask | None = None,
    *,
    workers: Workers = 1,
) -> Edges:
    """Every verified look-alike pair by its two indices. A duplicate is within `max_distance` bits, of one colouring.

    `pictures` are of `datasets`, of which the first is ours to write to. With `fresh`, a (n,) mask, only the pairs of
    which either is fresh: the others have been looked at before.
    """
    fresh = np.ones(len(pictures.ids), np.bool_) if fresh is None else fresh
    sieve = Sieve(pictures)
    with _searching(datasets, pictures, max_distance, workers) as search:
        pairs = as_they_lie(pictures, max_distance, fresh, search.near, sieve.as_they_lie)
        edges = _edges(_look(_laid(pairs), search))
        proposed = turned(pictures, max_distance, fresh, search.near, sieve)
        return edges | _best(_look(_open(proposed, edges), search), edges)


def find_copies(
    datasets: Sequence[Path], pictures: Pictures, max_distance: int, ours: Mask, *, workers: Workers = 1
) -> Edges:
    """The duplicates among the pairs of one of `ours`, a (n,) mask, and another's; recolours are not sought."""
    sieve = Sieve(pictures)
    with _searching(datasets, pictures, max_distance, workers) as search:
        pairs = near_pairs(pictures.hashes["trimmed"], max_distance, ours, search.near, sieve.copies)
        edges = _edges(_look(_across(_laid(pairs), ours), search))
        proposed = turned(pictures, max_distance, ours, search.near, sieve)
        edges |= _best(_look(_across(_open(proposed, edges), ours), search), edges)
    return {pair: edge for pair, edge in edges.items() if edge.kind == "duplicate"}


def as_they_lie(
    pictures: Pictures, max_distance: int, fresh: Mask, search: hamming.Search, sift: hamming.Sift | None
) -> hamming.Pairs:
    """Pairs (m, 2) of which either is fresh, that any of four searches finds and that pass `sift`; each once."""
    radii = {"trimmed": max_distance, "line": LINE_RADIUS, "outline": LINE_RADIUS, "edge": LINE_RADIUS}
    found = [near_pairs(pictures.hashes[name], radius, fresh, search, sift) for name, radius in radii.items()]
    return np.unique(np.concatenate(found), axis=0)


def near_pairs(
    hashes: list[str | None], radius: int, fresh: Mask, search: hamming.Search, sift: hamming.Sift | None
) -> hamming.Pairs:
    """As hamming.near_pairs, of hashes some of which say nothing."""
    told = np.array([number for number, one in enumerate(hashes) if one is not None], np.int64)
    parsed = hamming.parse([one for one in hashes if one is not None])
    within = (lambda pairs: sift(told[pairs])) if sift else None
    return told[hamming.near_pairs(parsed, radius, fresh[told], search, within)].reshape(-1, 2)


def turned(pictures: Pictures, max_distance: int, fresh: Mask, search: hamming.Search, sieve: Sieve | None) -> Proposed:
    """Pairs of which one is near a variant of the other, and that pass the sieve; sorted, once a variant."""
    told = np.array([number for number, hashes in enumerate(pictures.variants) if hashes], np.int64)
    if not len(told):
        return np.empty((0, 3), np.int64)
    table = np.array([pictures.variants[number] for number in told.tolist()], np.uint64)
    proposed = []
    for variant in range(1, table.shape[1]):

        def sift(pairs: hamming.Pairs, variant: int = variant) -> Mask:
            across = (pairs[:, 0] < len(told)) & (pairs[:, 1] >= len(told)) & (pairs[:, 1] - pairs[:, 0] != len(told))
            if sieve:
                one, other = (pairs[across] - (0, len(told))).T
                sure = hamming.distance(table[one, 0], table[other, variant]) <= SURE
                across[across] = sure | sieve.turned(told[np.stack([one, other], axis=1)], variant)
            return np.asarray(across, np.bool_)

        hashes = np.concatenate([table[:, 0], table[:, variant]])
        pairs = hamming.near_pairs(hashes, max_distance, np.tile(fresh[told], 2), search, sift)
        one, other = told[pairs - (0, len(told))].T
        lies = np.where(one < other, variant, -variant)
        proposed.append(np.stack([np.minimum(one, other), np.maximum(one, other), lies], axis=1))
    return np.unique(np.concatenate(proposed), axis=0)


def _open(proposed: Proposed, edges: Edges) -> Proposed:
    """What is not known for a duplicate as it lies."""
    known = [(edge := edges.get((a, b))) is not None and edge.kind == "duplicate" for a, b, _ in proposed.tolist()]
    return proposed[~np.array(known, np.bool_)]


def _across(proposed: Proposed, ours: Mask) -> Proposed:
    return np.asarray(proposed[ours[proposed[:, :2]].sum(axis=1) == 1], np.int64)


def _laid(pairs: hamming.Pairs) -> Proposed:
    return np.concatenate([pairs, np.zeros((len(pairs), 1), np.int64)], axis=1)


def _edges(looks: Iterable[Look]) -> Edges:
    return {(look.edge.a, look.edge.b): look.edge for look in looks}


def _best(looks: Iterable[Look], edges: Edges) -> Edges:
    """Edges of copies that lie otherwise, where `edges` knows of none as good: the first duplicate, else the first."""
    found: Edges = {}
    for candidate, edge in sorted(looks, key=lambda look: look.candidate[:3]):
        pair = candidate[:2]
        before = found.get(pair, edges.get(pair))
        if before is None or (edge.kind == "duplicate" and before.kind != "duplicate"):
            found[pair] = edge
    return found


def _look(proposed: Proposed, search: Search) -> Iterator[Look]:
    """What the second look leaves of the proposed pairs, in no order."""
    if not len(proposed):
        return
    part = search.places[:, 0]
    proposed = proposed[np.lexsort((part[proposed[:, 1]], part[proposed[:, 0]]))]  # neighbours are in the same parts
    blocks = np.split(proposed, range(BLOCK, len(proposed), BLOCK))
    workers = search.workers if len(blocks) > 1 else 1  # starting others would take longer
    with progress.bar("dedupe", len(proposed)) as bar:
        looks = executor.run(compare.look, _tasks(blocks, search), workers, pictures=BLOCK)
        for block, found in zip(blocks, looks, strict=True):
            bar.advance(len(block))
            yield from found


def _tasks(blocks: Iterable[Proposed], search: Search) -> Iterator[compare.Task]:
    for block in blocks:
        path = search.scratch / f"block-{uuid4().hex}.parquet"
        compare.write(path, _told(block, search))
        yield compare.Task(path, search.seen)


def _told(block: Proposed, search: Search) -> dict[str, Any]:
    """What the records say of a block of pairs, column by column."""
    pictures = search.pictures
    a, b, variant = block.T
    bits, comparable = pictures.all_bits(a, b), pictures.all_comparable(a, b)
    told = {"a": a, "b": b, "variant": variant.astype(np.int32), "bits": bits, "near": bits <= search.max_distance}
    told |= {f"part_{side}": search.places[numbers, 0] for side, numbers in (("a", a), ("b", b))}
    told |= {f"row_{side}": search.places[numbers, 1] for side, numbers in (("a", a), ("b", b))}
    told["color"] = likeness.color_distance(pictures.colors[a], pictures.colors[b])
    tags = [(pictures.tags[one], pictures.tags[other]) for one, other in zip(a.tolist(), b.tolist(), strict=True)]
    conflict = [likeness.colors_conflict(*both) for both in tags]
    differ = [bool(one and other) and set(one) != set(other) for one, other in tags]
    return told | {"conflict": conflict, "doubtful": comparable & np.array(differ), "comparable": comparable}
