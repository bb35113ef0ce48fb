"""Array types of the search, one name for each state that a hash passes through."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

HASH_BITS = 64

Hashes: TypeAlias = npt.NDArray[np.uint64]
"""(n,) uint64: hashes as they were computed."""
PermutedHashes: TypeAlias = npt.NDArray[np.uint64]
"""(n,) uint64: hashes with their bits in the order of the bands. `Bands.unpermute` undoes it."""
RotatedHashes: TypeAlias = npt.NDArray[np.uint64]
"""(n,) uint64: permuted hashes, rotated so that the key of one band lies on top. `Bands.restore` undoes both."""
HashPairs: TypeAlias = npt.NDArray[np.uint64]
"""(m, 2) uint64: pairs of hashes, in the state of the hashes that they were found among."""
RowPairs: TypeAlias = npt.NDArray[np.int64]
"""(m, 2) int64: pairs of rows a < b."""
Mask: TypeAlias = npt.NDArray[np.bool_]
"""(n,) bool: one value a row."""
