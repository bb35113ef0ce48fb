"""What an extract would read, and whether the disk has room for what it would make: by names and sizes alone."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from curate.dataset import ledger, parquet
from curate.extraction.options import ExtractOptions
from curate.sources.scan import SourceFile
from curate.system.errors import NurieError
from curate.system.text import format_bytes

# what else there is is seldom a picture; one that is weighs too little to decide
PICTURE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".svg", ".tif", ".tiff", ".webp"}
)
ROW_BYTES_PER_FILE = 900  # bytes of a file's rows in records and manifest
BASIS = "a picture takes what flat icons take, at least, and what photographs take, at most"

FileKey = tuple[str, str, bytes | None]


@dataclass(frozen=True)
class PictureBytes:
    """Bytes a picture takes in `pairs`, as measured with 128 px squares, compressed as they are stored."""

    color: int
    line: int
    """Of each style."""
    compared: int
    """What dedupe compares; its size is fixed."""
    growth: int
    """Power of the side that the squares grow with: outlines grow with it, texture with its square."""

    def total(self, options: ExtractOptions) -> int:
        """Of one picture and its rows, with these options."""
        squares = self.color + self.line * len(options.lines)
        return int(squares * (options.size / 128) ** self.growth) + self.compared + ROW_BYTES_PER_FILE


LEAST_PICTURE_BYTES = PictureBytes(color=1_400, line=900, compared=1_600, growth=1)  # 300 OpenMoji drawings
MOST_PICTURE_BYTES = PictureBytes(
    color=36_000, line=10_500, compared=23_000, growth=2
)  # the finest grained of five photographs


@dataclass(frozen=True)
class Forecast:
    """Counts of the files there are, and bytes: of those to read, of what they become, and what the disk has free."""

    files: int
    recorded: int
    sidecars: int
    suffixes: dict[str, int]
    bytes_to_read: int
    least_bytes_to_write: int
    most_bytes_to_write: int
    bytes_free: int

    @property
    def disk_shortage(self) -> str | None:
        """Why it cannot be done, if the disk cannot even hold the least."""
        if self.least_bytes_to_write <= self.bytes_free:
            return None
        needed, free = format_bytes(self.least_bytes_to_write), format_bytes(self.bytes_free)
        return f"the dataset needs {needed} or more and the disk has {free} free: give another disk, or --limit"

    def to_json_dict(self) -> dict[str, Any]:
        """As a dry run prints it: what is recorded already is not read again."""
        verdict = (
            "yes" if self.most_bytes_to_write <= self.bytes_free else "perhaps" if self.disk_shortage is None else "no"
        )
        return {
            "in": self.files,
            "kept": self.files - self.recorded,
            "dropped": {"recorded": self.recorded} if self.recorded else {},
            "sidecars": self.sidecars,
            "suffixes": self.suffixes,
            "bytes_to_read": self.bytes_to_read,
            "bytes_to_write": {"least": self.least_bytes_to_write, "most": self.most_bytes_to_write},
            "bytes_free": self.bytes_free,
            "fits": verdict,
            "basis": BASIS,
            "faults": [self.disk_shortage] if self.disk_shortage else [],
        }


def make_forecast(
    files: Iterable[SourceFile], recorded: Container[FileKey], dataset: Path, options: ExtractOptions, *, fresh: bool
) -> Forecast:
    """Count what an extract would find, read and make. `fresh` gives back what the dataset takes now."""
    counts: Counter[str] = Counter()
    sidecars: set[Path] = set()
    suffixes: Counter[str] = Counter()
    for file in files:
        sidecars.update(file.sidecars)
        suffix = PurePosixPath(file.path).suffix.lower()
        suffixes[suffix or "none"] += 1
        known = (file.source, file.path, file.path_raw) in recorded
        counts["files"] += 1
        counts["recorded"] += known
        length = 0 if known else file.size if file.size is not None else _length(file.real_path)
        counts["bytes"] += length
        counts["pictures"] += length > 0 and suffix in PICTURE_SUFFIXES
    rows = ROW_BYTES_PER_FILE * (counts["files"] - counts["recorded"] - counts["pictures"])
    return Forecast(
        files=counts["files"],
        recorded=counts["recorded"],
        sidecars=len(sidecars),
        suffixes=dict(sorted(suffixes.items(), key=lambda pair: (-pair[1], pair[0]))),
        bytes_to_read=counts["bytes"],
        least_bytes_to_write=counts["pictures"] * LEAST_PICTURE_BYTES.total(options) + rows,
        most_bytes_to_write=counts["pictures"] * MOST_PICTURE_BYTES.total(options) + rows,
        bytes_free=_free(dataset) + (_taken(dataset) if fresh else 0),
    )


def check_disk_space(found: Forecast) -> None:
    """Raise NurieError if the disk clearly cannot hold what an extract would make."""
    if found.disk_shortage:
        raise NurieError(found.disk_shortage)


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a link to nowhere, a folder that may not be entered: a record with an error, later
        return 0


def _free(folder: Path) -> int:
    """Of the disk that holds a folder, or would hold it."""
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(there).free


def _taken(dataset: Path) -> int:
    return sum(_length(path) for name in ledger.STAGE_FOLDERS for path in parquet.part_paths(dataset / name))
