"""What `train` may know of `curate`: the shard folder, checksums, atomic writes, the base of all errors.

Standard library only, as faults, hold and stopping are, so that reading a shard folder needs nothing else of this
package.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from curate.faults import DamagedError, NurieError, naming

SHARD_VERSION = 1
SPLITS = ("train", "validation", "test")
INDEX = "index.json"
VOCABULARY = "tags.txt"
METADATA = "metadata.parquet"
LOCK = ".lock"
"""Of a folder that is being written, or was when its run was killed: see curate.hold."""
SEAL = "seal"
"""Key of a JSON file that holds the SHA-256 of all the others."""
ENDINGS = {"tfrecord": ".tfrecord", "webdataset": ".tar", "imagefolder": f"/{METADATA}"}
"""Of the files that hold the pairs of a split, or list them, by format."""
ATTEMPT: ContextVar[str] = ContextVar("attempt", default="")
"""Told apart by this, two workers may write one file at once, as on a cluster; empty where nobody else would."""
LARGEST_SIDE = 4096  # px of a pair: four times what `extract --size` takes
BUFFER = 1 << 20  # bytes: records of tens of kB through Python's 8 kB take twice the system's time
TOGETHER = 1 << 10  # files handed to the threads that hash them, at once


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `path` only when the block ends well: temp, fsync, rename, fsync the folder.

    A reader sees the old file or the whole new one; an error leaves nothing behind, and a kill at most a `.NAME.tmp`,
    written over next time. Under an ATTEMPT that is `.NAME.ATTEMPT.tmp`: what one attempt writes, no other can tear.
    """
    path = Path(path)
    attempt = f".{ATTEMPT.get()}" if ATTEMPT.get() else ""
    temporary = path.with_name(f".{path.name}{attempt}.tmp")
    try:
        with naming(path), temporary.open("wb", BUFFER) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make renames inside `folder` survive a power cut (a rename is durable only once its folder is synced)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` as indented JSON with sorted keys, atomically: equal values give equal bytes."""
    with atomic_write(path) as file:
        file.write(canonical_json(value, indent=1) + b"\n")


def canonical_json(value: object, indent: int | None = None) -> bytes:
    """UTF-8 JSON with sorted keys, fit for hashing."""
    return json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False).encode()


def check_plain(path: str | os.PathLike[str]) -> None:
    """Raise DamagedError if a pipe or a device stands in a file's place: reading it may have no end."""
    if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
        raise DamagedError(f"{path} is no file: restore it, or make its folder again")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Parse a JSON file. Raises DamagedError, naming the file, if it is not JSON in UTF-8, or no file."""
    check_plain(path)
    try:
        return json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is not valid JSON ({error}): restore it, or make its folder again") from None


def write_sealed(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """As `write_json`, with a seal: no byte of the file may change unnoticed."""
    with atomic_write(path) as file:
        file.write(_sealed(value))


def check_seal(path: str | os.PathLike[str], value: object) -> None:
    """Raise DamagedError if the file, read as `value`, is not as it was sealed; files of old have no seal."""
    if isinstance(value, dict) and SEAL in value and Path(path).read_bytes() != _sealed(value):
        told = "its seal does not fit what it says"
        raise DamagedError(f"{path} is damaged ({told}): restore it, or make its folder again")


def _sealed(value: Mapping[str, Any]) -> bytes:
    bare = {key: one for key, one in value.items() if key != SEAL}
    return canonical_json(bare | {SEAL: options_hash(bare)}, indent=1) + b"\n"


def sha256(path: str | os.PathLike[str], tell: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file's bytes, in hex; `tell` hears of every few bytes that are done."""
    digest = hashlib.sha256()
    if not hasattr(_READ, "buffer"):
        _READ.buffer = memoryview(bytearray(BUFFER))  # of each thread: to make it anew costs more than a small file
    with Path(path).open("rb", 0) as file:
        while read := file.readinto(_READ.buffer):
            digest.update(_READ.buffer[:read])
            if tell:
                tell(read)
    return digest.hexdigest()


_READ = threading.local()


def digests(paths: Iterable[Path], tell: Callable[[int], None] | None = None) -> Iterator[tuple[Path, str | OSError]]:
    """Each file with its SHA-256, or with why it cannot be read; in order, as many at once as there are cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    paths = iter(paths)
    with ThreadPoolExecutor(cores) as pool:  # hashing and reading let other threads run
        while some := list(islice(paths, TOGETHER)):
            yield from zip(some, pool.map(partial(_digest, tell), some), strict=True)


def _digest(tell: Callable[[int], None] | None, path: Path) -> str | OSError:
    try:
        check_plain(path)
        return sha256(path, tell)
    except DamagedError:
        return OSError(errno.EINVAL, "it is no file")
    except OSError as error:
        return error


def options_hash(options: Mapping[str, object]) -> str:
    """SHA-256 of the resolved options of a stage: equal options, equal hash."""
    return hashlib.sha256(canonical_json(options)).hexdigest()


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

    def shards(self, split: str) -> list[str]:
        """Names of the files that hold a split's pairs, in order; of an imagefolder, of the one that lists them."""
        ending = ENDINGS[self.format]
        return sorted(name for name, file in self.files.items() if file.split == split and name.endswith(ending))


def write_index(folder: str | os.PathLike[str], index: ShardIndex) -> None:
    """Write `index.json`; the folder counts as complete from then on."""
    write_sealed(Path(folder) / INDEX, asdict(index))


def read_index(folder: str | os.PathLike[str]) -> ShardIndex:
    """Read and check `index.json`.

    Raises NurieError if the folder holds none or one of another version or format, DamagedError if it is malformed.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        raise NurieError(f"{folder} is not a finished shard folder (no {INDEX}): run `curate shard DATASET {folder}`")
    raw = read_json(path)
    version = raw.get("version") if isinstance(raw, dict) else None
    if version != SHARD_VERSION:
        remedy = "make the shards again with `curate shard`"
        raise NurieError(f"{path} has version {version!r}, this nurie reads {SHARD_VERSION}: {remedy}")
    check_seal(path, raw)
    raw.pop(SEAL, None)
    try:
        raw["files"] = {name: ShardFile(**file) for name, file in raw["files"].items()}
        raw["colors"] = {tag: tuple(pair) for tag, pair in raw["colors"].items()}
        raw["lines"], raw["attribution"] = tuple(raw["lines"]), tuple(raw["attribution"])
        index = ShardIndex(**raw)
        _check_index(index)
        known = index.format in ENDINGS
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
    if not 0 < index.size <= LARGEST_SIDE or not index.lines or not {*index.pairs, *index.tags} <= {*SPLITS}:
        raise ValueError("its size, line styles or splits cannot be")
    if outside := [name for name in index.files if not is_below(name)]:
        raise ValueError(f"{outside[0]!r} is no file of its folder")


def is_below(name: str) -> bool:
    """Whether a POSIX path can lead to something below the folder it starts from."""
    try:
        raw = name.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    parts = raw.split(b"/")
    return b"\0" not in raw and not any(part in {b"", b".", b".."} or len(part) > 255 for part in parts)


def read_vocabulary(folder: str | os.PathLike[str], name: str = VOCABULARY) -> list[str]:
    """Tags in the order of their indices, most frequent first. Raises DamagedError if they cannot be read."""
    path = Path(folder) / name
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedError(f"{path} cannot be read ({error}): restore it, or make its folder again") from None


def check_files(
    folder: str | os.PathLike[str], index: ShardIndex, tell: Callable[[int], None] | None = None
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
    for path, found in digests(whole, tell):
        if isinstance(found, OSError):
            faults[path] = f"{path} cannot be read ({found.strerror or found})"
        elif found != whole[path].sha256:
            faults[path] = f"{path} has other bytes than the index says (SHA-256 differs)"
    known = {Path(folder) / name for name in (INDEX, LOCK, *index.files)}
    known |= {parent for path in known for parent in path.parents}
    listed = [faults[path] for name in index.files if (path := Path(folder) / name) in faults]
    return listed + [f"{path} is not in the index" for path in sorted(Path(folder).rglob("*")) if path not in known]
