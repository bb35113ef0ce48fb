"""The kill test in short: some deaths of some commands. `make faults` tries hundreds."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.faults.killing.bench import Bench, difference
from tests.faults.killing.cases import draw, in_turn
from tests.faults.killing.commands import COMMANDS
from tests.faults.killing.deaths import Death
from tests.faults.killing.tally import Tally

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes and open files are looked up in /proc")


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("kill"), pictures=25)


def change(bench: Bench, name: str, what: str, part: float = 0.0) -> int:
    """Number of a change of the disk whose line begins so, that far through those that do."""
    found = [number for number, one in enumerate(bench.survey(name)[1], 1) if one.startswith(what)]
    return found[int(part * len(found))]


def dies(bench: Bench, name: str, *deaths: Death) -> None:
    assert bench.case(name, deaths) == ""
    assert all(death.died for death in deaths), deaths


def test_a_command_killed_as_it_changes_the_disk_makes_the_same_when_it_is_run_again(bench: Bench) -> None:
    write, commit = (
        "write dataset/pairs/..staged-#-#.parquet.tmp",
        change(bench, "extract", "rename dataset/records", 0.5),
    )
    kind = Death("change", "group", number=2, kind=write, moment="within")
    dies(bench, "extract", kind, Death("change", "self", number=commit, moment="after"))
    assert kind.what == write


def test_a_shard_folder_is_the_same_after_a_worker_and_then_all_were_killed(bench: Bench) -> None:
    spill, index = (change(bench, "shard", what) for what in ("write shards/.spill", "replace shards/.index"))
    dies(bench, "shard", Death("change", "self", number=spill, moment="within"), Death("change", number=index))


def test_a_stopped_command_says_how_to_go_on_leaves_no_process_and_goes_on(bench: Bench) -> None:
    begun, write = (change(bench, "extract", what) for what in ("mkdir dataset/pairs", "write dataset/records"))
    interrupt = Death("change", "group", "SIGINT", number=begun, moment="after")
    dies(bench, "extract", interrupt, Death("change", "group", "SIGTERM", number=write, moment="within"))


@pytest.mark.slow
def test_a_training_killed_and_stopped_makes_the_same_tensors(bench: Bench) -> None:
    snapshot = change(bench, "fit", "write run/snapshots", 0.5)
    stop = Death("change", "group", "SIGTERM", number=change(bench, "fit", "replace run/samples"))
    dies(bench, "fit", stop, Death("change", number=snapshot, moment="within"))


def test_what_is_missing_left_over_or_other_is_told() -> None:
    made: dict[str, bytes | None] = {"a": b"1", "folder": None, ".torn": b""}
    assert difference(made, dict(made)) == ""
    assert difference(made, {"a": b"2", "folder": None, "b": b""}) == "missing: b; left over: .torn; differing: a"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_deaths_are_the_same_whenever_they_are_drawn_and_reach_every_change(name: str) -> None:
    changes = ["write a", "write a", "rename b", "fsync a", "write a", "fsync a"]
    drawn = [draw(name, number, 10, changes) for number in range(200)]
    assert drawn == [draw(name, number, 10, changes) for number in range(200)]
    assert {death.number for deaths in drawn for death in deaths if death.way == "change"} == {1, 2, 3, 4, 5, 6}
    assert {changes[number] for number in in_turn(name, changes)[:3]} == set(changes)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_kind_of_change_that_a_run_makes_soon_sees_a_sigkill_and_what_no_run_makes_is_left(
    name: str, tmp_path: Path
) -> None:
    changes, tally = [f"write {number // 2}" for number in range(60)], Tally(tmp_path / "tally.json")
    while tally.open(name):
        deaths = [asdict(one) for one in draw(name, len(tally.cases(name)), 10, changes, tally.unseen(name, changes))]
        for death in deaths:
            death |= {"what": death["kind"], "died": death["kind"] not in ("", "write 7")}
        assert {death["signal"] for death in deaths if death["kind"]} <= {"SIGKILL"}
        tally.add(name, 10, changes, deaths, "")
    assert tally.killed_at(name) == {*changes} - {"write 7"}
    assert len(tally.cases(name)) <= 12
