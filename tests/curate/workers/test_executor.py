import os
import platform
import resource
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from curate.images import lineart
from curate.system import lock
from curate.system.errors import NurieError
from curate.workers import executor


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ValueError(f"task {number}")
    return number


def die(_number: int) -> int:
    os._exit(9)


def page_faults(_number: int) -> int:
    """Memory pages that the system provides while line art is drawn a second time at the same size."""
    rgb = np.full((1000, 1000, 3), 255, np.uint8)
    lineart.xdog(rgb)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    lineart.xdog(rgb)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries manage memory differently")
def test_a_worker_reuses_the_memory_of_a_picture() -> None:
    pages_per_array = 4_000_000 / os.sysconf("SC_PAGESIZE")  # one of several arrays
    assert max(executor.run(page_faults, range(2), 2)) < pages_per_array


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_tasks(workers: int) -> None:
    assert list(executor.run(square, iter(range(20)), workers)) == [n * n for n in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_task_is_raised_after_the_results_before_it(workers: int) -> None:
    results = executor.run(fail_at_three, range(10), workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="task 3"):
        next(results)


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_are_taken_only_when_needed(workers: int) -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = executor.run(square, tasks(), workers)
    next(results)
    assert len(taken) <= 3 * workers
    assert isinstance(results, Generator)
    results.close()


def test_a_folder_is_locked_by_one_run_at_a_time(tmp_path: Path) -> None:
    with lock.exclusive(tmp_path), pytest.raises(NurieError, match="another run is writing"), lock.exclusive(tmp_path):
        pass
    with lock.exclusive(tmp_path):
        pass


def test_the_error_for_a_dead_worker_says_what_to_do() -> None:
    with pytest.raises(NurieError, match="fewer --workers"):
        list(executor.run(die, range(4), 2))


def negate(numbers: Sequence[int]) -> list[int]:
    return [-number for number in numbers]


def die_at_four_and_minus_seven(number: int) -> int:
    if number in {4, -7}:
        os._exit(9)
    return abs(number)


def test_tasks_running_when_a_worker_dies_are_retried_in_order() -> None:
    tasks = [number for number in range(16) if number != 7]
    assert list(executor.run(die_at_four_and_minus_seven, iter(tasks), 2, make_retry_tasks=negate)) == tasks
    with pytest.raises(NurieError, match="fewer --workers"):
        list(executor.run(die_at_four_and_minus_seven, [4, 7], 1, make_retry_tasks=negate))


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from curate.workers import executor

def meet_or_work(seconds):
    folder = Path(sys.argv[1])
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.01)
    time.sleep(seconds)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
    for number, _ in enumerate(executor.run(meet_or_work, [0, 0, 2], 2)):
        print(number, flush=True)
"""


def test_ctrl_c_ends_busy_and_idle_workers_without_tracebacks(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / "met").mkdir()
    command = [sys.executable, str(script), str(tmp_path / "met")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "0\n"
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does
        _, stderr = run.communicate(timeout=60)
    assert run.returncode == -signal.SIGINT
    # the parent's own, which click turns into a line
    assert stderr.count("Traceback") == stderr.count("KeyboardInterrupt") == 1
