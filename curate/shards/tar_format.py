"""POSIX tar as pure functions from names and bytes to bytes: equal files give equal archives at any time."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Mapping

BLOCK_BYTES = tarfile.BLOCKSIZE  # 512 bytes: headers and contents are multiples of it
MODE = 0o644


def archive_members(files: Mapping[str, bytes]) -> bytes:
    """These files as they lie in an archive, in their order: headers without times, owners or machine, padded contents.

    ustar headers; a name beyond 100 characters takes a pax one before it.
    """
    return b"".join(_header(name, len(data)) + data + bytes(-len(data) % BLOCK_BYTES) for name, data in files.items())


def archive_ending(length: int) -> bytes:
    """What closes an archive of `length` bytes: two empty blocks, then zeros up to a whole record of 20 blocks."""
    closed = length + 2 * BLOCK_BYTES
    return bytes(2 * BLOCK_BYTES + -closed % tarfile.RECORDSIZE)


def iter_archive(samples: Iterable[bytes]) -> Iterator[bytes]:
    """An archive in pieces: what `members` made of each sample, and the ending."""
    length = 0
    for sample in samples:
        length += len(sample)
        yield sample
    yield archive_ending(length)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)  # its time and owner are 0 and nobody
    entry.size, entry.mode = size, MODE
    return entry.tobuf(tarfile.PAX_FORMAT)
