"""A short kill test: a few deaths of a few commands. `make faults` tries hundreds."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests import ROOT
from tests.faults.killing.case_runner import CaseRunner, difference
from tests.faults.killing.cases import draw_deaths, in_turn
from tests.faults.killing.commands import COMMANDS
from tests.faults.killing.deaths import Death
from tests.faults.killing.tally import Tally

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> CaseRunner:
    return CaseRunner(tmp_path_factory.mktemp("kill"), pictures=25)


def change_number(runner: CaseRunner, name: str, prefix: str, share: float = 0.0) -> int:
    """Number of a change of the disk that begins with `prefix`; `share` selects the first (0) to the last (below 1)."""
    numbers = [number for number, change in enumerate(runner.survey(name)[1], 1) if change.startswith(prefix)]
    return numbers[int(share * len(numbers))]


def assert_dies(runner: CaseRunner, name: str, *deaths: Death) -> None:
    assert runner.run_case(name, deaths) == ""
    assert all(death.died for death in deaths), deaths


def test_extract_killed_within_a_write_and_after_a_rename_makes_equal_files_when_run_again(runner: CaseRunner) -> None:
    write = "write dataset/pairs/..staged-#-#.parquet.tmp"
    commit = change_number(runner, "extract", "rename dataset/records", 0.5)
    second_write = Death("change", "group", number=2, kind=write, moment="within")
    assert_dies(runner, "extract", second_write, Death("change", "self", number=commit, moment="after"))
    assert second_write.what == write


def test_shard_killed_in_one_process_and_then_in_all_makes_equal_files_when_run_again(runner: CaseRunner) -> None:
    spill, index = (
        change_number(runner, "shard", prefix) for prefix in ("write shards/.spill", "replace shards/.index")
    )
    assert_dies(runner, "shard", Death("change", "self", number=spill, moment="within"), Death("change", number=index))


def test_extract_stopped_by_sigint_and_sigterm_prints_how_to_continue_leaves_no_process_and_continues(
    runner: CaseRunner,
) -> None:
    mkdir = change_number(runner, "extract", "mkdir dataset/pairs")
    write = change_number(runner, "extract", "write dataset/records")
    interrupt = Death("change", "group", "SIGINT", number=mkdir, moment="after")
    assert_dies(runner, "extract", interrupt, Death("change", "group", "SIGTERM", number=write, moment="within"))


@pytest.mark.slow
def test_fit_stopped_and_then_killed_makes_equal_tensors_when_run_again(runner: CaseRunner) -> None:
    snapshot = change_number(runner, "fit", "write run/snapshots", 0.5)
    stop = Death("change", "group", "SIGTERM", number=change_number(runner, "fit", "replace run/samples"))
    assert_dies(runner, "fit", stop, Death("change", number=snapshot, moment="within"))


def test_difference_names_missing_left_over_and_differing_files() -> None:
    contents: dict[str, bytes | None] = {"a": b"1", "folder": None, ".torn": b""}
    assert difference(contents, dict(contents)) == ""
    assert difference(contents, {"a": b"2", "folder": None, "b": b""}) == "missing: b; left over: .torn; differing: a"


CHANGES = ["write a", "write a", "rename b", "fsync a", "write a", "fsync a"]


def every_draw() -> str:
    """Deaths of fifty cases of each command, as text."""
    return repr({name: [draw_deaths(name, number, 10, CHANGES) for number in range(50)] for name in COMMANDS})


def test_another_process_with_another_hash_seed_draws_the_same_deaths() -> None:
    """A tally is continued by later processes, whose sets have another order and whose `random` another state."""
    script = "from tests.faults import test_kill; print(test_kill.every_draw())"
    draws = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert draws == {every_draw()}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_two_hundred_cases_reach_every_change_and_the_turn_begins_with_one_of_each_kind(name: str) -> None:
    cases = [draw_deaths(name, number, 10, CHANGES) for number in range(200)]
    assert {death.number for deaths in cases for death in deaths if death.way == "change"} == {1, 2, 3, 4, 5, 6}
    assert {CHANGES[number] for number in in_turn(name, CHANGES)[:3]} == set(CHANGES)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_twelve_cases_aim_a_sigkill_at_every_kind_of_change_and_give_up_on_one_that_never_occurs(
    name: str, tmp_path: Path
) -> None:
    changes, tally = [f"write {number // 2}" for number in range(60)], Tally(tmp_path / "tally.json")
    while tally.is_open(name):
        number, unseen = len(tally.cases(name)), tally.unseen(name, changes)
        deaths = [asdict(death) for death in draw_deaths(name, number, 10, changes, unseen)]
        for death in deaths:
            death |= {"what": death["kind"], "died": death["kind"] not in ("", "write 7")}
        assert {death["signal"] for death in deaths if death["kind"]} <= {"SIGKILL"}
        tally.add(name, 10, changes, deaths, "")
    assert tally.killed_at(name) == {*changes} - {"write 7"}
    assert len(tally.cases(name)) <= 12
