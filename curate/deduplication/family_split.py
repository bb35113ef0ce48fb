"""Families of look-alikes and their splits. Both depend only on the order in which pictures were added."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from curate.contract import SPLITS
from curate.system.errors import NurieError


@dataclass(frozen=True)
class SplitShares:
    """The share of families in each split, and the seed that decides which family goes where."""

    train: float = 0.9
    validation: float = 0.05
    test: float = 0.05
    seed: int = 0

    def split_of(self, family: str) -> str:
        """The split of the family whose first picture has the id `family`. Always the same, so a family never moves."""
        digest = hashlib.sha256(f"{self.seed}:{family}".encode()).digest()
        draw = int.from_bytes(digest[:8], "big") / 2**64
        return SPLITS[0] if draw < self.train else SPLITS[1] if draw < self.train + self.validation else SPLITS[2]


def parse_split_shares(text: str, seed: int) -> SplitShares:
    """Read `0.9,0.05,0.05`. Raises NurieError unless there are three shares that add up to 1."""
    try:
        train, validation, test = (float(part) for part in text.split(","))
    except ValueError:
        raise NurieError(f"--split {text!r} is not three numbers: write for example 0.9,0.05,0.05") from None
    if min(train, validation, test) < 0 or abs(train + validation + test - 1) > 1e-9:
        raise NurieError(f"--split {text!r} does not add up to 1: write for example 0.9,0.05,0.05")
    return SplitShares(train, validation, test, seed)


class FamilyUnionFind:
    """Union-find over pictures, by index in the order they were added; a family's root is its first member."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def root(self, picture: int) -> int:
        """First member of the picture's family."""
        while self.parent[picture] != picture:
            self.parent[picture] = self.parent[self.parent[picture]]
            picture = self.parent[picture]
        return picture

    def merge(self, a: int, b: int) -> None:
        """Make one family of those of two pictures."""
        first, second = sorted((self.root(a), self.root(b)))
        self.parent[second] = first


def grow_families(
    ids: Sequence[str], neighbours: Sequence[Sequence[int]], shares: SplitShares
) -> tuple[FamilyUnionFind, frozenset[int]]:
    """Add pictures one by one to the families of the look-alikes added before them.

    `neighbours[i]` are the verified look-alikes of picture i. A newcomer whose look-alikes are in two splits would join
    these, so it is left out and returned in the set. So no family ever straddles splits or moves to another.
    """
    families, straddlers = FamilyUnionFind(len(ids)), set[int]()
    for newcomer, lookalikes in enumerate(neighbours):
        earlier = [picture for picture in lookalikes if picture < newcomer and picture not in straddlers]
        splits = {shares.split_of(ids[families.root(picture)]) for picture in earlier}
        if len(splits) > 1:
            straddlers.add(newcomer)
            continue
        for picture in earlier:
            families.merge(newcomer, picture)
    return families, frozenset(straddlers)
