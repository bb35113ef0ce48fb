"""Which rows carry which tag: the lists that a search by tags joins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

RowMask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Postings:
    """Rows by tag: those of tag number `t` are `rows[starts[t]:starts[t + 1]]`, ascending."""

    row_count: int
    """Rows of the table."""
    names: Sequence[str]
    numbers: Mapping[str, int]
    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def rows_with_tag(self, tag: str) -> RowMask | None:
        """(height,) rows that carry a tag; None if none does."""
        number = self.numbers.get(tag)
        return None if number is None else self.rows_with_any([number])

    def rows_with_any(self, numbers: Sequence[int]) -> RowMask:
        """(height,) rows that carry any of these tags."""
        mask = np.zeros(self.row_count, np.bool_)
        for number in numbers:
            mask[self.rows[self.starts[number] : self.starts[number + 1]]] = True
        return mask

    def count(self, mask: RowMask) -> npt.NDArray[np.int64]:
        """(tags,) how many of the chosen rows carry each tag."""
        before = np.concatenate([[0], np.cumsum(mask[self.rows])])
        return np.asarray(np.diff(before[self.starts]), np.int64)

    def top(self, mask: RowMask, most: int, within: Sequence[int] | None = None) -> list[tuple[str, int]]:
        """The tags that most of the chosen rows carry, with the number of rows, ties by name; of all, or some tags."""
        counts = self.count(mask)
        numbers = [one for one in (np.flatnonzero(counts).tolist() if within is None else within) if counts[one]]
        ranked = sorted(numbers, key=lambda one: (-counts[one], self.names[one]))
        return [(self.names[one], int(counts[one])) for one in ranked[:most]]


def build_postings(tags: pa.ChunkedArray) -> Postings:
    """The postings of a column of lists of tags; a null is an empty list."""
    lists = tags.combine_chunks()
    owners = np.asarray(pc.list_parent_indices(lists), np.int64)
    coded = pc.list_flatten(lists).dictionary_encode()
    codes = np.asarray(coded.indices, np.int64)
    names = coded.dictionary.to_pylist()
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(names)))])
    numbers = {name: number for number, name in enumerate(names)}
    return Postings(len(lists), names, numbers, owners[np.argsort(codes, kind="stable")], starts)
