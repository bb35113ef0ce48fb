"""Pictures -> verified pairs of look-alikes: searches propose, the second look decides, on any number of workers.

Four searches propose pairs as they lie (picture, line art, silhouette, edges of colour), one more those of which one
was turned.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from curate import bands, engine, hamming, likeness, lookalikes, manifest, partitions, progress, thumbnails
from curate.engine import Workers
from curate.hamming import Hashes, Mask
from curate.ledger import LOOKS
from curate.lookalikes import Edge, Look
from curate.pictures import Pictures

# bits; on OpenMoji the silhouette alone proposes 99.9 % of a tone family's pairs within it, the line art 82 %
LINE_RADIUS = 6
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
        return tuple(path.absolute() for dataset in self.datasets for path in manifest.parts(dataset / "pairs"))

    @cached_property
    def places(self) -> npt.NDArray[np.int32]:
        """(n, 2) of each picture in `parts`; every part is read for it once."""
        return thumbnails.places(self.parts, self.pictures.ids)

    def near(self, values: Hashes, known: Hashes, radius: int) -> Iterator[Hashes]:
        """As bands.near; where hashes are many, or others are at work, piece by piece by the workers."""
        few = len(values) + len(known) < partitions.PIECE
        if self.workers == 1 or (isinstance(self.workers, int) and few):
            yield from bands.near(values, known, radius)
            return
        folder = self.scratch / uuid4().hex
        folder.mkdir()
        yield from partitions.search(folder, self.workers, values, known, radius)
        shutil.rmtree(folder, ignore_errors=True)  # a worker given up as lost may still write there


@contextmanager
def _searching(datasets: Sequence[Path], pictures: Pictures, max_distance: int, workers: Workers) -> Iterator[Search]:
    """A folder that no run before had: workers remember what they read for it, and the lost write to it still."""
    looks = datasets[0].absolute() / LOOKS
    scratch = looks / uuid4().hex
    scratch.mkdir(parents=True)
    try:
        yield Search(datasets, pictures, max_distance, workers, scratch)
    finally:
        shutil.rmtree(looks, ignore_errors=True)


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
    radii = {"trimmed": max_distance, "line": LINE_RADIUS, "outline": LINE_RADIUS, "edge": LINE_RADIUS}
    with _searching(datasets, pictures, max_distance, workers) as search:
        found = [_pairs(pictures.hashes[name], radius, fresh, search) for name, radius in radii.items()]
        edges = _edges(_look(_as_they_lie(np.unique(np.concatenate(found), axis=0)), search))
        return edges | _best(_look(_turned(search, fresh, edges), search), edges)


def find_copies(
    datasets: Sequence[Path], pictures: Pictures, max_distance: int, ours: Mask, *, workers: Workers = 1
) -> Edges:
    """The duplicates among the pairs of one of `ours`, a (n,) mask, and another's; recolours are not sought."""
    with _searching(datasets, pictures, max_distance, workers) as search:
        pairs = _pairs(pictures.hashes["trimmed"], max_distance, ours, search)
        edges = _edges(_look(_across(_as_they_lie(pairs), ours), search))
        edges |= _best(_look(_across(_turned(search, ours, edges), ours), search), edges)
    return {pair: edge for pair, edge in edges.items() if edge.kind == "duplicate"}


def _across(proposed: Proposed, ours: Mask) -> Proposed:
    return np.asarray(proposed[ours[proposed[:, :2]].sum(axis=1) == 1], np.int64)


def _pairs(hashes: list[str | None], radius: int, fresh: Mask, search: Search) -> hamming.Pairs:
    told = np.array([number for number, one in enumerate(hashes) if one is not None], np.int64)
    parsed = hamming.parse([one for one in hashes if one is not None])
    return told[hamming.near_pairs(parsed, radius, fresh[told], search.near)].reshape(-1, 2)


def _as_they_lie(pairs: hamming.Pairs) -> Proposed:
    return np.concatenate([pairs, np.zeros((len(pairs), 1), np.int64)], axis=1)


def _turned(search: Search, fresh: Mask, edges: Edges) -> Proposed:
    """Pairs of which one is near a variant of the other, but for those known as duplicates."""
    pictures = search.pictures
    told = np.array([number for number, hashes in enumerate(pictures.variants) if hashes], np.int64)
    if not len(told):
        return np.empty((0, 3), np.int64)
    table = np.array([pictures.variants[number] for number in told.tolist()], np.uint64)
    sought = np.tile(fresh[told], 2)
    found = set()
    for variant in range(1, table.shape[1]):
        hashes = np.concatenate([table[:, 0], table[:, variant]])
        pairs = hamming.near_pairs(hashes, search.max_distance, sought, search.near)
        across = pairs[(pairs[:, 0] < len(told)) & (pairs[:, 1] >= len(told))] - (0, len(told))
        for one, other in told[across[across[:, 0] != across[:, 1]]].tolist():
            found.add((one, other, variant) if one < other else (other, one, -variant))
    open_ones = [row for row in sorted(found) if (edge := edges.get(row[:2])) is None or edge.kind != "duplicate"]
    return np.array(open_ones, np.int64).reshape(-1, 3)


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
        looks = engine.run(lookalikes.look, _tasks(blocks, search), workers, pictures=BLOCK)
        for block, found in zip(blocks, looks, strict=True):
            bar.advance(len(block))
            yield from found


def _tasks(blocks: Iterable[Proposed], search: Search) -> Iterator[lookalikes.Task]:
    for block in blocks:
        path = search.scratch / f"block-{uuid4().hex}.parquet"
        lookalikes.write(path, _told(block, search))
        yield lookalikes.Task(path, search.parts)


def _told(block: Proposed, search: Search) -> dict[str, Any]:
    """What the records say of a block of pairs, column by column."""
    pictures = search.pictures
    a, b, variant = block.T
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    bits = np.array([pictures.bits(*pair) for pair in pairs], np.int32)
    comparable = [pictures.comparable(*pair) for pair in pairs]
    told = {"a": a, "b": b, "variant": variant.astype(np.int32), "bits": bits, "near": bits <= search.max_distance}
    told |= {f"part_{side}": search.places[numbers, 0] for side, numbers in (("a", a), ("b", b))}
    told |= {f"row_{side}": search.places[numbers, 1] for side, numbers in (("a", a), ("b", b))}
    told["color"] = likeness.color_distance(pictures.colors[a], pictures.colors[b])
    tags = [(pictures.tags[one], pictures.tags[other]) for one, other in pairs]
    conflict = [likeness.colors_conflict(*both) for both in tags]
    differ = [bool(one and other) and set(one) != set(other) for one, other in tags]
    doubtful = [one and other for one, other in zip(differ, comparable, strict=True)]
    return told | {"conflict": conflict, "doubtful": doubtful, "comparable": comparable}
