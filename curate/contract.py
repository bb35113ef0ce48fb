"""The shard folder: what `train` knows of `curate`, beside faults, durable, digests, hold and stopping.

All of these are of the standard library only, so that reading a shard folder needs nothing else of this package.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curate.system.errors import DamagedError, NurieError
from curate.system.files import SEAL_KEY, check_seal, read_json, write_sealed
from curate.system.hashing import sha256_files
from curate.system.lock import LOCK_FILE
from curate.system.paths import is_safe_relative_path

SHARD_VERSION = 1
SPLITS = ("train", "validation", "test")
INDEX_FILE = "index.json"
VOCABULARY_FILE = "tags.txt"
METADATA_FILE = "metadata.parquet"
ENDING_BY_FORMAT = {"tfrecord": ".tfrecord", "webdataset": ".tar", "imagefolder": f"/{METADATA_FILE}"}
"""Of the files that hold the pairs of a split, or list them, by format."""
MAX_PAIR_SIDE_PX = 4096  # px of a pair: four times what `extract --size` takes


def shard_name(split: str, number: int, total: int, suffix: str = "tfrecord") -> str:
    """File name of shard `number` (from 0) of `total`, as TensorFlow Datasets spells it."""
    return f"{split}-{number:05d}-of-{total:05d}.{suffix}"


@dataclass(frozen=True)
class ShardFile:
    """One file of a shard folder. `records` is 0 for the vocabulary, 1 for a picture; only the former has no split."""

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
    """Pairs a split."""
    tags: Mapping[str, Mapping[str, int]]
    """Pairs that carry a tag, by split and tag."""
    files: Mapping[str, ShardFile]
    colors: Mapping[str, tuple[str, str]]
    """Colour tags of the vocabulary as (colour, noun): blue_hair is (blue, hair)."""
    licenses: Mapping[str, int]
    """Pairs a licence; the key is empty where the source names none."""
    attribution: tuple[str, ...]
    options: Mapping[str, Any]
    options_hash: str
    version: int = SHARD_VERSION

    @property
    def format(self) -> str:
        """One of ENDINGS."""
        return str(self.options.get("shard", {}).get("format", "tfrecord"))

    def shard_names(self, split: str) -> list[str]:
        """Names of the files that hold a split's pairs, in order; of an imagefolder, of the one that lists them."""
        ending = ENDING_BY_FORMAT[self.format]
        return sorted(name for name, file in self.files.items() if file.split == split and name.endswith(ending))


def write_index(folder: str | os.PathLike[str], index: ShardIndex) -> None:
    """Write `index.json`; the folder counts as complete from then on."""
    write_sealed(Path(folder) / INDEX_FILE, asdict(index))


def read_index(folder: str | os.PathLike[str]) -> ShardIndex:
    """Read and check `index.json`.

    Raises NurieError if the folder holds none or one of another version or format, DamagedError if it is malformed.
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
        raise NurieError(f"{path} is of the unknown format {index.format!r}: make the shards again with `curate shard`")
    return index


def _check_index(index: ShardIndex) -> None:
    """Raise ValueError for a field that is not what it should be; a stranger may have written it."""
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
        raise ValueError("a count is no number")
    if not all(isinstance(one, str) for one in texts) or any(len(pair) != 2 for pair in index.colors.values()):
        raise ValueError("what should be text is not")
    if not 0 < index.size <= MAX_PAIR_SIDE_PX or not index.lines or not {*index.pairs, *index.tags} <= {*SPLITS}:
        raise ValueError("its size, line styles or splits cannot be")
    if outside := [name for name in index.files if not is_safe_relative_path(name)]:
        raise ValueError(f"{outside[0]!r} is no file of its folder")


def read_vocabulary(folder: str | os.PathLike[str], name: str = VOCABULARY_FILE) -> list[str]:
    """Tags in the order of their indices, most frequent first. Raises DamagedError if they cannot be read."""
    path = Path(folder) / name
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedError(f"{path} cannot be read ({error}): restore it, or make its folder again") from None


def find_file_faults(
    folder: str | os.PathLike[str], index: ShardIndex, on_bytes: Callable[[int], None] | None = None
) -> list[str]:
    """Compare every file of a shard folder with its index; one line a fault, none if all is well.

    `tell` hears of the bytes that are hashed, from several threads.
    """
    faults, whole = dict[Path, str](), dict[Path, ShardFile]()
    for name, expected in index.files.items():
        path = Path(folder) / name
        if not path.is_file():
            faults[path] = f"{path} is missing"
        elif path.stat().st_size != expected.bytes:
            faults[path] = f"{path} has {path.stat().st_size} bytes, the index says {expected.bytes}"
        else:
            whole[path] = expected
    for path, found in sha256_files(whole, on_bytes):
        if isinstance(found, OSError):
            faults[path] = f"{path} cannot be read ({found.strerror or found})"
        elif found != whole[path].sha256:
            faults[path] = f"{path} has other bytes than the index says (SHA-256 differs)"
    known = {Path(folder) / name for name in (INDEX_FILE, LOCK_FILE, *index.files)}
    known |= {parent for path in known for parent in path.parents}
    listed = [faults[path] for name in index.files if (path := Path(folder) / name) in faults]
    return listed + [f"{path} is not in the index" for path in sorted(Path(folder).rglob("*")) if path not in known]
