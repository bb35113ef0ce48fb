"""Row types of a dataset's tables, with the column names of `schema`.

They are for rows handled one at a time: a file that is read, a decision, an answer to a person. Whole tables stay
columns (Arrow, NumPy). All but `PairRow` are what `pyarrow.Table.to_pylist` returns, so a row read with some of the
columns has some of the keys, and a missing key is written as null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt


class RecordRow(TypedDict, total=False):
    """A row of `records`: one source file and its fate. The meanings are in `schema.EXTRACTED_COLUMNS`."""

    source: str
    path: str
    path_raw: bytes | None
    id: str | None
    bytes: int | None
    width: int | None
    height: int | None
    format: str | None
    mode: str | None
    frames: int | None
    phash: str | None
    search_hashes: list[str] | None
    line_hash: str | None
    outline_hash: str | None
    edge_hash: str | None
    color_grid: Sequence[float] | npt.NDArray[np.float32] | None
    emptiness: float | None
    line_ink: float | None
    line_faint: float | None
    line_gaps: float | None
    tags: Sequence[str]
    own_tags: Sequence[str]
    rating: str | None
    score: int | None
    license: str | None
    artist: str | None
    extra: str | None
    dropped: str | None
    error: str | None


class ManifestRow(RecordRow, total=False):
    """A row of `manifest`: a record with what `dedupe` decided. The meanings are in `schema.DECIDED_COLUMNS`."""

    group: str | None
    role: str | None
    duplicate_of: str | None
    distance: int | None
    family: str | None
    split: str | None


@dataclass(frozen=True)
class PairRow:
    """A row of `pairs`: the squares of one picture, as PNG files."""

    id: str
    color: bytes
    lines: Mapping[str, bytes]
    """Line art by method; the table has a column `line_METHOD` for each."""
    sketch: bytes
    view: bytes
    content_box: tuple[int, int, int, int]
    """Top, left, height, width of the picture inside its square, px."""

    def to_columns(self) -> dict[str, object]:
        """The row by column name."""
        columns = asdict(self)
        lines = columns.pop("lines")
        return columns | {f"line_{method}": line for method, line in lines.items()}


class EdgeRow(TypedDict, total=False):
    """A row of `edges`: two pictures that look alike, by id."""

    a: str
    b: str
    kind: str
    """`duplicate` or `alternate`."""
    distance: int
    """Bits between their hashes."""
    color_distance: float
    line_difference: float


class DecisionRow(TypedDict):
    """A row of `decisions`: what a person decided about one or two pictures, or an undone decision."""

    sequence: int
    """Position among all decisions, from 0."""
    kind: str
    """One of `decisions.DECISION_KINDS`."""
    a: str
    """Id of the picture; for `undo`, the sequence number of the decision to undo."""
    b: str | None
    """Id of the second picture, for kinds that compare two."""
    tags: Sequence[str] | None
    """The new tags, for `retag`."""


class DecisionRowWithState(DecisionRow):
    """A decision and whether it is in force."""

    holds: bool


FateCounts = TypedDict("FateCounts", {"in": int, "kept": int, "dropped": dict[str, int]})
"""Rows of a manifest: all, kept, and dropped by reason; `in` = `kept` + the sum of `dropped`."""
