"""What people decided: rows that are only ever added, so that undoing is one more row.

A decision names pictures by id, so it outlives a dataset begun afresh, and other options of every stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import ledger, parquet
from curate.dataset.schema import TAGS
from curate.system import lock
from curate.system.errors import NurieError
from curate.system.paths import recorded
from curate.tags.normalize import normalize, unique

PAIRS = ("different", "duplicate", "alternate")
"""Of two pictures: strangers, one picture twice, or a picture and its recolour."""
SINGLES = ("keep", "drop", "retag")
"""Of one: it is no duplicate, and the survivor of its own; it is left out; its tags are these."""
UNDO = "undo"
KINDS = (*PAIRS, *SINGLES, UNDO)
SCHEMA = pa.schema(
    [
        ("sequence", pa.int64()),
        ("kind", pa.string()),
        ("a", pa.string()),
        ("b", pa.string()),
        ("tags", TAGS),
    ]
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Decisions:
    """What holds once every row is read: a later one overrules an earlier one on the same picture or pair."""

    pairs: Mapping[frozenset[str], str] = field(default_factory=dict)
    """Kind by the two ids."""
    fates: Mapping[str, str] = field(default_factory=dict)
    """`keep` or `drop` by id."""
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By id; they take the place of the sidecar's."""


def read(dataset: Path) -> list[Row]:
    """Every row of `decisions/`, in order; none if nobody decided anything."""
    folder = dataset / ledger.DECISIONS
    return parquet.read_parts(folder).to_pylist() if parquet.parts(folder) else []


def append(dataset: Path, row: Row) -> Row:
    """Add one decision; returns the row with its sequence number. Raises NurieError if it makes no sense."""
    rows = read(dataset)
    told = {name: row.get(name) for name in SCHEMA.names} | {"sequence": len(rows)}
    if told["kind"] == UNDO and not 0 <= _number(told["a"]) < len(rows):
        raise NurieError(f"there is no decision {told['a']} to undo: see them with `curate decide {dataset}`")
    (dataset / ledger.DECISIONS).mkdir(exist_ok=True)
    path = parquet.part(dataset / ledger.DECISIONS, 0)
    ledger.forget(dataset, [path])  # a kill between the two writings is no damage
    parquet.write_rows(path, [*rows, told], SCHEMA)
    ledger.write_state(dataset, ledger.read_state(dataset), rehash=(ledger.DECISIONS,))
    return told


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else -1


def listed(dataset: Path) -> list[Row]:
    """Every decision, in order, with `holds`: whether it is in force or was undone."""
    ledger.read_state(dataset, ledger.DECISIONS)
    return marked(read(dataset))


def marked(rows: Sequence[Row]) -> list[Row]:
    """Rows of `read`, with `holds`."""
    in_force = {row["sequence"] for row in holding(rows)}
    return [row | {"holds": row["sequence"] in in_force or row["kind"] == UNDO} for row in rows]


def holding(rows: Sequence[Row]) -> list[Row]:
    """The rows that are not undone. An undoing may be undone too."""
    undone: set[int] = set()
    for row in reversed(rows):
        if row["kind"] == UNDO and row["sequence"] not in undone:
            undone.add(_number(row["a"]))
    return [row for row in rows if row["sequence"] not in undone and row["kind"] != UNDO]


def resolve(rows: Sequence[Row]) -> Decisions:
    """What the rows of `read` come to."""
    pairs: dict[frozenset[str], str] = {}
    fates: dict[str, str] = {}
    tags: dict[str, tuple[str, ...]] = {}
    for row in holding(rows):
        if row["kind"] in PAIRS:
            pairs[frozenset((row["a"], row["b"]))] = row["kind"]
        elif row["kind"] == "retag":
            tags[row["a"]] = tuple(row["tags"] or ())
        else:
            fates[row["a"]] = row["kind"]
    return Decisions(pairs, fates, tags)


def decide(dataset: Path, kind: str, pictures: Sequence[str], tags: str | Sequence[str] | None = None) -> Row:
    """Note what people decided of pictures, given by id or path, or undo the decision of a number.

    `tags` are parted by commas, or a list of them, which may hold commas. It takes effect with the next `curate
    dedupe`. Raises NurieError if the pictures are not of the dataset or not as many as the kind takes.
    """
    if kind not in KINDS:
        raise NurieError(f"no kind of decision {kind!r}: there are {', '.join(KINDS)}")
    wanted = 2 if kind in PAIRS else 1
    if len(pictures) != wanted:
        raise NurieError(f"{kind} takes {wanted} of them, {len(pictures)} given: see `curate decide --help`")
    if (tags is not None) != (kind == "retag"):
        raise NurieError(f"{kind} {'needs' if kind == 'retag' else 'takes no'} --tags: only `retag` has them")
    ledger.read_state(dataset)
    with lock.alone(dataset):
        ledger.read_state(dataset, "records", ledger.DECISIONS)
        return append(dataset, {"kind": kind, **_named(dataset, kind, pictures, tags)})


def _named(dataset: Path, kind: str, pictures: Sequence[str], tags: str | Sequence[str] | None) -> Row:
    if kind == UNDO:
        return {"a": pictures[0]}
    ids = [_identify(dataset, picture) for picture in pictures]
    if len(set(ids)) < len(ids):
        raise NurieError(f"{pictures[0]} and {pictures[1]} are the same file: byte copies cannot be told apart")
    parted = tags.split(",") if isinstance(tags, str) else tags
    told = None if parted is None else unique(normalize(tag) for tag in parted)
    return {"a": ids[0], "b": ids[1] if len(ids) > 1 else None, "tags": told}


def _identify(dataset: Path, key: str) -> str:
    """The id of the readable picture that has this id or path."""
    table = parquet.read_parts(dataset / "records", ["id", "path", "role", "dropped"])
    key = path = recorded(key)
    rows = table.filter(pc.or_kleene(pc.equal(table["id"], key), pc.equal(table["path"], path)))
    found = rows.filter(pc.is_null(rows["dropped"]))["id"].unique().to_pylist()
    if len(found) > 1:
        raise NurieError(f"{len(found)} pictures have the path {key!r}: give the id of one, as `curate why` tells it")
    if not found:
        what = "was left out before dedupe" if rows.num_rows else "is no path or id of a picture"
        raise NurieError(f"{key!r} {what}: see `curate why {dataset} {key}`")
    return str(found[0])
