"""Decisions that people made about pictures: an append-only table in `decisions/`.

A decision names pictures by id, so it survives `extract --fresh` and other options of every stage. To undo a decision
is to append one more row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.compute as pc

from curate.dataset import ledger, parquet
from curate.dataset.rows import DecisionRow, DecisionRowWithState
from curate.dataset.schema import DECISIONS_SCHEMA
from curate.system import lock
from curate.system.errors import NurieError
from curate.system.paths import recorded_path
from curate.tags.normalize import normalize_tag, unique_tags

PAIR_KINDS = ("different", "duplicate", "alternate")
"""Kinds about two pictures: unrelated, the same picture, or recolours of each other."""
PICTURE_KINDS = ("keep", "drop", "retag")
"""Kinds about one picture: not a duplicate and the survivor of its own copies; left out; given these tags."""
UNDO = "undo"
DECISION_KINDS = (*PAIR_KINDS, *PICTURE_KINDS, UNDO)


@dataclass(frozen=True)
class Decisions:
    """The decisions in force. A later row overrules an earlier one about the same picture or pair."""

    pair_kinds: Mapping[frozenset[str], str] = field(default_factory=dict)
    """A kind of PAIR_KINDS by the two ids."""
    fates: Mapping[str, str] = field(default_factory=dict)
    """`keep` or `drop` by id."""
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Tags by id; they replace the sidecar's."""


def read(dataset: Path) -> list[DecisionRow]:
    """All rows of `decisions/` in order; empty if there are no decisions."""
    folder = dataset / ledger.DECISIONS_FOLDER
    return parquet.read_parts(folder).to_pylist() if parquet.part_paths(folder) else []


def append(dataset: Path, kind: str, a: str, b: str | None = None, tags: Sequence[str] | None = None) -> DecisionRow:
    """Store one decision and return its row.

    The caller holds the dataset's lock. Raises NurieError if there is no decision to undo.
    """
    rows = read(dataset)
    if kind == UNDO and not 0 <= _sequence(a) < len(rows):
        raise NurieError(f"there is no decision {a} to undo: list the decisions with `curate decide {dataset}`")
    row = DecisionRow(sequence=len(rows), kind=kind, a=a, b=b, tags=tags)
    (dataset / ledger.DECISIONS_FOLDER).mkdir(exist_ok=True)
    path = parquet.part_path(dataset / ledger.DECISIONS_FOLDER, 0)
    ledger.forget_digests(dataset, [path])  # so that a kill between the two writes is not taken for damage
    parquet.write_rows(path, [*rows, row], DECISIONS_SCHEMA)
    ledger.write_ledger(dataset, ledger.read_ledger(dataset), rehash=(ledger.DECISIONS_FOLDER,))
    return row


def _sequence(text: str) -> int:
    """The sequence number that an `undo` names; -1 if the text is not a number."""
    return int(text) if text.isdecimal() else -1


def read_with_holds(dataset: Path) -> list[DecisionRowWithState]:
    """All decisions in order, each with whether it is in force. Raises DamagedError if the table was changed."""
    ledger.read_ledger(dataset, ledger.DECISIONS_FOLDER)
    return with_holds(read(dataset))


def with_holds(rows: Sequence[DecisionRow]) -> list[DecisionRowWithState]:
    """Add `holds` to rows of `read`: False if the decision was undone. It is True for every `undo`."""
    in_force = {row["sequence"] for row in rows_in_force(rows)}
    return [{**row, "holds": row["sequence"] in in_force or row["kind"] == UNDO} for row in rows]


def rows_in_force(rows: Sequence[DecisionRow]) -> list[DecisionRow]:
    """The decisions that are not undone. An undo can itself be undone."""
    undone: set[int] = set()
    for row in reversed(rows):
        if row["kind"] == UNDO and row["sequence"] not in undone:
            undone.add(_sequence(row["a"]))
    return [row for row in rows if row["sequence"] not in undone and row["kind"] != UNDO]


def resolve(rows: Sequence[DecisionRow]) -> Decisions:
    """Combine rows of `read` into the decisions in force."""
    pair_kinds: dict[frozenset[str], str] = {}
    fates: dict[str, str] = {}
    tags: dict[str, tuple[str, ...]] = {}
    for row in rows_in_force(rows):
        if row["kind"] in PAIR_KINDS:
            pair_kinds[frozenset((row["a"], row["b"] or ""))] = row["kind"]
        elif row["kind"] == "retag":
            tags[row["a"]] = tuple(row["tags"] or ())
        else:
            fates[row["a"]] = row["kind"]
    return Decisions(pair_kinds, fates, tags)


def decide(dataset: Path, kind: str, pictures: Sequence[str], tags: str | Sequence[str] | None = None) -> DecisionRow:
    """Store a decision about pictures, given by id or path, or undo the decision with a sequence number.

    `tags` is a comma-separated text, or a list whose tags may contain commas. The decision takes effect with the next
    `curate dedupe`. Raises NurieError if a picture is not in the dataset, or the arguments do not fit the kind.
    """
    _check_arguments(kind, pictures, tags)
    ledger.read_ledger(dataset)
    with lock.exclusive(dataset):
        ledger.read_ledger(dataset, "records", ledger.DECISIONS_FOLDER)
        if kind == UNDO:
            return append(dataset, kind, pictures[0])
        ids = [_find_id(dataset, picture) for picture in pictures]
        if len(set(ids)) < len(ids):
            raise NurieError(f"{pictures[0]} and {pictures[1]} are the same file, byte for byte: name two pictures")
        return append(dataset, kind, ids[0], ids[1] if len(ids) > 1 else None, _parse_tags(tags))


def _check_arguments(kind: str, pictures: Sequence[str], tags: str | Sequence[str] | None) -> None:
    if kind not in DECISION_KINDS:
        raise NurieError(f"no kind of decision {kind!r}: choose one of {', '.join(DECISION_KINDS)}")
    if len(pictures) != (2 if kind in PAIR_KINDS else 1):
        wanted = "two pictures" if kind in PAIR_KINDS else "one argument"
        raise NurieError(f"{kind} takes {wanted}, got {len(pictures)}: see `curate decide --help`")
    if (tags is not None) != (kind == "retag"):
        raise NurieError(f"{kind} {'needs' if kind == 'retag' else 'takes no'} --tags: only `retag` has them")


def _parse_tags(tags: str | Sequence[str] | None) -> tuple[str, ...] | None:
    names = tags.split(",") if isinstance(tags, str) else tags
    return None if names is None else unique_tags(normalize_tag(name) for name in names)


def _find_id(dataset: Path, key: str) -> str:
    """The id of the picture with this id or path. Pictures that `extract` dropped do not count."""
    table = parquet.read_parts(dataset / "records", ["id", "path", "dropped"])
    path = recorded_path(key)
    matches = table.filter(pc.or_kleene(pc.equal(table["id"], path), pc.equal(table["path"], path)))
    ids = matches.filter(pc.is_null(matches["dropped"]))["id"].unique().to_pylist()
    if len(ids) > 1:
        raise NurieError(f"{len(ids)} pictures have the path {path!r}: name one by its id, which `curate why` shows")
    if not ids:
        problem = "was dropped before dedupe" if matches.num_rows else "is not the path or id of a picture"
        raise NurieError(f"{path!r} {problem}: see `curate why {dataset} {path}`")
    return str(ids[0])
