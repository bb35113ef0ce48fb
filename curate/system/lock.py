"""One run writes a folder at a time: who comes second is told who was first.

The lock is the operating system's (`flock` of `FOLDER/.lock`), so it ends with its process, however that ends: nothing
is left to be judged by its age, and a killed run never blocks the next one. What the file says of its holder is only
for the message. A lock file that a killed run, a reboot or a copy of the folder left is nobody's, and taken over.

On NFS the lock is the server's and holds between hosts, unless mounted with `nolock` or `local_lock`; there a host that
dies frees it when its lease ends (NFSv4, about 90 s) or when it is up again (NFSv3). On SMB, FUSE and Lustre it reaches
as far as their own flock does, for some of them this host alone.
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
"""Of a folder that is being written, or was when its run was killed."""
MAX_LOCK_FILE_BYTES = 4096  # bytes of a lock file that are looked at


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold an existing folder; the hold ends with the block or the process. Raises NurieError if another holds it."""
    descriptor = _open_locked(folder)
    try:
        told = {"host": socket.gethostname(), "pid": os.getpid(), "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(told).encode(), 0)
        os.fsync(descriptor)  # other hosts read it, too
        with note_inode_shortage():  # still: the end of the lock's own file frees an inode
            yield
    finally:
        try:
            with suppress(OSError):
                (folder / LOCK_FILE).unlink(missing_ok=True)  # still held: who has opened it sees that it is gone
        finally:
            os.close(descriptor)


def remove_stale(folder: Path) -> None:
    """Remove the lock file of a run that was killed as it ended; one that is held stays."""
    if (folder / LOCK_FILE).exists():
        with suppress(NurieError), exclusive(folder):
            pass


def check_free(folder: Path) -> None:
    """Raise NurieError if another process holds a folder, which need not exist; writes nothing."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        held = _read_holder(descriptor)
        if (held.get("host"), held.get("pid")) != (socket.gethostname(), os.getpid()):
            raise NurieError(_busy_message(folder, held)) from None
    except OSError:
        return  # no locks there: `alone` tells
    finally:
        os.close(descriptor)


def _open_locked(folder: Path) -> int:
    """A descriptor of the lock file that lies in the folder now, locked."""
    path = folder / LOCK_FILE
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file_at(path, descriptor):
                return descriptor
        except OSError as error:
            held = _read_holder(descriptor)
            if error.errno != errno.ESTALE:  # removed by its holder on another host
                os.close(descriptor)
                raise NurieError(
                    _busy_message(folder, held) if isinstance(error, BlockingIOError) else _no_locks_message(folder)
                ) from None
        os.close(descriptor)  # its holder removed it between the two calls: there is another, or none


def _is_file_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _read_holder(descriptor: int) -> dict[str, object]:
    """What a lock file says of who holds it; nothing, if that is not yet written."""
    try:
        told = json.loads(os.pread(descriptor, MAX_LOCK_FILE_BYTES, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _busy_message(folder: Path, held: dict[str, object]) -> str:
    who = f" (process {held['pid']} on {held['host']}, since {held['since']})" if held.keys() >= HOLDER_FIELDS else ""
    return f"another run is writing {folder}{who if who.isprintable() else ''}: wait until it ends"


HOLDER_FIELDS = {"host", "pid", "since"}


def _no_locks_message(folder: Path) -> str:
    return f"{folder} lies on a filesystem without locks, where two runs could write at once: give a folder elsewhere"
