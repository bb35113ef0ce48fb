"""POSIX tar archives from names and bytes. Equal files give equal archives, whenever and wherever they are written."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Mapping

BLOCK_BYTES = tarfile.BLOCKSIZE  # 512; the length of every header and of all padded contents is a multiple of it
MODE = 0o644


def archive_members(files: Mapping[str, bytes]) -> bytes:
    """Return these files as members of an archive, in their order: a header and padded contents each.

    Headers are ustar, without times, owners or machine; a name of more than 100 characters has a pax header before it.
    """
    return b"".join(_header(name, len(data)) + data + bytes(-len(data) % BLOCK_BYTES) for name, data in files.items())


def archive_ending(length: int) -> bytes:
    """Return the end of an archive of `length` bytes: two empty blocks, then zeros up to a record of 20 blocks."""
    closed = length + 2 * BLOCK_BYTES
    return bytes(2 * BLOCK_BYTES + -closed % tarfile.RECORDSIZE)


def iter_archive(samples: Iterable[bytes]) -> Iterator[bytes]:
    """Yield an archive in pieces: the members of each sample as `archive_members` made them, then the ending."""
    length = 0
    for sample in samples:
        length += len(sample)
        yield sample
    yield archive_ending(length)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)  # its time is 0 and its owner nobody
    entry.size, entry.mode = size, MODE
    return entry.tobuf(tarfile.PAX_FORMAT)
