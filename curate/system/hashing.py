"""SHA-256 of files, hashed on all cores."""

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
from typing import TypeAlias

from curate.system.errors import DamagedError
from curate.system.files import check_not_special_file

READ_BUFFER_BYTES = 1 << 20
FILES_PER_BATCH = 1 << 10  # files handed to the hashing threads at a time
_THREAD_LOCAL = threading.local()

OnBytes: TypeAlias = Callable[[int], None]
"""A progress callback, called with the number of bytes done since the last call; from any thread."""


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sha256_file(path: str | os.PathLike[str], on_bytes: OnBytes | None = None) -> str:
    """Return the SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    if not hasattr(_THREAD_LOCAL, "buffer"):  # one buffer per thread: allocating it costs more than a small file
        _THREAD_LOCAL.buffer = memoryview(bytearray(READ_BUFFER_BYTES))
    with Path(path).open("rb", 0) as file:
        while size := file.readinto(_THREAD_LOCAL.buffer):
            digest.update(_THREAD_LOCAL.buffer[:size])
            if on_bytes:
                on_bytes(size)
    return digest.hexdigest()


def sha256_files(paths: Iterable[Path], on_bytes: OnBytes | None = None) -> Iterator[tuple[Path, str | OSError]]:
    """Yield each path with its SHA-256, or with the error that prevented reading it; in the order given."""
    paths = iter(paths)
    with ThreadPoolExecutor(usable_cores()) as pool:  # hashing and reading release the GIL
        while batch := list(islice(paths, FILES_PER_BATCH)):
            yield from zip(batch, pool.map(partial(_sha256_or_error, on_bytes), batch), strict=True)


def _sha256_or_error(on_bytes: OnBytes | None, path: Path) -> str | OSError:
    try:
        check_not_special_file(path)
        return sha256_file(path, on_bytes)
    except DamagedError:
        return OSError(errno.EINVAL, "not a regular file")
    except OSError as error:
        return error
