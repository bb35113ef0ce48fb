"""Verified look-alikes -> groups, roles, families, splits and fates. Pure functions.

Duplicates join in stars around the picture worth most, each within `max_distance` of it. Recolours are alternates:
kept, and of one family, so that no split separates them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from curate.dataset.decisions import Decisions
from curate.deduplication.compare import Edge
from curate.deduplication.pictures import Pictures
from curate.deduplication.split import FamilyUnionFind, SplitShares, grow_families
from curate.tags.normalize import unique_tags

SHARED_DROP_REASONS = frozenset({"straddles", "in_other", "decision"})  # what befalls a picture befalls its byte copies


@dataclass(frozen=True)
class OtherDatasetMatch:
    """A picture of another dataset that one of ours is a copy of."""

    id: str
    distance: int


@dataclass(frozen=True)
class FixedFates:
    """What else decides of pictures, by index."""

    kept_by_people: frozenset[int] = frozenset()
    """People want them kept: they are nobody's duplicates."""
    dropped_by_people: frozenset[int] = frozenset()
    """People want them left out."""
    in_other_dataset: Mapping[int, OtherDatasetMatch] = field(default_factory=dict)
    """Another dataset has them."""


@dataclass(frozen=True)
class Verdict:
    """What is decided of one distinct picture."""

    group: str
    role: str
    family: str | None
    split: str | None
    dropped: str | None = None
    duplicate_of: str | None = None
    distance: int | None = None


def apply_decisions(edges: Iterable[Edge], pictures: Pictures, decisions: Decisions) -> list[Edge]:
    """The edges as people want them: some gone, some of another kind, some that no search found. Sorted."""
    known = {(edge.a, edge.b): edge for edge in edges}
    places = pictures.index_by_id()
    for pair, kind in decisions.pair_kinds.items():
        found = sorted(places[key] for key in pair if key in places)
        if len(found) < len(pair):
            continue  # of a picture that is not there, or not there any more
        a, b = found
        edge = known.pop((a, b), Edge(a, b, kind, pictures.hash_distance(a, b), 0.0, 0.0))
        if kind != "different":
            known[a, b] = edge._replace(kind=kind)
    return [known[pair] for pair in sorted(known)]


def fixed_fates(pictures: Pictures, decisions: Decisions, elsewhere: Mapping[int, OtherDatasetMatch]) -> FixedFates:
    """What people said of single pictures, by index."""
    fates = [decisions.fates.get(key) for key in pictures.ids]
    kept = frozenset(number for number, fate in enumerate(fates) if fate == "keep")
    left_out = frozenset(number for number, fate in enumerate(fates) if fate == "drop")
    return FixedFates(kept, left_out, {one: other for one, other in elsewhere.items() if one not in kept})


def decide(
    pictures: Pictures, edges: Sequence[Edge], shares: SplitShares, known: FixedFates, *, drop_alternates: bool
) -> list[Verdict]:
    """One verdict a picture, in order. `drop_alternates` keeps one picture a family."""
    looks: list[list[int]] = [[] for _ in pictures.ids]
    for edge in edges:
        looks[edge.a].append(edge.b)
        looks[edge.b].append(edge.a)
    families, straddlers = grow_families(pictures.ids, looks, shares)
    stars = _stars(pictures, edges, straddlers | known.dropped_by_people, known.kept_by_people)
    survivors = _survivors(pictures, families, stars, straddlers | known.dropped_by_people, known)
    members = Counter(stars)

    def verdict(one: int) -> Verdict:
        if one in straddlers:
            return Verdict(pictures.ids[one], "unique", None, None, dropped="straddles")
        root = families.root(one)
        family, center = pictures.ids[root], pictures.ids[stars[one]]
        split = shares.split_of(family)
        if one in known.dropped_by_people:
            return Verdict(center, "unique", family, split, "decision")
        if other := known.in_other_dataset.get(one):
            return Verdict(center, "duplicate", family, split, "in_other", other.id, other.distance)
        if stars[one] != one:
            return Verdict(
                center, "duplicate", family, split, "duplicate", center, pictures.hash_distance(one, stars[one])
            )
        if survivors[root][0] != one:
            dropped = "alternate" if drop_alternates and one not in known.kept_by_people else None
            return Verdict(center, "alternate", family, split, dropped)
        alone = len(survivors[root]) == 1 and members[one] == 1 and len(pictures.record_rows[one]) == 1
        return Verdict(center, "unique" if alone else "survivor", family, split)

    return [verdict(one) for one in range(len(pictures.ids))]


def _stars(pictures: Pictures, edges: Sequence[Edge], apart: frozenset[int], kept: frozenset[int]) -> list[int]:
    """Survivor of each picture: the one worth most takes all its free duplicates, then the next one, and so on."""
    twins: dict[int, list[int]] = defaultdict(list)
    for edge in edges:
        if edge.kind == "duplicate" and not {edge.a, edge.b} & apart:
            twins[edge.a].append(edge.b)
            twins[edge.b].append(edge.a)
    stars = [one if one in kept else -1 for one in range(len(pictures.ids))]
    for one in sorted(range(len(pictures.ids)), key=lambda one: (one not in kept, pictures.survivor_keys[one])):
        if stars[one] in {-1, one}:
            for member in (one, *twins[one]):
                stars[member] = one if stars[member] < 0 else stars[member]
    return stars


def _survivors(
    pictures: Pictures, families: FamilyUnionFind, stars: list[int], apart: frozenset[int], known: FixedFates
) -> dict[int, list[int]]:
    """Centres of stars of each family, by its root, the one worth most first; the others are its alternates."""
    found: dict[int, list[int]] = defaultdict(list)
    for one in sorted(
        range(len(stars)), key=lambda one: (one not in known.kept_by_people, pictures.survivor_keys[one])
    ):
        if stars[one] == one and one not in apart and one not in known.in_other_dataset:
            found[families.root(one)].append(one)
    return found


def manifest_columns(
    dropped: Sequence[str | None], own_tags: Sequence[Sequence[str]], pictures: Pictures, found: Sequence[Verdict]
) -> dict[str, list[Any]]:
    """Verdicts on pictures -> the decided columns, one value a record, given what extract dropped and read of tags."""
    names = ("group", "role", "duplicate_of", "distance", "family", "split")
    made: dict[str, list[Any]] = {name: [None] * len(dropped) for name in names}
    made |= {"dropped": list(dropped), "tags": list(own_tags)}
    merged = _merged_tags(pictures, found)
    for picture, verdict in enumerate(found):
        best, *copies = pictures.record_rows[picture]
        _set(made, best, asdict(verdict))
        made["tags"][best] = merged.get(pictures.ids[picture], pictures.tags[picture])
        for row in copies:
            _set(made, row, asdict(_copy_verdict(verdict)))
    return made


def _copy_verdict(verdict: Verdict) -> Verdict:
    """What becomes of a byte copy: it is one more duplicate of the survivor, unless the picture itself is left out."""
    return replace(
        verdict,
        role="duplicate",
        dropped=verdict.dropped if verdict.dropped in SHARED_DROP_REASONS else "duplicate",
        duplicate_of=verdict.duplicate_of or verdict.group,
        distance=verdict.distance or 0,
    )


def _set(made: dict[str, list[Any]], row: int, values: dict[str, Any]) -> None:
    for name, value in values.items():
        made[name][row] = value


def _merged_tags(pictures: Pictures, found: Sequence[Verdict]) -> dict[str, tuple[str, ...]]:
    """Tags of each survivor: its own first, then those of its duplicates."""
    stars: dict[str, list[int]] = defaultdict(list)
    for picture, verdict in enumerate(found):
        stars[verdict.group].append(picture)
    place = pictures.index_by_id()
    return {
        key: unique_tags(tag for one in (place[key], *members) for tag in pictures.tags[one])
        for key, members in stars.items()
    }
