"""Atomic file writes, and JSON files with a seal that reveals any changed byte."""

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
"""The key whose value is the SHA-256 of all other keys and values."""
ATTEMPT_ID: ContextVar[str] = ContextVar("attempt", default="")
"""Part of temporary file names. On a cluster, two workers may write the same file at the same time.

A context variable: as an argument it would pass through every function that writes a file. Empty outside a cluster.
"""
WRITE_BUFFER_BYTES = 1 << 20  # with Python's 8 kB, records of tens of kB cost twice the system time


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a temporary binary file; if the block succeeds, fsync it, rename it to `path` and fsync the folder.

    A reader sees the old file or the complete new one. An error leaves nothing behind; a kill leaves at most
    `.NAME.tmp`, which the next write overwrites. With an ATTEMPT_ID the temporary file is `.NAME.ATTEMPT.tmp`, so that
    attempts never overwrite each other's.
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
    """Fsync a folder: only then do renames in it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` atomically as indented JSON with sorted keys: equal values give equal bytes."""
    with atomic_write(path) as file:
        file.write(canonical_json(value, indent=1) + b"\n")


def canonical_json(value: object, indent: int | None = None) -> bytes:
    """Return UTF-8 JSON with sorted keys: equal values give equal bytes."""
    return json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False).encode()


def check_not_special_file(path: str | os.PathLike[str]) -> None:
    """Raise DamagedError if `path` is a pipe or a device: reading it might never end."""
    if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
        raise DamagedError(f"{path} is not a regular file: restore it, or make its folder again")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Parse a JSON file. Raises DamagedError, which names the file, if it is not UTF-8 JSON or not a regular file."""
    check_not_special_file(path)
    try:
        return json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is not valid JSON ({error}): restore it, or make its folder again") from None


def write_sealed(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Write like write_json, with a seal over the contents."""
    with atomic_write(path) as file:
        file.write(_sealed(value))


def check_seal(path: str | os.PathLike[str], value: object) -> None:
    """Raise DamagedError if the file, parsed as `value`, has changed since it was sealed. Older files have no seal."""
    if isinstance(value, dict) and SEAL_KEY in value and Path(path).read_bytes() != _sealed(value):
        raise DamagedError(f"{path} is damaged (its seal does not match): restore it, or make its folder again")


def _sealed(value: Mapping[str, Any]) -> bytes:
    unsealed = {key: item for key, item in value.items() if key != SEAL_KEY}
    return canonical_json(unsealed | {SEAL_KEY: options_hash(unsealed)}, indent=1) + b"\n"


def options_hash(options: Mapping[str, object]) -> str:
    """Return the SHA-256 of a stage's resolved options, in hex: equal options, equal hash."""
    return hashlib.sha256(canonical_json(options)).hexdigest()
