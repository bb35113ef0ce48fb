"""A call in a process of its own: heard and answered here, and over with whatever ends it or who asked for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from train.errors import ConfigError, NurieError, RunError
from train.evaluation.child_process import run_in_child_process


def squares(most: int, *, tell: Callable[..., None]) -> None:
    """What is called there; a ladder's rungs show that what it returns comes here, too."""
    tell(os.getpid(), -1)
    for number in range(most):
        tell(number, number**2)
    raise ConfigError("no more are asked for")


def test_what_it_tells_comes_here_from_another_process_and_a_fault_in_its_own_words() -> None:
    told: list[tuple[int, int]] = []
    with pytest.raises(NurieError, match=r"^no more are asked for$"):
        run_in_child_process(squares, 3, tell=lambda *what: told.append(what))
    assert told[1:] == [(0, 0), (1, 1), (2, 4)]
    assert told[0][0] != os.getpid()


def killing(process: int, _: int) -> None:
    """As a system does that runs out of memory."""
    os.kill(process, signal.SIGKILL)


def stopping(*_: Any) -> None:
    """As Ctrl-C does."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("how", "fault"), [pytest.param(killing, RunError, marks=pytest.mark.slow), (stopping, KeyboardInterrupt)]
)
def test_whoever_ends_it_it_leaves_nothing_behind(how: Callable[..., None], fault: type[BaseException]) -> None:
    processes: list[int] = []

    def tell(*what: int) -> None:
        processes.append(what[0])
        how(*what)

    with pytest.raises(fault):
        run_in_child_process(squares, 10**9, tell=tell)
    with pytest.raises(ProcessLookupError):
        os.kill(processes[0], 0)
