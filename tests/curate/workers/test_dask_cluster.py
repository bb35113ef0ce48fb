"""On a real Dask cluster of processes on this host: the same bytes as local workers, whoever is lost on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from curate.cli import main
from curate.dataset import ledger
from curate.deduplication import dedupe, lookalike_search
from curate.extraction import extract
from curate.extraction.part import PartTask, extract_part
from curate.shards import shard
from curate.sources.scan import Source, scan_sources
from curate.system.errors import DatasetError, MissingExtraError, NurieError, SourceError
from curate.system.files import ATTEMPT_ID
from curate.terminal import QUIET
from curate.workers import dask_cluster, executor
from curate.workers.dask_cluster import DaskCluster, connect_cluster
from tests.hosts import Hosts, connected, dying, end, hosts

Tree = Callable[[Path], dict[str, bytes]]
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """Two workers, a bundle of two tasks of one picture each. Not to be harmed."""
    with hosts(tmp_path_factory.mktemp("hosts"), 2) as one, connected(one, 2, min_pictures_per_future=2) as found:
        yield found


def square(number: int) -> int:
    return number * number


def fall(number: int) -> int:
    if number == 5:
        raise TimeoutError(f"task {number}")  # what waiting for a result raises, too
    return number


def lack(_number: int) -> int:
    raise MissingExtraError("this", "that")


def die(_number: int) -> int:
    os._exit(9)


def test_results_come_in_the_order_of_the_tasks(pair: DaskCluster) -> None:
    assert list(executor.run(square, iter(range(21)), pair, pictures_per_task=1)) == [n * n for n in range(21)]


def test_an_error_in_a_task_is_raised_here_after_the_results_of_the_bundles_before_it(pair: DaskCluster) -> None:
    results = executor.run(fall, range(10), pair, pictures_per_task=1)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(TimeoutError, match="task 5"):
        next(results)
    with pytest.raises(MissingExtraError, match=r"nurie\[that\]"):
        list(executor.run(lack, [1], pair))


def attempt(_number: int) -> str:
    return ATTEMPT_ID.get()


def test_every_bundle_has_its_own_attempt_id(pair: DaskCluster) -> None:
    assert len(set(executor.run(attempt, range(8), pair, pictures_per_task=1)) - {""}) == 4


def test_tasks_are_taken_only_when_needed(pair: DaskCluster) -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = executor.run(square, tasks(), pair, pictures_per_task=1)
    next(results)
    assert len(taken) <= 2 * dask_cluster.FUTURES_PER_THREAD * 2
    assert len(set(pair.client.run(os.getpid).values())) == 2


def test_all_stages_make_the_bytes_of_local_workers_with_one_and_with_three(
    art: Path, dataset: Path, shard_folder: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookalike_search, "CANDIDATES_PER_TASK", 4)
    options = shard.ShardOptions(shard_size=4, min_count=1)
    extract.extract([Source("art", art)], tmp_path / "local", extract.ExtractOptions(), part_size=4)
    dedupe.dedupe(tmp_path / "local", dedupe.DedupeOptions())
    with hosts(tmp_path / "hosts", 1) as one:
        for workers in (1, 3):
            with connected(one, workers, min_pictures_per_future=8) as found:
                made, packed = tmp_path / f"dataset-{workers}", tmp_path / f"shards-{workers}"
                extract.extract([Source("art", art)], made, extract.ExtractOptions(), part_size=4, workers=found)
                dedupe.dedupe(made, dedupe.DedupeOptions(), workers=found)
                shard.shard(dataset, packed, options, workers=found)
            assert tree(made) == tree(tmp_path / "local")
            assert tree(packed) == tree(shard_folder)
            for _ in range(2):
                one.start_worker()


def test_a_command_on_a_cluster_takes_relative_paths_and_refuses_workers(
    art: Path, pair: DaskCluster, tmp_path: Path, tree: Tree, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(art.parent)  # the workers are elsewhere
    home = Path(os.path.relpath(tmp_path))
    run("extract", art.name, home / "there", "--lines", "dilate", "--scheduler", pair.address)
    run("extract", art.name, home / "here", "--lines", "dilate", "--workers", 1)
    assert tree(tmp_path / "there") == tree(tmp_path / "here")
    with pytest.raises(SystemExit, match="2"):
        main(["extract", "art", str(home / "there"), "--scheduler", pair.address, "--workers", "1"])


def test_a_recipe_on_a_cluster_makes_the_bytes_of_local_workers(
    pair: DaskCluster, art: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "[extract]\nsources = ['art=a']\ndataset = 'd'\nlimit = 9\n[dedupe]\n[shard]\nshards = 's'\nmin-count = 1\n"
    for home in (tmp_path / "there", tmp_path / "here"):
        home.mkdir()
        (home / "a").symlink_to(art)
        (home / "x.toml").write_text(text)
        monkeypatch.chdir(home)  # workers are elsewhere
        how = ["--scheduler", pair.address] if home.name == "there" else ["--workers", 1]
        assert [one["state"] for one in run("run", "x.toml", *how)["stages"]] == ["done"] * 3
    assert tree(tmp_path / "there") == tree(tmp_path / "here")


def test_a_worker_killed_midway_changes_no_byte(
    art: Path, dataset: Path, shard_folder: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookalike_search, "CANDIDATES_PER_TASK", 4)
    extract.extract([Source("art", art)], tmp_path / "local", extract.ExtractOptions(), part_size=2)
    dedupe.dedupe(tmp_path / "local", dedupe.DedupeOptions())
    with hosts(tmp_path / "hosts", 4) as one, connected(one, 4, min_pictures_per_future=4) as found:
        with dying(one.workers[0]):
            extract.extract(
                [Source("art", art)], tmp_path / "dataset", extract.ExtractOptions(), part_size=2, workers=found
            )
        with dying(one.workers[2]):
            dedupe.dedupe(tmp_path / "dataset", dedupe.DedupeOptions(), workers=found)
        with dying(one.workers[1]):
            options = shard.ShardOptions(shard_size=4, min_count=1)
            shard.shard(dataset, tmp_path / "shards", options, workers=found)
        assert found.client.scheduler_info()["n_workers"] == 1
    assert tree(tmp_path / "dataset") == tree(tmp_path / "local")
    assert tree(tmp_path / "shards") == tree(shard_folder)


def wait_or_take_time(task: tuple[int, Path]) -> int:
    """The first waits for its folder; the others take no time before there is a folder beside, and a second after."""
    number, folder = task
    while number == 0 and not folder.exists():
        time.sleep(0.02)
    if number and folder.with_name("late").exists():
        time.sleep(1)
    return number


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_results_lost_with_their_worker_are_computed_again(how: signal.Signals, tmp_path: Path) -> None:
    with hosts(tmp_path / "hosts", 2) as one, connected(one, 2, min_pictures_per_future=1) as found:

        def lose() -> None:
            while not (holds := [worker for worker, keys in found.client.has_what().items() if len(keys) == 3]):
                time.sleep(0.02)
            (tmp_path / "late").mkdir()
            os.kill(found.client.run(os.getpid)[holds[0]], how)
            while found.client.scheduler_info()["n_workers"] > 1:
                time.sleep(0.02)
            (tmp_path / "first").mkdir()

        (losing := Thread(target=lose)).start()
        results = list(found.run(wait_or_take_time, [(number, tmp_path / "first") for number in range(4)], 1))
        losing.join()
    assert results == [0, 1, 2, 3]


@dataclass
class Losing:
    """Loses the scheduler after the first result; an engine.Remote."""

    cluster: DaskCluster
    scheduler: subprocess.Popen[bytes]

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        pictures: int,
        again: executor.MakeRetryTasks[Any] | None = None,  # noqa: ARG002  # the protocol's
    ) -> Iterator[Any]:
        for result in self.cluster.run(function, tasks, pictures):
            yield result
            end(self.scheduler)


def test_a_lost_scheduler_is_one_line_and_the_next_run_continues(
    art: Path, tmp_path: Path, tree: Tree, capfd: pytest.CaptureFixture[str]
) -> None:
    QUIET.set(False)  # a test before this one may have been told not to talk
    total = extract.extract([Source("art", art)], tmp_path / "local", extract.ExtractOptions(), part_size=1)["in"]
    again: dict[str, Any] = {
        "sources": [Source("art", art)],
        "dataset": tmp_path / "dataset",
        "options": extract.ExtractOptions(),
    }
    with hosts(tmp_path / "hosts", 1) as one, connected(one, 1, min_pictures_per_future=1) as found:
        with pytest.raises(NurieError, match=f"{one.address} was lost: start it .* which goes on"):
            extract.extract(**again, part_size=1, workers=Losing(found, one.scheduler))
        assert capfd.readouterr().err == "cluster: workers 1, threads 1\n"
    kept = len(list((tmp_path / "dataset" / "records").glob("part-*")))
    with hosts(tmp_path / "others", 1) as one, connected(one, 1, min_pictures_per_future=1) as found:
        assert 0 < extract.extract(**again, part_size=1, workers=found)["new"] == total - kept < total
    assert tree(tmp_path / "dataset") == tree(tmp_path / "local")


def test_a_scheduler_lost_during_a_request_is_the_same_line(tmp_path: Path) -> None:
    def ask(one: Hosts) -> None:
        with connected(one, 1) as found:
            end(one.scheduler)
            while found.count_threads():  # known from before, until the client has heard
                time.sleep(0.05)
            found.client.close(timeout=5)
            list(executor.run(square, [1], found))

    with hosts(tmp_path / "hosts", 1) as one, pytest.raises(NurieError, match=r"was lost: start it .* which goes on"):
        ask(one)


def test_tasks_that_kill_all_workers_and_a_cluster_without_workers_are_one_line(tmp_path: Path) -> None:
    with hosts(tmp_path / "hosts", 1) as one, connected(one, 1) as found:
        found.worker_wait_s = 1
        with pytest.raises(NurieError, match="no worker for 1 s: start some with `dask worker tcp://"):
            list(executor.run(die, [0], found))
        with pytest.raises(NurieError, match="no worker for 1 s"), connect_cluster(one.address, worker_wait_s=1):
            pass
        for _ in range(4):
            one.start_worker()
        found.worker_wait_s = 60
        with pytest.raises(NurieError, match=r"one worker after another.*--memory-limit"):
            list(executor.run(die, [0], found))


def die_at_first(number: int) -> int:
    return abs(number) if number < 0 else die(number)


def harmless(numbers: Sequence[int]) -> list[int]:
    return [-number for number in numbers]


@pytest.mark.slow
def test_tasks_that_kill_workers_are_retried_once_in_another_form(tmp_path: Path) -> None:
    with hosts(tmp_path / "hosts", 5) as one, connected(one, 5) as found:
        assert list(executor.run(die_at_first, [3], found, make_retry_tasks=harmless)) == [3]
        assert found.client.scheduler_info()["n_workers"] == 1


def test_a_missing_cluster_is_one_line() -> None:
    with pytest.raises(NurieError, match=r"no Dask scheduler answers at tcp://127.0.0.1:1 .* `dask scheduler`"):
        connect_cluster("tcp://127.0.0.1:1", worker_wait_s=1).__enter__()
    with pytest.raises(NurieError, match="'one:8786' is not the address of a Dask scheduler: give tcp://HOST:PORT"):
        connect_cluster("one:8786").__enter__()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'nurie\[cluster\]'"):
        connect_cluster("tcp://127.0.0.1:1").__enter__()


def test_a_worker_with_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text("import curate.workers.dask_cluster\ncurate.workers.dask_cluster.__version__ = '0.0.1'\n")
    with hosts(tmp_path / "hosts", 0) as one:
        one.start_worker("--preload", str(other))
        with (
            connected(one, 1) as found,
            pytest.raises(NurieError, match=r"has nurie 0.0.1, this host .*: install the same versions on every host"),
        ):
            list(executor.run(square, [1], found))


def test_a_host_that_does_not_see_the_folders_is_named_and_makes_no_records(art: Path, tmp_path: Path) -> None:
    files = tuple(scan_sources([Source("art", art)]))
    task = PartTask(0, files, tmp_path, extract.ExtractOptions(), (None,) * len(files))
    with pytest.raises(DatasetError, match=r"there is no dataset at .* on the host .*: mount its folder"):
        extract_part(task)
    (tmp_path / ledger.LEDGER_FILE).touch()
    elsewhere = tuple(replace(file, real_path=tmp_path / "art" / file.path) for file in files)
    with pytest.raises(SourceError, match=r"are not there on the host .*: mount the pictures"):
        extract_part(replace(task, files=elsewhere))
    assert sorted(tmp_path.iterdir()) == [tmp_path / ledger.LEDGER_FILE]


class Doubling:
    """Makes every part four times, before and after it is committed; an engine.Remote."""

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        pictures: int,  # noqa: ARG002  # the protocol's
        again: executor.MakeRetryTasks[Any] | None = None,  # noqa: ARG002  # the protocol's
    ) -> Iterator[Any]:
        for task in tasks:
            function(task)
            made = function(task)
            function(task)
            yield made
            function(task)


def test_late_attempts_change_no_byte_and_leave_no_files(art: Path, tmp_path: Path, tree: Tree) -> None:
    doubled = tmp_path / "art"
    shutil.copytree(art, doubled)
    for path in sorted(art.glob("*.png"))[:6]:  # byte copies, whose second pair only the commit can leave out
        shutil.copy(path, doubled / f"x{path.name}")
    for name, workers in (("local", 1), ("dataset", Doubling())):
        extract.extract(
            [Source("art", doubled)], tmp_path / name, extract.ExtractOptions(("dilate",)), part_size=4, workers=workers
        )
    assert tree(tmp_path / "dataset") == tree(tmp_path / "local")
