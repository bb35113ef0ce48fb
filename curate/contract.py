"""The shard folder and its index: the interface between `curate`, which writes it, and `train`, which reads it.

Builds on curate.system only, so reading a shard folder loads nothing else of `curate`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curate.system.errors import DamagedError, NurieError
from curate.system.files import SEAL_KEY, check_seal, read_json, write_sealed
from curate.system.hashing import OnBytes, sha256_files
from curate.system.lock import LOCK_FILE
from curate.system.paths import is_safe_relative_path

SHARD_VERSION = 1
SPLITS = ("train", "validation", "test")
INDEX_FILE = "index.json"
VOCABULARY_FILE = "tags.txt"
METADATA_FILE = "metadata.parquet"
ENDING_BY_FORMAT = {"tfrecord": ".tfrecord", "webdataset": ".tar", "imagefolder": f"/{METADATA_FILE}"}
"""How the names of the files that hold a split's pairs (imagefolder: list them) end, by format."""
MAX_PAIR_SIDE_PX = 4096  # four times the maximum of `extract --size`


def shard_name(split: str, number: int, total: int, suffix: str = "tfrecord") -> str:
    """Return the file name of shard `number` (from 0) of `total`, in the style of TensorFlow Datasets."""
    return f"{split}-{number:05d}-of-{total:05d}.{suffix}"


@dataclass(frozen=True)
class ShardFile:
    """A file of a shard folder. `records` is 0 for the vocabulary and 1 for a picture; the vocabulary has no split."""

    split: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardIndex:
    """`index.json`: the table of contents of a shard folder."""

    size: int
    """Side of the square pairs, in pixels."""
    encoding: str
    """`png` or `raw`: how `color` and `line_*` are stored; `raw` only in a tf.train.Example."""
    lines: tuple[str, ...]
    """Line-art methods stored; the feature of method M is `line_M`."""
    pairs: Mapping[str, int]
    """Number of pairs by split."""
    tags: Mapping[str, Mapping[str, int]]
    """Number of pairs with a tag, by split and tag."""
    files: Mapping[str, ShardFile]
    colors: Mapping[str, tuple[str, str]]
    """Colour tags of the vocabulary as (colour, noun): blue_hair is (blue, hair)."""
    licenses: Mapping[str, int]
    """Number of pairs by licence; the key is empty for pictures without one."""
    attribution: tuple[str, ...]
    options: Mapping[str, Any]
    options_hash: str
    version: int = SHARD_VERSION

    @property
    def format(self) -> str:
        """A key of ENDING_BY_FORMAT."""
        return str(self.options.get("shard", {}).get("format", "tfrecord"))

    def shard_names(self, split: str) -> list[str]:
        """Return the names of a split's shards in order; of an imagefolder, the name of its list of pictures."""
        ending = ENDING_BY_FORMAT[self.format]
        return sorted(name for name, file in self.files.items() if file.split == split and name.endswith(ending))


def write_index(folder: str | os.PathLike[str], index: ShardIndex) -> None:
    """Write `index.json`, which marks the folder as complete."""
    write_sealed(Path(folder) / INDEX_FILE, asdict(index))


def read_index(folder: str | os.PathLike[str]) -> ShardIndex:
    """Read and check `index.json`.

    Raises NurieError if it is missing or has an unknown version or format, DamagedError if it is malformed.
    """
    path = Path(folder) / INDEX_FILE
    if not path.is_file():
        raise NurieError(
            f"{folder} is not a finished shard folder (no {INDEX_FILE}): run `curate shard DATASET {folder}`"
        )
    raw = read_json(path)
    version = raw.get("version") if isinstance(raw, dict) else None
    if version != SHARD_VERSION:
        remedy = "make the shards again with `curate shard`"
        raise NurieError(f"{path} has version {version!r}, this nurie reads {SHARD_VERSION}: {remedy}")
    check_seal(path, raw)
    raw.pop(SEAL_KEY, None)
    try:
        raw["files"] = {name: ShardFile(**file) for name, file in raw["files"].items()}
        raw["colors"] = {tag: tuple(pair) for tag, pair in raw["colors"].items()}
        raw["lines"], raw["attribution"] = tuple(raw["lines"]), tuple(raw["attribution"])
        index = ShardIndex(**raw)
        _check_index(index)
        known = index.format in ENDING_BY_FORMAT
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedError(f"{path} is damaged ({error}): make the shards again with `curate shard`") from None
    if not known:
        raise NurieError(f"{path} has the unknown format {index.format!r}: make the shards again with `curate shard`")
    return index


def _check_index(index: ShardIndex) -> None:
    """Raise ValueError for a field of the wrong type or range: a stranger may have written the index."""
    files = index.files.values()
    counts = [
        *index.pairs.values(),
        *index.licenses.values(),
        *(n for one in index.tags.values() for n in one.values()),
    ]
    counts += [number for file in files for number in (file.records, file.bytes)]
    texts = [index.encoding, index.options_hash, *index.lines, *index.attribution]
    texts += [text for pair in index.colors.values() for text in pair]
    texts += [text for file in files for text in (file.split, file.sha256)]
    if not all(type(one) is int and one >= 0 for one in (*counts, index.size)):
        raise ValueError("a count is not a number")
    if not all(isinstance(one, str) for one in texts) or any(len(pair) != 2 for pair in index.colors.values()):
        raise ValueError("a text field is not text")
    if not 0 < index.size <= MAX_PAIR_SIDE_PX or not index.lines or not {*index.pairs, *index.tags} <= {*SPLITS}:
        raise ValueError("its size, line styles or splits are invalid")
    if outside := [name for name in index.files if not is_safe_relative_path(name)]:
        raise ValueError(f"{outside[0]!r} is not a file below its folder")


def read_vocabulary(folder: str | os.PathLike[str], name: str = VOCABULARY_FILE) -> list[str]:
    """Return the tags in the order of their indices, most frequent first. Raises DamagedError if unreadable."""
    path = Path(folder) / name
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedError(f"{path} cannot be read ({error}): restore it, or make its folder again") from None


def find_file_faults(folder: str | os.PathLike[str], index: ShardIndex, on_bytes: OnBytes | None = None) -> list[str]:
    """Compare every file of a shard folder with its index; return one line per fault, an empty list if all is well."""
    folder = Path(folder)
    faults = {name: fault for name, file in index.files.items() if (fault := _size_fault(folder / name, file))}
    names = {folder / name: name for name in index.files if name not in faults}
    for path, digest in sha256_files(names, on_bytes):
        if isinstance(digest, OSError):
            faults[names[path]] = f"{path} cannot be read ({digest.strerror or digest})"
        elif digest != index.files[names[path]].sha256:
            faults[names[path]] = f"{path} has other bytes than the index says (SHA-256 differs)"
    listed = [faults[name] for name in index.files if name in faults]
    return listed + [f"{path} is not in the index" for path in _unlisted_files(folder, index)]


def _size_fault(path: Path, expected: ShardFile) -> str | None:
    if not path.is_file():
        return f"{path} is missing"
    size = path.stat().st_size
    return None if size == expected.bytes else f"{path} has {size} bytes, the index says {expected.bytes}"


def _unlisted_files(folder: Path, index: ShardIndex) -> Iterator[Path]:
    listed = {folder / name for name in (INDEX_FILE, LOCK_FILE, *index.files)}
    listed |= {parent for path in listed for parent in path.parents}
    return (path for path in sorted(folder.rglob("*")) if path not in listed)
