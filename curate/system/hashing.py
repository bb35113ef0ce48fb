"""Files -> their SHA-256, on all cores. Standard library only."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

from curate.system.errors import DamagedError
from curate.system.files import check_not_special_file

READ_BUFFER_BYTES = 1 << 20  # bytes read at once
FILES_PER_BATCH = 1 << 10  # files handed to the threads that hash them, at once
_THREAD_LOCAL = threading.local()


def usable_cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sha256_file(path: str | os.PathLike[str], on_bytes: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file's bytes, in hex; `tell` hears of every few bytes that are done."""
    digest = hashlib.sha256()
    if not hasattr(_THREAD_LOCAL, "buffer"):
        _THREAD_LOCAL.buffer = memoryview(
            bytearray(READ_BUFFER_BYTES)
        )  # of each thread: to make it anew costs more than a small file
    with Path(path).open("rb", 0) as file:
        while read := file.readinto(_THREAD_LOCAL.buffer):
            digest.update(_THREAD_LOCAL.buffer[:read])
            if on_bytes:
                on_bytes(read)
    return digest.hexdigest()


def sha256_files(
    paths: Iterable[Path], on_bytes: Callable[[int], None] | None = None
) -> Iterator[tuple[Path, str | OSError]]:
    """Each file with its SHA-256, or with why it cannot be read; in order, as many at once as there are cores."""
    paths = iter(paths)
    with ThreadPoolExecutor(usable_cores()) as pool:  # hashing and reading let other threads run
        while some := list(islice(paths, FILES_PER_BATCH)):
            yield from zip(some, pool.map(partial(_digest, on_bytes), some), strict=True)


def _digest(tell: Callable[[int], None] | None, path: Path) -> str | OSError:
    try:
        check_not_special_file(path)
        return sha256_file(path, tell)
    except DamagedError:
        return OSError(errno.EINVAL, "it is no file")
    except OSError as error:
        return error
