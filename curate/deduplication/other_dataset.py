"""Pictures -> those that another dataset already has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from curate.dataset import ledger, parquet
from curate.deduplication import lookalike_search
from curate.deduplication.pictures import PICTURE_COLUMNS, Pictures, concatenate_pictures, gather_pictures
from curate.deduplication.verdicts import OtherDatasetMatch
from curate.signatures.orientations import Orientation
from curate.system.errors import DatasetError
from curate.system.files import options_hash
from curate.workers.executor import Workers


def find_matches(
    dataset: Path,
    pictures: Pictures,
    other: Path,
    max_distance: int,
    variants: Sequence[Orientation],
    *,
    workers: Workers = 1,
) -> dict[int, OtherDatasetMatch]:
    """The pictures that `other` has read too, by index, each with the nearest there.

    Raises DatasetError if `other` is this dataset, no dataset, or one hashed in another way.
    """
    if other.resolve() == dataset.resolve():
        raise DatasetError(f"{other} is the dataset itself: give --against another one")
    ledger.read_ledger(other, "records", "pairs")
    parquet.check_hash_recipe(other)
    theirs = gather_pictures(parquet.read_parts(other / "records", [*PICTURE_COLUMNS, "color_grid"]), variants)
    known = set(theirs.ids)
    found = {number: OtherDatasetMatch(key, 0) for number, key in enumerate(pictures.ids) if key in known}
    both = concatenate_pictures(pictures, theirs)
    count = len(pictures.ids)
    ours = np.array([number < count and number not in found for number in range(len(both.ids))], np.bool_)
    edges = lookalike_search.find_duplicates_across([dataset, other], both, max_distance, ours, workers=workers)
    for edge in sorted(edges.values(), key=lambda edge: edge.distance):
        if edge.b >= count:
            found.setdefault(edge.a, OtherDatasetMatch(both.ids[edge.b], edge.distance))
    return found


def records_digest(other: Path) -> str:
    """SHA-256 over the other dataset's records, so that a dataset tells what it was compared with."""
    parts: dict[str, str] = ledger.read_ledger(other)["parts"]
    return options_hash({name: part for name, part in parts.items() if name.startswith("records/")})
