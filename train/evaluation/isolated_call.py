"""Call a function in a child process: TensorFlow never frees what it compiled, but a process does when it ends.

The child sends Progress messages, then one Outcome or one Failure.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from curate.system.errors import NurieError, explain_system_errors
from curate.system.signals import StoppedBySignal, die_with_parent, signals_blocked, stoppable
from train.errors import RunError, translate_tensorflow_errors
from train.lazy_tensorflow import load_tensorflow_quietly

Result = TypeVar("Result")
EXIT_GRACE_SECONDS = 5.0  # a child may tidy up this long before it is killed; the next run clears what it leaves


@dataclass(frozen=True)
class Progress:
    """Arguments for the caller's `on_progress`."""

    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """What the call returned."""

    value: Any


@dataclass(frozen=True)
class Failure:
    """The line of a NurieError that the call raised."""

    message: str


def run_in_child_process(call: Callable[..., Result], *arguments: Any, on_progress: Callable[..., None]) -> Result:
    """Return `call(*arguments, on_progress=...)`, run in a child process; its progress reports are passed on.

    `call` must be importable by name, and all values must be picklable. Raises NurieError with the call's own message
    if it raises one, and RunError if the process dies.
    """
    context = get_context("spawn")
    pipe, child_pipe = context.Pipe()
    process = context.Process(target=_child_main, args=(child_pipe,), daemon=True)
    with signals_blocked():
        process.start()
    child_pipe.close()
    try:
        with suppress(ConnectionError):  # the child is dead already; _receive says so
            pipe.send((call, arguments))
        while isinstance(message := _receive(pipe, process), Progress):
            on_progress(*message.arguments)
        if isinstance(message, Failure):
            raise NurieError(message.message)
        return message.value  # type: ignore[no-any-return]
    except KeyboardInterrupt:
        process.terminate()
        raise
    finally:
        process.join(EXIT_GRACE_SECONDS)
        process.kill()
        process.join()
        pipe.close()


def _receive(pipe: Connection, process: SpawnProcess) -> Progress | Outcome | Failure:
    """The child's next message. Raises RunError if the child has ended without one."""
    try:
        return pipe.recv()  # type: ignore[no-any-return]
    except (EOFError, ConnectionError):
        process.join(EXIT_GRACE_SECONDS)
    if (process.exitcode or 0) < 0:
        raise RunError("a training's process was killed, perhaps for lack of memory: run the same command again")
    raise RunError("a training's process failed, see above: mend the cause, then run the same command again")


def _child_main(pipe: Connection) -> None:
    """Receive one call, run it and send what it returns; nothing heavy is imported before TensorFlow."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=die_with_parent, daemon=True).start()
    try:
        with stoppable(), explain_system_errors("a training"), translate_tensorflow_errors():
            load_tensorflow_quietly()
            call, arguments = pipe.recv()
            value = call(*arguments, on_progress=lambda *progress: pipe.send(Progress(progress)))
        pipe.send(Outcome(value))
    except NurieError as error:
        pipe.send(Failure(str(error)))
    except StoppedBySignal as stop:
        raise SystemExit(128 + stop.number) from None
