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
from curate.dataset.schema import STRING_LIST
from curate.system import lock
from curate.system.errors import NurieError
from curate.system.paths import recorded_path
from curate.tags.normalize import normalize_tag, unique_tags

PAIR_KINDS = ("different", "duplicate", "alternate")
"""Of two pictures: strangers, one picture twice, or a picture and its recolour."""
PICTURE_KINDS = ("keep", "drop", "retag")
"""Of one: it is no duplicate, and the survivor of its own; it is left out; its tags are these."""
UNDO = "undo"
DECISION_KINDS = (*PAIR_KINDS, *PICTURE_KINDS, UNDO)
DECISIONS_SCHEMA = pa.schema(
    [
        ("sequence", pa.int64()),
        ("kind", pa.string()),
        ("a", pa.string()),
        ("b", pa.string()),
        ("tags", STRING_LIST),
    ]
)
DecisionRow = dict[str, Any]


@dataclass(frozen=True)
class Decisions:
    """What holds once every row is read: a later one overrules an earlier one on the same picture or pair."""

    pair_kinds: Mapping[frozenset[str], str] = field(default_factory=dict)
    """Kind by the two ids."""
    fates: Mapping[str, str] = field(default_factory=dict)
    """`keep` or `drop` by id."""
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By id; they take the place of the sidecar's."""


def read(dataset: Path) -> list[DecisionRow]:
    """Every row of `decisions/`, in order; none if nobody decided anything."""
    folder = dataset / ledger.DECISIONS_FOLDER
    return parquet.read_parts(folder).to_pylist() if parquet.part_paths(folder) else []


def append(dataset: Path, row: DecisionRow) -> DecisionRow:
    """Add one decision; returns the row with its sequence number. Raises NurieError if it makes no sense."""
    rows = read(dataset)
    told = {name: row.get(name) for name in DECISIONS_SCHEMA.names} | {"sequence": len(rows)}
    if told["kind"] == UNDO and not 0 <= _number(told["a"]) < len(rows):
        raise NurieError(f"there is no decision {told['a']} to undo: see them with `curate decide {dataset}`")
    (dataset / ledger.DECISIONS_FOLDER).mkdir(exist_ok=True)
    path = parquet.part_path(dataset / ledger.DECISIONS_FOLDER, 0)
    ledger.forget_digests(dataset, [path])  # a kill between the two writings is no damage
    parquet.write_rows(path, [*rows, told], DECISIONS_SCHEMA)
    ledger.write_ledger(dataset, ledger.read_ledger(dataset), rehash=(ledger.DECISIONS_FOLDER,))
    return told


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else -1


def read_with_holds(dataset: Path) -> list[DecisionRow]:
    """Every decision, in order, with `holds`: whether it is in force or was undone."""
    ledger.read_ledger(dataset, ledger.DECISIONS_FOLDER)
    return with_holds(read(dataset))


def with_holds(rows: Sequence[DecisionRow]) -> list[DecisionRow]:
    """Rows of `read`, with `holds`."""
    in_force = {row["sequence"] for row in rows_in_force(rows)}
    return [row | {"holds": row["sequence"] in in_force or row["kind"] == UNDO} for row in rows]


def rows_in_force(rows: Sequence[DecisionRow]) -> list[DecisionRow]:
    """The rows that are not undone. An undoing may be undone too."""
    undone: set[int] = set()
    for row in reversed(rows):
        if row["kind"] == UNDO and row["sequence"] not in undone:
            undone.add(_number(row["a"]))
    return [row for row in rows if row["sequence"] not in undone and row["kind"] != UNDO]


def resolve(rows: Sequence[DecisionRow]) -> Decisions:
    """What the rows of `read` come to."""
    pairs: dict[frozenset[str], str] = {}
    fates: dict[str, str] = {}
    tags: dict[str, tuple[str, ...]] = {}
    for row in rows_in_force(rows):
        if row["kind"] in PAIR_KINDS:
            pairs[frozenset((row["a"], row["b"]))] = row["kind"]
        elif row["kind"] == "retag":
            tags[row["a"]] = tuple(row["tags"] or ())
        else:
            fates[row["a"]] = row["kind"]
    return Decisions(pairs, fates, tags)


def decide(dataset: Path, kind: str, pictures: Sequence[str], tags: str | Sequence[str] | None = None) -> DecisionRow:
    """Note what people decided of pictures, given by id or path, or undo the decision of a number.

    `tags` are parted by commas, or a list of them, which may hold commas. It takes effect with the next `curate
    dedupe`. Raises NurieError if the pictures are not of the dataset or not as many as the kind takes.
    """
    if kind not in DECISION_KINDS:
        raise NurieError(f"no kind of decision {kind!r}: there are {', '.join(DECISION_KINDS)}")
    wanted = 2 if kind in PAIR_KINDS else 1
    if len(pictures) != wanted:
        raise NurieError(f"{kind} takes {wanted} of them, {len(pictures)} given: see `curate decide --help`")
    if (tags is not None) != (kind == "retag"):
        raise NurieError(f"{kind} {'needs' if kind == 'retag' else 'takes no'} --tags: only `retag` has them")
    ledger.read_ledger(dataset)
    with lock.exclusive(dataset):
        ledger.read_ledger(dataset, "records", ledger.DECISIONS_FOLDER)
        return append(dataset, {"kind": kind, **_decision_row(dataset, kind, pictures, tags)})


def _decision_row(dataset: Path, kind: str, pictures: Sequence[str], tags: str | Sequence[str] | None) -> DecisionRow:
    if kind == UNDO:
        return {"a": pictures[0]}
    ids = [_find_id(dataset, picture) for picture in pictures]
    if len(set(ids)) < len(ids):
        raise NurieError(f"{pictures[0]} and {pictures[1]} are the same file: byte copies cannot be told apart")
    parted = tags.split(",") if isinstance(tags, str) else tags
    told = None if parted is None else unique_tags(normalize_tag(tag) for tag in parted)
    return {"a": ids[0], "b": ids[1] if len(ids) > 1 else None, "tags": told}


def _find_id(dataset: Path, key: str) -> str:
    """The id of the readable picture that has this id or path."""
    table = parquet.read_parts(dataset / "records", ["id", "path", "role", "dropped"])
    key = path = recorded_path(key)
    rows = table.filter(pc.or_kleene(pc.equal(table["id"], key), pc.equal(table["path"], path)))
    found = rows.filter(pc.is_null(rows["dropped"]))["id"].unique().to_pylist()
    if len(found) > 1:
        raise NurieError(f"{len(found)} pictures have the path {key!r}: give the id of one, as `curate why` tells it")
    if not found:
        what = "was left out before dedupe" if rows.num_rows else "is no path or id of a picture"
        raise NurieError(f"{key!r} {what}: see `curate why {dataset} {key}`")
    return str(found[0])
