"""A child process that answers one message at a time. If it crashes, that costs one answer and not this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from threading import Lock

from curate.system.child_main import Prepare, receive, send
from curate.system.errors import NurieError
from curate.system.signals import signals_blocked


class ChildEndedError(Exception):
    """The child ended instead of answering."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code
        """As in subprocess: negative for the signal that ended it."""


class ChildProcess:
    """Starts its child with the first message, and again with the first one after the child has ended.

    The child finds modules where this process does. Threads take turns. A process that is forked off this one starts a
    child of its own.
    """

    def __init__(self, prepare: Prepare, setup: bytes = b"", *, stderr: int | None = None) -> None:
        """`stderr` as in subprocess.Popen: by default, what the child prints there is shown."""
        self._prepare, self._setup, self._stderr = prepare, setup, stderr
        self._reset()

    def ask(self, message: bytes) -> bytes:
        """The child's answer.

        Raises ChildEndedError if the child ends over this message, NurieError if no child can be started.
        """
        if self._owner != os.getpid():
            self._reset()
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self._end()  # killed while it was idle: this message is not to blame
            return self._exchange(self._process or self._start(), message)

    def close(self) -> None:
        """End the child."""
        if self._owner == os.getpid() and self._process is not None:
            self._process.kill()
            self._end()

    def _reset(self) -> None:
        self._owner, self._lock = os.getpid(), Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def _start(self) -> subprocess.Popen[bytes]:
        module, name = self._prepare.__module__, self._prepare.__qualname__
        code = f"from curate.system.child_main import serve; from {module} import {name}; serve({name})"
        search_path = os.pathsep.join(path or os.curdir for path in sys.path)
        with signals_blocked():
            process = self._process = subprocess.Popen(  # noqa: S603  # our own code
                [sys.executable, "-P", "-c", code],  # -P: no file of the current folder is taken for a module
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env={**os.environ, "PYTHONPATH": search_path},
            )
        try:
            self._exchange(process, self._setup)
        except ChildEndedError as error:
            how = describe_exit(error.exit_code)
            remedy = "close other programs or give fewer --workers, then run this command again to go on"
            raise NurieError(f"a child process cannot be started ({how}): {remedy}") from None
        return process

    def _exchange(self, process: subprocess.Popen[bytes], message: bytes) -> bytes:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            send(process.stdin, message)
            return receive(process.stdout)
        except (EOFError, OSError):
            raise ChildEndedError(self._end()) from None
        except BaseException:  # the answer still to come would be taken for that to the next message
            self.close()
            raise

    def _end(self) -> int:
        """Close the pipes, at which an idle child ends, and wait for it. Returns its exit code."""
        process, self._process = self._process, None
        assert process is not None
        process.communicate()
        return process.returncode


def describe_exit(code: int) -> str:
    """The name of the signal that ended a process, else its exit code."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
