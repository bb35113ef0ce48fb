"""Drawings in, shards out: colour art and tags become line-art/colour pairs for training.

The rooms, along the road of the data:

    sources         folders, tables beside them, sample art
    extraction      every file once: record, line art, pair
    deduplication   look-alikes, groups, families, splits: the manifest
    query           a smaller manifest by tags and columns
    shards          pairs packed for training, with vocabulary and index
    audit           report, tag counts, verification, one picture's fate
    browsing        a page to look and to overrule
    planning        recipes, what is out of date, what a run will cost
    dataset         the dataset folder that all of these read and write
    stores          datasets and shards in S3 and the like
    images, signatures, search, tags, workers, web, system    what they stand on

`contract` is the shard folder, which is all that `train` knows of the data. `api` holds the commands as functions:
`import curate; curate.extract("art", "dataset")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "LINE_METHODS",
    "NurieError",
    "copy",
    "decide",
    "decode",
    "dedupe",
    "extract",
    "phash",
    "plan",
    "remove",
    "report",
    "sample",
    "select",
    "shard",
    "tag_counts",
    "verify",
    "why",
]

if TYPE_CHECKING:
    from curate.api import (
        copy,
        decide,
        dedupe,
        extract,
        plan,
        remove,
        report,
        sample,
        select,
        shard,
        tag_counts,
        verify,
        why,
    )
    from curate.images.decode import decode
    from curate.images.lineart import LINE_METHODS
    from curate.signatures.phash import phash
    from curate.system.errors import NurieError


def __getattr__(name: str) -> Any:
    """Load a function when it is first asked for, so that `import curate` takes no time."""
    if name not in __all__:
        raise AttributeError(f"module 'curate' has no attribute {name!r}")
    if name == "decode":
        from curate.images.decode import decode  # noqa: PLC0415

        return decode
    if name == "phash":
        from curate.signatures.phash import phash  # noqa: PLC0415

        return phash
    if name == "LINE_METHODS":
        from curate.images.lineart import LINE_METHODS  # noqa: PLC0415

        return LINE_METHODS
    from curate import api  # noqa: PLC0415

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
