"""Exclusive locks on folders, so that only one run writes a folder; the error names the holder.

The lock is `flock` on `FOLDER/.lock`. The operating system drops it when its process ends, however that happens, so no
lock is ever judged by its age and a killed run never blocks the next one. The file's contents only serve the message.
A lock file left behind by a killed run, a reboot or a copy of the folder is unlocked and gets reused.

On NFS the server keeps the lock, so it holds between hosts, unless the mount option `nolock` or `local_lock` is set.
If a host dies, its lock ends with its lease (NFSv4, about 90 s) or when the host is up again (NFSv3). On SMB, FUSE and
Lustre the lock reaches as far as their own flock does; on some of them that is this host only.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from curate.system.errors import NurieError, note_inode_shortage

LOCK_FILE = ".lock"
"""In a folder that is being written, or was being written when its run was killed."""
MAX_LOCK_FILE_BYTES = 4096  # no more is read of one
HOLDER_FIELDS = {"host", "pid", "since"}


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock an existing folder until the block or the process ends. Raises NurieError if another run holds it."""
    descriptor = _open_locked(folder)
    try:
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        os.fsync(descriptor)  # other hosts read it too
        with note_inode_shortage():  # here: deleting the lock file below frees an inode
            yield
    finally:
        try:
            with suppress(OSError):
                (folder / LOCK_FILE).unlink(
                    missing_ok=True
                )  # while still locked: _open_locked then notices that it is gone
        finally:
            os.close(descriptor)


def remove_stale(folder: Path) -> None:
    """Delete a lock file that a killed run left behind; one that is locked stays."""
    if (folder / LOCK_FILE).exists():
        with suppress(NurieError), exclusive(folder):
            pass


def check_free(folder: Path) -> None:
    """Raise NurieError if another process holds the folder. Writes nothing; the folder need not exist."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _read_holder(descriptor)
        if (holder.get("host"), holder.get("pid")) != (socket.gethostname(), os.getpid()):
            raise NurieError(_busy_message(folder, holder)) from None
    except OSError:
        return  # a filesystem without locks: `exclusive` raises the error
    finally:
        os.close(descriptor)


def _open_locked(folder: Path) -> int:
    """Return a descriptor of the folder's lock file, locked, and still at its path."""
    path = folder / LOCK_FILE
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file_at(path, descriptor):
                return descriptor
        except OSError as error:
            holder = _read_holder(descriptor)
            if error.errno != errno.ESTALE:  # ESTALE: the holder on another host deleted it; try again
                os.close(descriptor)
                raise NurieError(
                    _busy_message(folder, holder) if isinstance(error, BlockingIOError) else _no_locks_message(folder)
                ) from None
        os.close(descriptor)  # its holder deleted it between open and flock: try again


def _is_file_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _read_holder(descriptor: int) -> dict[str, object]:
    """Return what a lock file says about its holder; empty if that is not written yet, or unreadable."""
    try:
        holder = json.loads(os.pread(descriptor, MAX_LOCK_FILE_BYTES, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _busy_message(folder: Path, holder: dict[str, object]) -> str:
    known = holder.keys() >= HOLDER_FIELDS
    who = f" (process {holder['pid']} on {holder['host']}, since {holder['since']})" if known else ""
    return f"another run is writing {folder}{who if who.isprintable() else ''}: wait until it ends"


def _no_locks_message(folder: Path) -> str:
    return f"{folder} lies on a filesystem without locks, where two runs could write at once: give a folder elsewhere"
