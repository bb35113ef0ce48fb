"""Rows by id, by a sorted copy of the ids: a dictionary of millions would take several times the memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

ID_HEX_DIGITS = 32  # hex digits of an id

RowNumbers = npt.NDArray[np.int64]


class IdIndex:
    """Of a column of ids, nulls among them; any other text is found nowhere."""

    def __init__(self, ids: Iterable[str | None]) -> None:
        keys = np.array([key or "" for key in ids], f"S{ID_HEX_DIGITS}")
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def rows(self, key: str | None) -> RowNumbers:
        """Rows that have an id, ascending; none for a null."""
        wanted = np.bytes_((key or "").encode())
        if not wanted or len(wanted) > ID_HEX_DIGITS:
            return self._order[:0]
        low, high = (np.searchsorted(self._keys, wanted, side=side) for side in ("left", "right"))
        return self._order[low:high]
