"""What `extract` would read, and whether the disk has room for what it would make. Opens no file."""

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

# other files are seldom pictures, and too few to matter to the sum
PICTURE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".svg", ".tif", ".tiff", ".webp"}
)
ROW_BYTES_PER_FILE = 900  # bytes, of the rows of one file in records and manifest
BASIS = "least: every picture takes as much as a flat icon; most: as much as a photograph"

FileKey = tuple[str, str, bytes | None]
"""A file's source, path and path_raw: what makes two files different."""


@dataclass(frozen=True)
class PictureBytes:
    """Bytes of one picture in `pairs`, compressed, measured with squares of 128 px."""

    color: int
    line: int
    """Of each line-art style."""
    compared: int
    """What dedupe compares: sketch and view, whose sizes are fixed."""
    growth: int
    """The bytes of a square grow with this power of its side: 1 for outlines, 2 for texture."""

    def total(self, options: ExtractOptions) -> int:
        """Bytes of one picture and its rows, with these options."""
        squares = self.color + self.line * len(options.lines)
        return int(squares * (options.size / 128) ** self.growth) + self.compared + ROW_BYTES_PER_FILE


LEAST_PICTURE_BYTES = PictureBytes(color=1_400, line=900, compared=1_600, growth=1)  # 300 OpenMoji drawings
# the most detailed of five photographs
MOST_PICTURE_BYTES = PictureBytes(color=36_000, line=10_500, compared=23_000, growth=2)


@dataclass(frozen=True)
class Forecast:
    """What `extract` would find and make. Byte counts leave out the files that are recorded already."""

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
        """The error message if the disk cannot hold even the least; else None."""
        if self.least_bytes_to_write <= self.bytes_free:
            return None
        needed, free = format_bytes(self.least_bytes_to_write), format_bytes(self.bytes_free)
        return f"the dataset needs {needed} or more and the disk has {free} free: give another disk, or --limit"

    def to_json_dict(self) -> dict[str, Any]:
        """As `--dry-run --json` prints it. Files that are recorded already count as dropped."""
        fits = "yes" if self.most_bytes_to_write <= self.bytes_free else "no" if self.disk_shortage else "perhaps"
        return {
            "in": self.files,
            "kept": self.files - self.recorded,
            "dropped": {"recorded": self.recorded} if self.recorded else {},
            "sidecars": self.sidecars,
            "suffixes": self.suffixes,
            "bytes_to_read": self.bytes_to_read,
            "bytes_to_write": {"least": self.least_bytes_to_write, "most": self.most_bytes_to_write},
            "bytes_free": self.bytes_free,
            "fits": fits,
            "basis": BASIS,
            "faults": [self.disk_shortage] if self.disk_shortage else [],
        }


def make_forecast(
    files: Iterable[SourceFile], recorded: Container[FileKey], dataset: Path, options: ExtractOptions, *, fresh: bool
) -> Forecast:
    """Count `files` and their bytes. With `fresh`, what the dataset takes now counts as free."""
    counts: Counter[str] = Counter()
    sidecars: set[Path] = set()
    suffixes: Counter[str] = Counter()
    for file in files:
        sidecars.update(file.sidecars)
        suffix = PurePosixPath(file.path).suffix.lower()
        suffixes[suffix or "none"] += 1
        is_recorded = (file.source, file.path, file.path_raw) in recorded
        size = 0 if is_recorded else _file_size(file.real_path) if file.size is None else file.size
        counts["files"] += 1
        counts["recorded"] += is_recorded
        counts["bytes"] += size
        counts["pictures"] += size > 0 and suffix in PICTURE_SUFFIXES
    rows = ROW_BYTES_PER_FILE * (counts["files"] - counts["recorded"] - counts["pictures"])
    return Forecast(
        files=counts["files"],
        recorded=counts["recorded"],
        sidecars=len(sidecars),
        suffixes=dict(sorted(suffixes.items(), key=lambda pair: (-pair[1], pair[0]))),
        bytes_to_read=counts["bytes"],
        least_bytes_to_write=counts["pictures"] * LEAST_PICTURE_BYTES.total(options) + rows,
        most_bytes_to_write=counts["pictures"] * MOST_PICTURE_BYTES.total(options) + rows,
        bytes_free=_bytes_free(dataset) + (_bytes_taken(dataset) if fresh else 0),
    )


def check_disk_space(forecast: Forecast) -> None:
    """Raise NurieError if the disk cannot hold even the least that `extract` would make."""
    if forecast.disk_shortage:
        raise NurieError(forecast.disk_shortage)


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a broken link or a folder without permission: `extract` makes a record with the error
        return 0


def _bytes_free(folder: Path) -> int:
    """Free bytes of the disk that holds the folder, or would hold it."""
    existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(existing).free


def _bytes_taken(dataset: Path) -> int:
    return sum(_file_size(path) for name in ledger.STAGE_FOLDERS for path in parquet.part_paths(dataset / name))
