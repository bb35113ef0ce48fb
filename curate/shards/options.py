"""Options of `curate shard` and their defaults. Standard library only, so that the command line can read them."""

from __future__ import annotations

from dataclasses import dataclass

from curate.system.errors import NurieError


@dataclass(frozen=True)
class ShardOptions:
    """What decides the bytes of a shard folder, besides the manifest and the pairs."""

    shard_size: int = 4096
    """Most pairs of a shard; the shards of a split are equal to within one pair."""
    encoding: str = "png"
    """`png`, or `raw` pixels, which take ten times the disk for flat art and are read faster."""
    min_count: int = 5
    """A tag of fewer training pairs is left out of the vocabulary."""
    seed: int = 0
    """Of the shuffle."""
    format: str = "tfrecord"
    """A key of formats.SHARD_WRITERS."""

    def check(self) -> None:
        """Raise NurieError if options exclude one another."""
        if self.encoding == "raw" and self.format != "tfrecord":
            raise NurieError("--encoding raw works with --format tfrecord only: leave it out, and PNG is stored")
