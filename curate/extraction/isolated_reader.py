"""Read pictures in a child process, so that one that crashes its decoder or takes too much memory costs only itself.

A native decoder that crashes ends its process, and every other picture being read there. Those pictures are read again
by a child that does nothing else, so that its end names the picture at fault. Before a picture is blamed, it is read a
second time while no other reader of the dataset works: its neighbours may have used up the memory.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from curate.dataset.opt_out import OptOut
from curate.extraction.options import ExtractOptions
from curate.extraction.record import RecordAndPair, extract_file, unreadable_record
from curate.sources.scan import SourceFile
from curate.system.child_main import Answer
from curate.system.child_process import ChildEndedError, ChildProcess, describe_exit
from curate.tags.sidecar import Sidecar
from curate.workers import executor


class _UnreadableError(Exception):
    """The picture ended the child, or takes too much memory; the message is for the record."""


class IsolatedReader:
    """Reads pictures one by one in a child process, which starts with the first picture."""

    def __init__(self, lock_folder: Path, options: ExtractOptions, opted_out: OptOut) -> None:
        """`lock_folder` holds the folders `pairs` and `records`; readers that share it wait for one another."""
        self.lock_folder, self.options, self.opted_out = lock_folder, options, opted_out
        self._child = ChildProcess(prepare_reader, bytes(ForkingPickler.dumps((options, opted_out))))

    def read(self, file: SourceFile, table_sidecar: Sidecar | None) -> RecordAndPair:
        """As `extract_file`, but a picture that crashes its reader or takes too much memory is an unreadable record.

        Raises NurieError if no child can be started, and what `extract_file` raises.
        """
        try:
            with self._reader_lock(shared=True):
                return self._read_in_child(file, table_sidecar)
        except _UnreadableError:
            pass
        try:
            with self._reader_lock(shared=False):
                return self._read_in_child(file, table_sidecar)
        except _UnreadableError as error:
            return unreadable_record(file, self.options, table_sidecar, self.opted_out, str(error))

    def close(self) -> None:
        """End the child."""
        self._child.close()

    @contextmanager
    def _reader_lock(self, *, shared: bool) -> Iterator[None]:
        """Read beside other readers, or alone. A reader that waits to be alone keeps newcomers at the door."""
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

    def _read_in_child(self, file: SourceFile, table_sidecar: Sidecar | None) -> RecordAndPair:
        try:
            answer = ForkingPickler.loads(self._child.ask(bytes(ForkingPickler.dumps((file, table_sidecar)))))
        except ChildEndedError as error:
            raise _UnreadableError(_describe_crash(error.exit_code)) from None
        if isinstance(answer, MemoryError):
            self._child.close()  # its memory may be in shreds
            raise _UnreadableError("MemoryError: reading it takes more memory than a process has here")
        if isinstance(answer, Exception):
            raise answer
        result: RecordAndPair = answer
        return result


def _describe_crash(exit_code: int) -> str:
    if exit_code >= 0:
        return f"CrashError: reading it ends the process with {describe_exit(exit_code)}"
    memory = ", as the system does where memory is short" if exit_code == -signal.SIGKILL else ""
    return f"CrashError: reading it ends the process by {describe_exit(exit_code)}{memory}"


def prepare_reader(setup: bytes) -> Answer:
    """In the child: a function that reads one file, and returns its record and pair or the error, pickled."""
    options, opted_out = ForkingPickler.loads(setup)
    executor.set_up_worker()

    def read(request: bytes) -> bytes:
        file, table_sidecar = ForkingPickler.loads(request)
        answer: Any
        try:
            answer = extract_file(file, options, table_sidecar, opted_out)
        except Exception as error:  # noqa: BLE001  # raised by the parent
            answer = error
        return bytes(ForkingPickler.dumps(answer))

    return read
