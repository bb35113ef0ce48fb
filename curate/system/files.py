"""Files that are there whole or not at all, and JSON that tells if a byte of it has changed. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO

from curate.system.errors import DamagedError, name_file_in_errors

SEAL_KEY = "seal"
"""Key of a JSON file that holds the SHA-256 of all the others."""
ATTEMPT_ID: ContextVar[str] = ContextVar("attempt", default="")
"""Told apart by this, two workers may write one file at once, as on a cluster; empty where nobody else would."""
WRITE_BUFFER_BYTES = 1 << 20  # bytes: records of tens of kB through Python's 8 kB take twice the system's time


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `path` only when the block ends well: temp, fsync, rename, fsync the folder.

    A reader sees the old file or the whole new one; an error leaves nothing behind, and a kill at most a `.NAME.tmp`,
    written over next time. Under an ATTEMPT that is `.NAME.ATTEMPT.tmp`: what one attempt writes, no other can tear.
    """
    path = Path(path)
    attempt = f".{ATTEMPT_ID.get()}" if ATTEMPT_ID.get() else ""
    temporary = path.with_name(f".{path.name}{attempt}.tmp")
    try:
        with name_file_in_errors(path), temporary.open("wb", WRITE_BUFFER_BYTES) as file:
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


def check_not_special_file(path: str | os.PathLike[str]) -> None:
    """Raise DamagedError if a pipe or a device stands in a file's place: reading it may have no end."""
    if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
        raise DamagedError(f"{path} is no file: restore it, or make its folder again")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Parse a JSON file. Raises DamagedError, naming the file, if it is not JSON in UTF-8, or no file."""
    check_not_special_file(path)
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
    if isinstance(value, dict) and SEAL_KEY in value and Path(path).read_bytes() != _sealed(value):
        told = "its seal does not fit what it says"
        raise DamagedError(f"{path} is damaged ({told}): restore it, or make its folder again")


def _sealed(value: Mapping[str, Any]) -> bytes:
    bare = {key: one for key, one in value.items() if key != SEAL_KEY}
    return canonical_json(bare | {SEAL_KEY: options_hash(bare)}, indent=1) + b"\n"


def options_hash(options: Mapping[str, object]) -> str:
    """SHA-256 of the resolved options of a stage: equal options, equal hash."""
    return hashlib.sha256(canonical_json(options)).hexdigest()
