"""Verified look-alikes -> groups, roles, families, splits and fates. Pure functions.

Duplicates form stars: each is within `max_distance` of its survivor, the centre. Recolours are alternates: they are
kept, and are of one family, so that no split separates them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from curate.dataset.decisions import Decisions
from curate.deduplication.compare import Edge
from curate.deduplication.family_split import FamilyUnionFind, SplitShares, grow_families
from curate.deduplication.pictures import Pictures
from curate.tags.normalize import unique_tags

SHARED_DROP_REASONS = frozenset({"straddles", "in_other", "decision"})  # a picture shares these with its byte copies


@dataclass(frozen=True)
class OtherDatasetMatch:
    """The picture of another dataset that one of this dataset is a duplicate of."""

    id: str
    distance: int


@dataclass(frozen=True)
class FixedFates:
    """Fates decided by more than look-alikes, by index of the picture."""

    kept_by_people: frozenset[int] = frozenset()
    """Never anyone's duplicate."""
    dropped_by_people: frozenset[int] = frozenset()
    in_other_dataset: Mapping[int, OtherDatasetMatch] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What is decided about one distinct picture: columns of the manifest."""

    group: str
    role: str
    family: str | None
    split: str | None
    dropped: str | None = None
    duplicate_of: str | None = None
    distance: int | None = None


def apply_decisions(edges: Iterable[Edge], pictures: Pictures, decisions: Decisions) -> list[Edge]:
    """The edges as people corrected them, sorted: some removed, some of another kind, some that no search found."""
    corrected = {(edge.a, edge.b): edge for edge in edges}
    index_by_id = pictures.index_by_id()
    for pair, kind in decisions.pair_kinds.items():
        indices = sorted(index_by_id[picture_id] for picture_id in pair if picture_id in index_by_id)
        if len(indices) < len(pair):
            continue  # about a picture that the dataset does not have, or no longer has
        a, b = indices
        edge = corrected.pop((a, b), Edge(a, b, kind, pictures.hash_distance(a, b), 0.0, 0.0))
        if kind != "different":
            corrected[a, b] = edge._replace(kind=kind)
    return [corrected[pair] for pair in sorted(corrected)]


def fixed_fates(pictures: Pictures, decisions: Decisions, matches: Mapping[int, OtherDatasetMatch]) -> FixedFates:
    """What people decided about single pictures, and `matches` without the pictures that people keep."""
    fates = [decisions.fates.get(picture_id) for picture_id in pictures.ids]
    kept = frozenset(picture for picture, fate in enumerate(fates) if fate == "keep")
    dropped = frozenset(picture for picture, fate in enumerate(fates) if fate == "drop")
    return FixedFates(kept, dropped, {picture: match for picture, match in matches.items() if picture not in kept})


def decide(
    pictures: Pictures, edges: Sequence[Edge], shares: SplitShares, fixed: FixedFates, *, drop_alternates: bool
) -> list[Verdict]:
    """A verdict on each picture, in order. `drop_alternates` keeps one picture of each family."""
    neighbours: list[list[int]] = [[] for _ in pictures.ids]
    for edge in edges:
        neighbours[edge.a].append(edge.b)
        neighbours[edge.b].append(edge.a)
    families, straddlers = grow_families(pictures.ids, neighbours, shares)
    outsiders = straddlers | fixed.dropped_by_people
    centers = _star_centers(pictures, edges, outsiders, fixed.kept_by_people)
    survivors = _survivors_by_family(pictures, families, centers, outsiders, fixed)
    star_sizes = Counter(centers)

    def verdict(picture: int) -> Verdict:
        if picture in straddlers:
            return Verdict(pictures.ids[picture], "unique", None, None, dropped="straddles")
        root = families.root(picture)
        family, group = pictures.ids[root], pictures.ids[centers[picture]]
        split = shares.split_of(family)
        if picture in fixed.dropped_by_people:
            return Verdict(group, "unique", family, split, "decision")
        if match := fixed.in_other_dataset.get(picture):
            return Verdict(group, "duplicate", family, split, "in_other", match.id, match.distance)
        if centers[picture] != picture:
            distance = pictures.hash_distance(picture, centers[picture])
            return Verdict(group, "duplicate", family, split, "duplicate", group, distance)
        if survivors[root][0] != picture:
            dropped = "alternate" if drop_alternates and picture not in fixed.kept_by_people else None
            return Verdict(group, "alternate", family, split, dropped)
        alone = len(survivors[root]) == 1 and star_sizes[picture] == 1 and len(pictures.record_rows[picture]) == 1
        return Verdict(group, "unique" if alone else "survivor", family, split)

    return [verdict(picture) for picture in range(len(pictures.ids))]


def _best_first(pictures: Pictures, kept_by_people: frozenset[int]) -> list[int]:
    """All pictures; those that people keep come first."""
    keys = pictures.survivor_keys
    return sorted(range(len(keys)), key=lambda picture: (picture not in kept_by_people, keys[picture]))


def _star_centers(
    pictures: Pictures, edges: Sequence[Edge], outsiders: frozenset[int], kept_by_people: frozenset[int]
) -> list[int]:
    """The survivor of each picture. The best picture takes all its free duplicates, then the next best, and so on."""
    duplicates: dict[int, list[int]] = defaultdict(list)
    for edge in edges:
        if edge.kind == "duplicate" and not {edge.a, edge.b} & outsiders:
            duplicates[edge.a].append(edge.b)
            duplicates[edge.b].append(edge.a)
    free = -1
    centers = [picture if picture in kept_by_people else free for picture in range(len(pictures.ids))]
    for picture in _best_first(pictures, kept_by_people):
        if centers[picture] in {free, picture}:
            for member in (picture, *duplicates[picture]):
                if centers[member] == free:
                    centers[member] = picture
    return centers


def _survivors_by_family(
    pictures: Pictures, families: FamilyUnionFind, centers: list[int], outsiders: frozenset[int], fixed: FixedFates
) -> dict[int, list[int]]:
    """The star centres of each family, by its root, the best first; the others are its alternates."""
    survivors: dict[int, list[int]] = defaultdict(list)
    for picture in _best_first(pictures, fixed.kept_by_people):
        if centers[picture] == picture and picture not in outsiders and picture not in fixed.in_other_dataset:
            survivors[families.root(picture)].append(picture)
    return survivors


def manifest_columns(
    dropped: Sequence[str | None], own_tags: Sequence[Sequence[str]], pictures: Pictures, decided: Sequence[Verdict]
) -> dict[str, list[Any]]:
    """The decided columns, one value for each record.

    `dropped` and `own_tags` are those of the records, `decided` is a verdict on each picture.
    """
    names = ("group", "role", "duplicate_of", "distance", "family", "split")
    columns: dict[str, list[Any]] = {name: [None] * len(dropped) for name in names}
    columns |= {"dropped": list(dropped), "tags": list(own_tags)}
    merged = _merged_tags(pictures, decided)
    for picture, verdict in enumerate(decided):
        best, *copies = pictures.record_rows[picture]
        _set_row(columns, best, verdict)
        columns["tags"][best] = merged.get(pictures.ids[picture], pictures.tags[picture])
        for row in copies:
            _set_row(columns, row, _copy_verdict(verdict))
    return columns


def _copy_verdict(verdict: Verdict) -> Verdict:
    """The verdict on a byte copy: one more duplicate of the survivor, unless the picture itself is left out."""
    return replace(
        verdict,
        role="duplicate",
        dropped=verdict.dropped if verdict.dropped in SHARED_DROP_REASONS else "duplicate",
        duplicate_of=verdict.duplicate_of or verdict.group,
        distance=verdict.distance or 0,
    )


def _set_row(columns: dict[str, list[Any]], row: int, verdict: Verdict) -> None:
    for name, value in asdict(verdict).items():
        columns[name][row] = value


def _merged_tags(pictures: Pictures, decided: Sequence[Verdict]) -> dict[str, tuple[str, ...]]:
    """Tags of each survivor by id: its own first, then those of its duplicates."""
    members: dict[str, list[int]] = defaultdict(list)
    for picture, verdict in enumerate(decided):
        members[verdict.group].append(picture)
    index_by_id = pictures.index_by_id()
    return {
        survivor: unique_tags(tag for picture in (index_by_id[survivor], *group) for tag in pictures.tags[picture])
        for survivor, group in members.items()
    }
