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
from curate.system.files import check_plain

BUFFER = 1 << 20  # bytes read at once
TOGETHER = 1 << 10  # files handed to the threads that hash them, at once
_READ = threading.local()


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def digests(paths: Iterable[Path], tell: Callable[[int], None] | None = None) -> Iterator[tuple[Path, str | OSError]]:
    """Each file with its SHA-256, or with why it cannot be read; in order, as many at once as there are cores."""
    paths = iter(paths)
    with ThreadPoolExecutor(cores()) as pool:  # hashing and reading let other threads run
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
