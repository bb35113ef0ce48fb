"""Search for pairs of pictures with near hashes.

Four searches compare pictures as stored: the picture, its line art, its silhouette, its edges of colour. One more
compares each picture with the others in other orientations. A filter thins out what each search finds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from curate.deduplication.pictures import Pictures
from curate.deduplication.sieve import Sieve
from curate.hash_search import hamming
from curate.hash_search.hamming import Mask, PairFilter, PairSearch, RowPairs

# On OpenMoji, the silhouette alone finds 99.9 % of the pairs within a family of skin tones, the line art 82 %
LINE_RADIUS_BITS = 6
# Reoriented pictures whose hashes are this near skip the sieve: a slant changes narrow pictures much
SIEVE_EXEMPT_BITS = 3

CandidateRows = npt.NDArray[np.int64]
"""(m, 3): two indices a < b, and the orientation as in compare.Candidate."""


def pairs_as_stored(
    pictures: Pictures, max_distance: int, fresh: Mask, search: PairSearch, pair_filter: PairFilter | None
) -> RowPairs:
    """(m, 2) sorted pairs that any of the four searches finds and `pair_filter` keeps.

    `fresh` is a (n,) mask: at least one picture of each pair is fresh.
    """
    radii = {"trimmed": max_distance, "line": LINE_RADIUS_BITS, "outline": LINE_RADIUS_BITS, "edge": LINE_RADIUS_BITS}
    pairs = [
        near_picture_pairs(pictures.hashes_by_search[name], radius, fresh, search, pair_filter)
        for name, radius in radii.items()
    ]
    return np.unique(np.concatenate(pairs), axis=0)


def near_picture_pairs(
    hashes: list[str | None], radius: int, fresh: Mask, search: PairSearch, pair_filter: PairFilter | None
) -> RowPairs:
    """As `hamming.near_pairs`, for hashes of which some are None."""
    indices = np.array([index for index, text in enumerate(hashes) if text is not None], np.int64)
    parsed = hamming.parse_hex_hashes([text for text in hashes if text is not None])
    by_index = (lambda pairs: pair_filter(indices[pairs])) if pair_filter else None
    return indices[hamming.near_pairs(parsed, radius, fresh[indices], search, by_index)].reshape(-1, 2)


def pairs_reoriented(
    pictures: Pictures, max_distance: int, fresh: Mask, search: PairSearch, sieve: Sieve | None
) -> CandidateRows:
    """Sorted candidates of which one picture is near the other in another orientation, and that pass the sieve."""
    indices = np.array([index for index, hashes in enumerate(pictures.orientation_hashes) if hashes], np.int64)
    if not len(indices):
        return np.empty((0, 3), np.int64)
    table = np.array([pictures.orientation_hashes[index] for index in indices.tolist()], np.uint64)
    candidates = [
        _pairs_in_orientation(indices, table, orientation, max_distance, fresh, search, sieve)
        for orientation in range(1, table.shape[1])
    ]
    return np.unique(np.concatenate(candidates), axis=0)


def _pairs_in_orientation(
    indices: npt.NDArray[np.int64],
    table: hamming.Hashes,
    orientation: int,
    max_distance: int,
    fresh: Mask,
    search: PairSearch,
    sieve: Sieve | None,
) -> CandidateRows:
    """Candidates in one orientation. `table` is (n, orientations) hashes of the pictures `indices`, (n,).

    One search finds them: rows 0 to n - 1 are the pictures as stored, rows n to 2 n - 1 the same in the orientation.
    """
    count = len(indices)

    def keeps(pairs: RowPairs) -> Mask:
        stored, turned = pairs[:, 0], pairs[:, 1] - count
        kept = (stored < count) & (turned >= 0) & (stored != turned)
        if sieve:
            near = hamming.distance(table[stored[kept], 0], table[turned[kept], orientation]) <= SIEVE_EXEMPT_BITS
            pairs_kept = np.stack([indices[stored[kept]], indices[turned[kept]]], axis=1)
            kept[kept] = near | sieve.may_be_reoriented_duplicates(pairs_kept, orientation)
        return np.asarray(kept, np.bool_)

    hashes = np.concatenate([table[:, 0], table[:, orientation]])
    pairs = hamming.near_pairs(hashes, max_distance, np.tile(fresh[indices], 2), search, keeps)
    stored, turned = indices[pairs - (0, count)].T
    signed = np.where(stored < turned, orientation, -orientation)
    return np.stack([np.minimum(stored, turned), np.maximum(stored, turned), signed], axis=1)
