"""The plan of a shard folder: which kept row goes into which shard, at which position, and the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contract import SPLITS
from curate.shards import formats
from curate.shards.kept_rows import Int64Array, KeptRows
from curate.shards.options import ShardOptions
from curate.tags import normalize

MAX_SPILL_FILES = 256  # that one task writes: a spill of a row or two costs more than the rows


@dataclass(frozen=True)
class ShardPlan:
    """Every shard's split and name, and the shard and position of every kept row."""

    shards: list[tuple[str, str]]
    """(split, name) of each shard."""
    rows: KeptRows
    shard_numbers: npt.NDArray[np.int32]
    """(rows,) position in `shards`."""
    positions: npt.NDArray[np.int32]
    """(rows,) position in the shard."""
    vocabulary: list[str]

    @cached_property
    def vocabulary_numbers(self) -> Int64Array:
        """(tag texts,) number of each in the vocabulary, -1 where the vocabulary lacks it."""
        numbers = {tag: number for number, tag in enumerate(self.vocabulary)}
        return np.array([numbers.get(str(text), -1) for text in self.rows.texts["tags"]], np.int64)

    def placements(self, rows: Int64Array) -> pa.Table:
        """(rows,) where the pairs of kept rows go, and what is stored with them besides their pixels."""
        targets = {"shard": self.shard_numbers[rows], "position": self.positions[rows]}
        family, group = self.rows.families_and_groups(rows)
        tags = self.rows.tag_numbers(rows, self.vocabulary_numbers)
        return pa.table({**targets, "family": family, "group": group, "tags": tags})

    @property
    def shards_per_spill(self) -> int:
        """How many shards share a spill file."""
        return -(-len(self.shards) // MAX_SPILL_FILES)


@dataclass(frozen=True)
class ShardFormat:
    """How pairs are written."""

    name: str
    """A key of formats.SHARD_WRITERS."""
    encoding: str
    lines: Sequence[str]
    """Line-art methods."""
    options_hash: str
    """Of everything that decides the bytes; stored in every file's metadata."""


def plan_shards(rows: KeptRows, tag_counts: list[dict[str, int]], options: ShardOptions) -> ShardPlan:
    """Shuffle each split as a whole, then cut it into shards equal to within one pair."""
    shards: list[tuple[str, str]] = []
    shard_numbers, positions = np.zeros((2, len(rows)), np.int32)
    for number, split in enumerate(SPLITS):
        members = np.flatnonzero(rows.splits == number)
        order = np.random.default_rng([options.seed, number]).permutation(len(members))
        total = -(-len(members) // options.shard_size)
        for shard_number, chunk in enumerate(np.array_split(order, total) if total else []):
            shard_numbers[members[chunk]] = len(shards)
            positions[members[chunk]] = np.arange(len(chunk))
            shards.append((split, formats.format_shard_name(options.format, split, shard_number, total)))
    # counted on training pairs: a tag that only other splits have could never be learned
    training_counts = normalize.sort_by_count(tag_counts[0])
    vocabulary = [tag for tag, count in training_counts.items() if count >= options.min_count]
    return ShardPlan(shards, rows, shard_numbers, positions, vocabulary)
