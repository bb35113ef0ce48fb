"""Families of look-alikes, in the order pictures were added -> train, validation or test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from curate.contract import SPLITS
from curate.system.errors import NurieError


@dataclass(frozen=True)
class SplitShares:
    """Share of families that goes to each split, and the seed that decides which."""

    train: float = 0.9
    validation: float = 0.05
    test: float = 0.05
    seed: int = 0

    def split_of(self, family: str) -> str:
        """Split of the family whose first-added id is `family`: a pure function, so it never moves."""
        digest = hashlib.sha256(f"{self.seed}:{family}".encode()).digest()
        draw = int.from_bytes(digest[:8], "big") / 2**64
        return SPLITS[0] if draw < self.train else SPLITS[1] if draw < self.train + self.validation else SPLITS[2]


def parse_split_shares(text: str, seed: int) -> SplitShares:
    """Read `0.9,0.05,0.05`. Raises NurieError unless it is three shares that add up to 1."""
    try:
        train, validation, test = (float(part) for part in text.split(","))
    except ValueError:
        raise NurieError(f"--split {text!r} is not three numbers: write for example 0.9,0.05,0.05") from None
    if min(train, validation, test) < 0 or abs(train + validation + test - 1) > 1e-9:
        raise NurieError(f"--split {text!r} does not add up to 1: write for example 0.9,0.05,0.05")
    return SplitShares(train, validation, test, seed)


class FamilyUnionFind:
    """Union-find over pictures in the order they were added; the root of a family is its first member."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def root(self, one: int) -> int:
        """First-added member of the family of `one`."""
        while self.parent[one] != one:
            self.parent[one] = self.parent[self.parent[one]]
            one = self.parent[one]
        return one

    def merge(self, one: int, other: int) -> None:
        """Make one family of two."""
        first, second = sorted((self.root(one), self.root(other)))
        self.parent[second] = first


def grow_families(
    ids: Sequence[str], neighbours: Sequence[Sequence[int]], shares: SplitShares
) -> tuple[FamilyUnionFind, frozenset[int]]:
    """Add pictures one by one to the families of the look-alikes added before them.

    `neighbours[i]` are the verified look-alikes of i. A newcomer whose look-alikes lie in two splits would join them:
    it is left out instead and returned in the set, so that no family ever straddles splits or moves.
    """
    families, straddlers = FamilyUnionFind(len(ids)), set[int]()
    for newcomer, looks in enumerate(neighbours):
        earlier = [other for other in looks if other < newcomer and other not in straddlers]
        splits = {shares.split_of(ids[families.root(other)]) for other in earlier}
        if len(splits) > 1:
            straddlers.add(newcomer)
            continue
        for other in earlier:
            families.merge(newcomer, other)
    return families, frozenset(straddlers)
