"""Calls in a process of their own, as TensorFlow keeps for good what it compiled."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from curate.system.errors import NurieError, explain_system_errors
from curate.system.signals import StoppedBySignal, die_with_parent, signals_blocked, stoppable
from train.errors import RunError, translate_tensorflow_errors
from train.tensorflow_import import load_tensorflow_quietly

Result = TypeVar("Result")
EXIT_GRACE_SECONDS = 5.0  # s for a process to tidy up; what it leaves after that, the next run clears


def run_in_child_process(call: Callable[..., Result], *given: Any, tell: Callable[..., None]) -> Result:
    """`call(*given, tell=...)` in a process of its own, whose memory ends with it; what it tells is told here.

    `call` must be importable by name. Raises NurieError as the call does, and RunError if its process ends otherwise.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child_main, args=(theirs,), daemon=True)
    with signals_blocked():
        process.start()
    theirs.close()
    try:
        with suppress(ConnectionError):  # it has ended already, which is told below
            ours.send((call, given))
        while (heard := _receive(ours, process))[0] == "told":
            tell(*heard[1])
        if heard[0] == "fault":
            raise NurieError(heard[1])
        return heard[1]  # type: ignore[no-any-return]
    except KeyboardInterrupt:
        process.terminate()
        raise
    finally:
        process.join(EXIT_GRACE_SECONDS)
        process.kill()
        process.join()
        ours.close()


def _receive(pipe: Connection, process: SpawnProcess) -> tuple[str, Any]:
    """What the process says next, and of what kind it is. Raises RunError if it has ended."""
    try:
        return pipe.recv()  # type: ignore[no-any-return]
    except (EOFError, ConnectionError):
        process.join(EXIT_GRACE_SECONDS)
    if (process.exitcode or 0) < 0:
        raise RunError("the process of a training was killed, perhaps for memory: run the same command again to go on")
    raise RunError("the process of a training broke off, as told above: mend that, then run the same command again")


def _child_main(pipe: Connection) -> None:
    """One call, in the process made for it: nothing it needs is imported before TensorFlow is."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=die_with_parent, daemon=True).start()
    try:
        with stoppable(), explain_system_errors("a training"), translate_tensorflow_errors():
            load_tensorflow_quietly()
            call, given = pipe.recv()
            made = call(*given, tell=lambda *what: pipe.send(("told", what)))
        pipe.send(("made", made))
    except NurieError as error:
        pipe.send(("fault", str(error)))
    except StoppedBySignal as stop:
        raise SystemExit(128 + stop.number) from None
