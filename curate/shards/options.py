"""Options of `curate shard`, and their defaults. Standard library only, so that the command line can read them."""

from __future__ import annotations

from dataclasses import dataclass

from curate.system.errors import NurieError


@dataclass(frozen=True)
class ShardOptions:
    """What decides the bytes of a shard folder, beside the manifest."""

    shard_size: int = 4096
    """Most pairs a shard; the shards of a split are equal to within one pair."""
    encoding: str = "png"
    """`png`, or `raw` pixels: of flat art ten times as large, read faster."""
    min_count: int = 5
    """Tags of fewer training pairs are left out of the vocabulary."""
    seed: int = 0
    format: str = "tfrecord"
    """A key of formats.WRITERS."""

    def check(self) -> None:
        """Raise NurieError if options exclude one another."""
        if self.encoding == "raw" and self.format != "tfrecord":
            raise NurieError(f"--encoding raw is of TFRecords only: leave it out, --format {self.format} stores PNG")
