"""An inverted index of tags: for each tag, the rows that have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

RowMask = npt.NDArray[np.bool_]
"""(n,) bool: which rows of a table match."""


@dataclass(frozen=True)
class Postings:
    """Rows by tag. The rows with tag number `t` are `rows[starts[t]:starts[t + 1]]`, ascending."""

    row_count: int
    """Rows of the table."""
    names: Sequence[str]
    """Tags by number."""
    numbers: Mapping[str, int]
    """Numbers by tag."""
    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def rows_with_tag(self, tag: str) -> RowMask | None:
        """Mask of the rows that have a tag; None if no row has it."""
        number = self.numbers.get(tag)
        return None if number is None else self.rows_with_any([number])

    def rows_with_any(self, numbers: Sequence[int]) -> RowMask:
        """Mask of the rows that have any of these tags."""
        mask = np.zeros(self.row_count, np.bool_)
        for number in numbers:
            mask[self.rows[self.starts[number] : self.starts[number + 1]]] = True
        return mask

    def count(self, mask: RowMask) -> npt.NDArray[np.int64]:
        """How many of the rows in a mask have each tag: (tags,)."""
        before = np.concatenate([[0], np.cumsum(mask[self.rows])])
        return np.asarray(np.diff(before[self.starts]), np.int64)

    def top(self, mask: RowMask, limit: int, within: Sequence[int] | None = None) -> list[tuple[str, int]]:
        """The most common tags among the rows in a mask, with their row counts; equal counts are sorted by name.

        `within` limits the search to these tag numbers.
        """
        counts = self.count(mask)
        candidates = np.flatnonzero(counts).tolist() if within is None else within
        ranked = sorted(
            (number for number in candidates if counts[number]),
            key=lambda number: (-counts[number], self.names[number]),
        )
        return [(self.names[number], int(counts[number])) for number in ranked[:limit]]


def build_postings(tags: pa.ChunkedArray) -> Postings:
    """Index a column of lists of tags; null counts as an empty list."""
    lists = tags.combine_chunks()
    owners = np.asarray(pc.list_parent_indices(lists), np.int64)
    encoded = pc.list_flatten(lists).dictionary_encode()
    codes = np.asarray(encoded.indices, np.int64)
    names = encoded.dictionary.to_pylist()
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(names)))])
    numbers = {name: number for number, name in enumerate(names)}
    return Postings(len(lists), names, numbers, owners[np.argsort(codes, kind="stable")], starts)
