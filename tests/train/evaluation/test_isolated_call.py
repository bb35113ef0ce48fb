"""A call in a child process reports its progress, result and errors here, and leaves no process behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from train.errors import ConfigError, NurieError, RunError
from train.evaluation.isolated_call import run_in_child_process


def report_squares(count: int, *, on_progress: Callable[..., None]) -> None:
    """Report the process id, then squares, and fail; test_ladder checks results."""
    on_progress(os.getpid(), -1)
    for number in range(count):
        on_progress(number, number**2)
    raise ConfigError("no more squares")


def test_progress_and_errors_of_the_child_reach_the_parent() -> None:
    reports: list[tuple[int, int]] = []
    with pytest.raises(NurieError, match=r"^no more squares$"):
        run_in_child_process(report_squares, 3, on_progress=lambda *report: reports.append(report))
    assert reports[1:] == [(0, 0), (1, 1), (2, 4)]
    assert reports[0][0] != os.getpid()


def kill(process: int, _: int) -> None:
    """End the child as a system without memory does."""
    os.kill(process, signal.SIGKILL)


def interrupt(*_: Any) -> None:
    """End the parent's call as Ctrl-C does."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("end", "error"), [pytest.param(kill, RunError, marks=pytest.mark.slow), (interrupt, KeyboardInterrupt)]
)
def test_no_process_is_left_when_the_child_is_killed_or_the_parent_interrupted(
    end: Callable[..., None], error: type[BaseException]
) -> None:
    processes: list[int] = []

    def on_progress(*report: int) -> None:
        processes.append(report[0])
        end(*report)

    with pytest.raises(error):
        run_in_child_process(report_squares, 10**9, on_progress=on_progress)
    with pytest.raises(ProcessLookupError):
        os.kill(processes[0], 0)
