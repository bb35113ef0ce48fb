"""Read pictures in a process of its own: one that ends it, or takes more memory than there is, costs itself alone.

A native decoder that fails ends its process, and with it all that was read there. So what was under way is read once
more through a process that does nothing else, and whose end tells which picture it was. Before a picture is blamed, it
is read a second time while no other is: what its neighbours held of the memory is no fault of its own.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from curate.dataset.opt_out import OptOut
from curate.dataset.rows import RecordRow
from curate.extraction.options import ExtractOptions
from curate.extraction.record import extract_file, unreadable_record
from curate.sources.scan import SourceFile
from curate.system.errors import NurieError
from curate.tags.sidecar import Sidecar
from curate.workers import executor

RecordAndPair = tuple[RecordRow, dict[str, Any] | None]
"""As read_file returns it."""
PIPE_ERRORS = (EOFError, ConnectionError)  # of a pipe to a process that has ended
# -P: it finds modules where this process does, and not in the folder that it happens to be in
CHILD_COMMAND = (
    sys.executable,
    "-P",
    "-c",
    "import sys; from curate.extraction.isolated_reader import serve; serve(int(sys.argv[1]))",
)


class _ChildDiedError(Exception):
    """The process has ended, or lacked the memory; the message is for the record."""


class IsolatedReader:
    """Reads pictures one by one in another process, which is started when the first one is asked for."""

    def __init__(self, dataset: Path, options: ExtractOptions, removed: OptOut) -> None:
        self.lock_folder, self.options, self.removed = dataset, options, removed
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection[Any, Any] | None = None

    def read(self, file: SourceFile, table_sidecar: Sidecar | None) -> RecordAndPair:
        """As read_file, but that a picture which cannot be read for its crash or its memory is a record, too.

        Raises NurieError if no process can be started, and what read_file raises.
        """
        try:
            with self._reader_lock(shared=True):
                return self._ask(file, table_sidecar)
        except _ChildDiedError:
            pass
        try:
            with self._reader_lock(shared=False):
                return self._ask(file, table_sidecar)
        except _ChildDiedError as error:
            return unreadable_record(file, self.options, table_sidecar, self.removed, str(error))

    def close(self) -> None:
        """End the process."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._pipe = None

    @contextmanager
    def _reader_lock(self, *, shared: bool) -> Iterator[None]:
        """Read beside other readers of the dataset, or alone. Who wants to be alone is not overtaken at the door."""
        door, room = (os.open(self.lock_folder / name, os.O_RDONLY) for name in ("pairs", "records"))
        try:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            if shared:
                fcntl.flock(door, fcntl.LOCK_UN)
            yield
        finally:
            os.close(room)
            os.close(door)

    def _ask(self, file: SourceFile, told: Sidecar | None) -> RecordAndPair:
        pipe = self._pipe or self._start()
        try:
            pipe.send((file, told))
            found = pipe.recv()
        except PIPE_ERRORS:
            ended = self._process.wait() if self._process else 0
            self.close()
            raise _ChildDiedError(_crash(ended)) from None
        if isinstance(found, MemoryError):
            self.close()  # its memory may be in shreds
            raise _ChildDiedError("MemoryError: reading it takes more memory than a process has here")
        if isinstance(found, Exception):
            raise found
        read: RecordAndPair = found
        return read

    def _start(self) -> Connection[Any, Any]:
        ours, theirs = socket.socketpair()
        with theirs:
            known = os.pathsep.join(path or os.curdir for path in sys.path)
            command, environment = [*CHILD_COMMAND, str(theirs.fileno())], os.environ | {"PYTHONPATH": known}
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)  # noqa: S603  # ours
        self._pipe = Connection(ours.detach())
        try:
            self._pipe.send((self.options, self.removed))
            self._pipe.recv()
        except PIPE_ERRORS:
            told = _crash(self._process.wait())
            self.close()
            remedy = "close other programs or give fewer --workers, then run this command again, which goes on"
            raise NurieError(f"a process to read pictures apart cannot be started ({told}): {remedy}") from None
        return self._pipe


def _crash(code: int) -> str:
    """How a process ended that was to read a picture."""
    if code >= 0:
        return f"CrashError: reading it ends the process with exit code {code}"
    memory = ", as the system does where memory is short" if -code == signal.SIGKILL else ""
    return f"CrashError: reading it ends the process by {signal.Signals(-code).name}{memory}"


def serve_reader(descriptor: int) -> None:
    """In the other process: answer a Reader until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the reader closes the pipe
    executor.set_up_worker()
    with Connection(descriptor) as pipe:
        try:
            options, removed = pipe.recv()
            pipe.send(None)
            while True:
                file, told = pipe.recv()
                try:
                    pipe.send(extract_file(file, options, told, removed))
                except Exception as error:  # noqa: BLE001  # raised where it was asked for
                    pipe.send(error)
        except PIPE_ERRORS:
            return
