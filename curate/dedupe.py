"""Records -> manifest with groups, roles, families, splits and fates.

Duplicates join in stars around the picture worth most, each within `max_distance` of it. Recolours are alternates:
kept, and of one family, so that no split separates them.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate import engine, lookalikes, manifest
from curate.lookalikes import Edge, Pictures
from curate.split import Families, Shares, grow
from curate.tags import unique
from curate.variants import SLANTED, VARIANTS


@dataclass(frozen=True)
class Options:
    """What decides the manifest."""

    max_distance: int = 6
    """Bits within which two pictures may be duplicates."""
    drop_alternates: bool = False
    """Keep one picture a family."""
    mirror: bool = False
    """Seek copies that are mirrored or on their side, too."""
    shares: Shares = field(default_factory=Shares)


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


def dedupe(dataset: Path, options: Options) -> dict[str, Any]:
    """Decide every record's role and fate; writes `edges/` and the manifest. Running it again changes nothing.

    Returns counts: `in`, `kept`, `dropped` by reason, `roles`, `families` (of two or more) and `splits` of the kept.
    Raises DatasetError if the folder is no dataset, or one whose hashes were made in another way, NurieError if
    another run is writing it.
    """
    manifest.read_state(dataset)
    with engine.alone(dataset):
        return _dedupe(dataset, options)


def _dedupe(dataset: Path, options: Options) -> dict[str, Any]:
    state = manifest.read_state(dataset)
    manifest.check_recipe(dataset)
    records = manifest.read_parts(dataset / "records")
    pictures = lookalikes.pictures(records, VARIANTS if options.mirror else SLANTED)
    edges = lookalikes.find(dataset, pictures, options.max_distance)
    _write_edges(dataset, pictures, edges)
    verdicts = _verdicts(pictures, edges, options)
    columns = _columns(records, pictures, verdicts)
    manifest.replace_manifest(dataset, _parts(dataset, columns))
    table = manifest.read_parts(dataset / "manifest", ["dropped", "role", "split", "family"])
    state |= {"counts": manifest.counts(table), "dedupe": asdict(options)}
    manifest.write_state(dataset, state, rehash=("manifest", "edges"))
    return {**manifest.counts(table), **_summary(table)}


def _write_edges(dataset: Path, pictures: Pictures, edges: list[Edge]) -> None:
    shutil.rmtree(dataset / "edges", ignore_errors=True)
    (dataset / "edges").mkdir()
    rows = [edge._asdict() | {"a": pictures.ids[edge.a], "b": pictures.ids[edge.b]} for edge in edges]
    manifest.write_rows(manifest.part(dataset / "edges", 0), rows, manifest.EDGES)


def _verdicts(pictures: Pictures, edges: list[Edge], options: Options) -> list[Verdict]:
    """One verdict a picture, in order."""
    looks: list[list[int]] = [[] for _ in pictures.ids]
    for edge in edges:
        looks[edge.a].append(edge.b)
        looks[edge.b].append(edge.a)
    families, straddlers = grow(pictures.ids, looks, options.shares)
    stars = _stars(pictures, edges, straddlers)
    survivors = _survivors(pictures, families, stars, straddlers)
    members = Counter(stars)
    return [
        Verdict(pictures.ids[one], "unique", None, None, dropped="straddles")
        if one in straddlers
        else _verdict(one, pictures, stars, members, families, survivors, options)
        for one in range(len(pictures.ids))
    ]


def _verdict(
    one: int,
    pictures: Pictures,
    stars: list[int],
    members: Counter[int],
    families: Families,
    survivors: dict[int, list[int]],
    options: Options,
) -> Verdict:
    root = families.root(one)
    family, center = pictures.ids[root], pictures.ids[stars[one]]
    split = options.shares.of(family)
    if stars[one] != one:
        return Verdict(center, "duplicate", family, split, "duplicate", center, pictures.bits(one, stars[one]))
    if survivors[root][0] != one:
        return Verdict(center, "alternate", family, split, "alternate" if options.drop_alternates else None)
    alone = len(survivors[root]) == 1 and members[one] == 1 and len(pictures.copies[one]) == 1
    return Verdict(center, "unique" if alone else "survivor", family, split)


def _stars(pictures: Pictures, edges: list[Edge], straddlers: frozenset[int]) -> list[int]:
    """Survivor of each picture: the one worth most takes all its free duplicates, then the next one, and so on."""
    twins: dict[int, list[int]] = defaultdict(list)
    for edge in edges:
        if edge.kind == "duplicate" and not {edge.a, edge.b} & straddlers:
            twins[edge.a].append(edge.b)
            twins[edge.b].append(edge.a)
    stars = [-1] * len(pictures.ids)
    for one in sorted(range(len(pictures.ids)), key=pictures.worth.__getitem__):
        if stars[one] < 0:
            for member in (one, *twins[one]):
                stars[member] = one if stars[member] < 0 else stars[member]
    return stars


def _survivors(
    pictures: Pictures, families: Families, stars: list[int], straddlers: frozenset[int]
) -> dict[int, list[int]]:
    """Kept pictures of each family, by its root, the one worth most first; the others are its alternates."""
    found: dict[int, list[int]] = defaultdict(list)
    for one in sorted(range(len(stars)), key=pictures.worth.__getitem__):
        if stars[one] == one and one not in straddlers:
            found[families.root(one)].append(one)
    return found


def _columns(records: pa.Table, pictures: Pictures, verdicts: list[Verdict]) -> dict[str, list[Any]]:
    """Verdicts on pictures -> the decided columns, one value a record."""
    own = records["own_tags"].to_pylist()
    decided = ("group", "role", "duplicate_of", "distance", "family", "split")
    columns: dict[str, list[Any]] = {name: [None] * records.num_rows for name in decided}
    columns |= {"dropped": records["dropped"].to_pylist(), "tags": list(own)}
    merged = _merged_tags(pictures, verdicts)
    for picture, verdict in enumerate(verdicts):
        best, *copies = pictures.copies[picture]
        _set(columns, best, asdict(verdict))
        columns["tags"][best] = merged.get(pictures.ids[picture], pictures.tags[picture])
        for row in copies:
            _set(columns, row, asdict(_twin(verdict)))
    return columns


def _twin(verdict: Verdict) -> Verdict:
    """What becomes of a byte copy: it goes the way of a straddler, and else is one more duplicate of the survivor."""
    return replace(
        verdict,
        role="duplicate",
        dropped="straddles" if verdict.dropped == "straddles" else "duplicate",
        duplicate_of=verdict.group,
        distance=verdict.distance or 0,
    )


def _set(columns: dict[str, list[Any]], row: int, values: dict[str, Any]) -> None:
    for name, value in values.items():
        columns[name][row] = value


def _merged_tags(pictures: Pictures, verdicts: list[Verdict]) -> dict[str, tuple[str, ...]]:
    """Tags of each survivor: its own first, then those of its duplicates."""
    stars: dict[str, list[int]] = defaultdict(list)
    for picture, verdict in enumerate(verdicts):
        stars[verdict.group].append(picture)
    place = {key: number for number, key in enumerate(pictures.ids)}
    return {
        key: unique(tag for one in (place[key], *members) for tag in pictures.tags[one])
        for key, members in stars.items()
    }


def _parts(dataset: Path, columns: dict[str, list[Any]]) -> Iterator[pa.Table]:
    """The records with the decided columns put in, part by part."""
    start = 0
    for table in manifest.iter_parts(dataset / "records"):
        part, stop = table, start + table.num_rows
        for name, values in columns.items():
            column = pa.array(values[start:stop], manifest.SCHEMA.field(name).type)
            part = part.set_column(part.schema.get_field_index(name), manifest.SCHEMA.field(name), column)
        yield part
        start = stop


def _summary(table: pa.Table) -> dict[str, Any]:
    rows = table.to_pylist()
    kept = [row for row in rows if row["dropped"] is None]
    sizes = Counter(row["family"] for row in kept)
    return {
        "roles": dict(sorted(Counter(row["role"] for row in rows if row["role"]).items())),
        "families": sum(size > 1 for size in sizes.values()),
        "splits": dict(sorted(Counter(row["split"] for row in kept).items())),
    }
