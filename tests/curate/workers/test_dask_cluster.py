"""A real Dask cluster of processes on this host gives the bytes of local workers, even if processes are lost."""

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
    """Two workers, with futures of two tasks of one picture each. Not to be stopped by a test."""
    with (
        hosts(tmp_path_factory.mktemp("hosts"), 2) as servers,
        connected(servers, 2, min_pictures_per_future=2) as cluster,
    ):
        yield cluster


def square(number: int) -> int:
    return number * number


def fail_at_five(number: int) -> int:
    if number == 5:
        raise TimeoutError(f"task {number}")  # waiting for a result raises this class too
    return number


def miss_an_extra(_number: int) -> int:
    raise MissingExtraError("this", "that")


def die(_number: int) -> int:
    os._exit(9)


def test_results_come_in_the_order_of_the_tasks(pair: DaskCluster) -> None:
    assert list(executor.run(square, iter(range(21)), pair, pictures_per_task=1)) == [n * n for n in range(21)]


def test_an_error_in_a_task_is_raised_after_the_results_of_the_futures_before_it(pair: DaskCluster) -> None:
    results = executor.run(fail_at_five, range(10), pair, pictures_per_task=1)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(TimeoutError, match="task 5"):
        next(results)
    with pytest.raises(MissingExtraError, match=r"nurie\[that\]"):
        list(executor.run(miss_an_extra, [1], pair))


def attempt_id(_number: int) -> str:
    return ATTEMPT_ID.get()


def test_every_future_has_its_own_attempt_id(pair: DaskCluster) -> None:
    assert len(set(executor.run(attempt_id, range(8), pair, pictures_per_task=1)) - {""}) == 4


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


def test_all_stages_make_the_bytes_of_local_workers_with_one_and_with_three_workers(
    art: Path, dataset: Path, shard_folder: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookalike_search, "CANDIDATES_PER_TASK", 4)
    options = shard.ShardOptions(shard_size=4, min_count=1)
    extract.extract([Source("art", art)], tmp_path / "local", extract.ExtractOptions(), part_size=4)
    dedupe.dedupe(tmp_path / "local", dedupe.DedupeOptions())
    with hosts(tmp_path / "hosts", 1) as servers:
        for workers in (1, 3):
            target, shards = tmp_path / f"dataset-{workers}", tmp_path / f"shards-{workers}"
            with connected(servers, workers, min_pictures_per_future=8) as cluster:
                extract.extract([Source("art", art)], target, extract.ExtractOptions(), part_size=4, workers=cluster)
                dedupe.dedupe(target, dedupe.DedupeOptions(), workers=cluster)
                shard.shard(dataset, shards, options, workers=cluster)
            assert tree(target) == tree(tmp_path / "local")
            assert tree(shards) == tree(shard_folder)
            for _ in range(2):
                servers.start_worker()


def test_a_command_on_a_cluster_takes_relative_paths_and_refuses_workers(
    art: Path, pair: DaskCluster, tmp_path: Path, tree: Tree, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(art.parent)  # the workers run in another folder
    home = Path(os.path.relpath(tmp_path))
    run("extract", art.name, home / "cluster", "--lines", "dilate", "--scheduler", pair.address)
    run("extract", art.name, home / "local", "--lines", "dilate", "--workers", 1)
    assert tree(tmp_path / "cluster") == tree(tmp_path / "local")
    with pytest.raises(SystemExit, match="2"):
        main(["extract", "art", str(home / "cluster"), "--scheduler", pair.address, "--workers", "1"])


def test_a_recipe_on_a_cluster_makes_the_bytes_of_local_workers(
    pair: DaskCluster, art: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "[extract]\nsources = ['art=a']\ndataset = 'd'\nlimit = 9\n[dedupe]\n[shard]\nshards = 's'\nmin-count = 1\n"
    for home in (tmp_path / "cluster", tmp_path / "local"):
        home.mkdir()
        (home / "a").symlink_to(art)
        (home / "x.toml").write_text(text)
        monkeypatch.chdir(home)  # the workers run in another folder
        workers = ["--scheduler", pair.address] if home.name == "cluster" else ["--workers", 1]
        assert [stage["state"] for stage in run("run", "x.toml", *workers)["stages"]] == ["done"] * 3
    assert tree(tmp_path / "cluster") == tree(tmp_path / "local")


def test_a_worker_killed_midway_changes_no_byte(
    art: Path, dataset: Path, shard_folder: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookalike_search, "CANDIDATES_PER_TASK", 4)
    extract.extract([Source("art", art)], tmp_path / "local", extract.ExtractOptions(), part_size=2)
    dedupe.dedupe(tmp_path / "local", dedupe.DedupeOptions())
    with hosts(tmp_path / "hosts", 4) as servers, connected(servers, 4, min_pictures_per_future=4) as cluster:
        with dying(servers.workers[0]):
            extract.extract(
                [Source("art", art)], tmp_path / "dataset", extract.ExtractOptions(), part_size=2, workers=cluster
            )
        with dying(servers.workers[2]):
            dedupe.dedupe(tmp_path / "dataset", dedupe.DedupeOptions(), workers=cluster)
        with dying(servers.workers[1]):
            options = shard.ShardOptions(shard_size=4, min_count=1)
            shard.shard(dataset, tmp_path / "shards", options, workers=cluster)
        assert cluster.client.scheduler_info()["n_workers"] == 1
    assert tree(tmp_path / "dataset") == tree(tmp_path / "local")
    assert tree(tmp_path / "shards") == tree(shard_folder)


def wait_or_take_time(task: tuple[int, Path]) -> int:
    """Task 0 waits for its folder. The others take no time until there is a folder `late` beside it, then a second."""
    number, folder = task
    while number == 0 and not folder.exists():
        time.sleep(0.02)
    if number and folder.with_name("late").exists():
        time.sleep(1)
    return number


@pytest.mark.parametrize("kill_signal", [signal.SIGKILL, signal.SIGTERM])
def test_results_lost_with_their_worker_are_computed_again(kill_signal: signal.Signals, tmp_path: Path) -> None:
    with hosts(tmp_path / "hosts", 2) as servers, connected(servers, 2, min_pictures_per_future=1) as cluster:

        def kill_the_holder() -> None:
            while not (holders := [worker for worker, keys in cluster.client.has_what().items() if len(keys) == 3]):
                time.sleep(0.02)
            (tmp_path / "late").mkdir()
            os.kill(cluster.client.run(os.getpid)[holders[0]], kill_signal)
            while cluster.client.scheduler_info()["n_workers"] > 1:
                time.sleep(0.02)
            (tmp_path / "first").mkdir()

        (killing := Thread(target=kill_the_holder)).start()
        results = list(cluster.run(wait_or_take_time, [(number, tmp_path / "first") for number in range(4)], 1))
        killing.join()
    assert results == [0, 1, 2, 3]


@dataclass
class LosingCluster:
    """A cluster that loses its scheduler after the first result."""

    cluster: DaskCluster
    scheduler: subprocess.Popen[bytes]

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        pictures_per_task: int,
        make_retry_tasks: executor.MakeRetryTasks[Any] | None = None,  # noqa: ARG002  # of the protocol
    ) -> Iterator[Any]:
        for result in self.cluster.run(function, tasks, pictures_per_task):
            yield result
            end(self.scheduler)


def test_a_lost_scheduler_is_reported_in_one_line_and_the_next_run_continues(
    art: Path, tmp_path: Path, tree: Tree, capfd: pytest.CaptureFixture[str]
) -> None:
    QUIET.set(False)  # an earlier test may have set it
    total = extract.extract([Source("art", art)], tmp_path / "local", extract.ExtractOptions(), part_size=1)["in"]
    arguments: dict[str, Any] = {
        "sources": [Source("art", art)],
        "dataset": tmp_path / "dataset",
        "options": extract.ExtractOptions(),
    }
    with hosts(tmp_path / "hosts", 1) as servers, connected(servers, 1, min_pictures_per_future=1) as cluster:
        with pytest.raises(NurieError, match=f"{servers.address} was lost: start it .* which goes on"):
            extract.extract(**arguments, part_size=1, workers=LosingCluster(cluster, servers.scheduler))
        assert capfd.readouterr().err == "cluster: workers 1, threads 1\n"
    parts = len(list((tmp_path / "dataset" / "records").glob("part-*")))
    with hosts(tmp_path / "others", 1) as servers, connected(servers, 1, min_pictures_per_future=1) as cluster:
        assert 0 < extract.extract(**arguments, part_size=1, workers=cluster)["new"] == total - parts < total
    assert tree(tmp_path / "dataset") == tree(tmp_path / "local")


def test_a_scheduler_lost_during_a_request_is_reported_in_the_same_line(tmp_path: Path) -> None:
    def send_request(servers: Hosts) -> None:
        with connected(servers, 1) as cluster:
            end(servers.scheduler)
            while cluster.count_threads():  # the old number, until the client notices the loss
                time.sleep(0.05)
            cluster.client.close(timeout=5)
            list(executor.run(square, [1], cluster))

    lost = pytest.raises(NurieError, match=r"was lost: start it .* which goes on")
    with hosts(tmp_path / "hosts", 1) as servers, lost:
        send_request(servers)


def test_tasks_that_kill_all_workers_and_a_cluster_without_workers_are_reported_in_one_line(tmp_path: Path) -> None:
    with hosts(tmp_path / "hosts", 1) as servers, connected(servers, 1) as cluster:
        cluster.worker_wait_s = 1
        with pytest.raises(NurieError, match="no worker for 1 s: start some with `dask worker tcp://"):
            list(executor.run(die, [0], cluster))
        with pytest.raises(NurieError, match="no worker for 1 s"), connect_cluster(servers.address, worker_wait_s=1):
            pass
        for _ in range(4):
            servers.start_worker()
        cluster.worker_wait_s = 60
        with pytest.raises(NurieError, match=r"one worker after another.*--memory-limit"):
            list(executor.run(die, [0], cluster))


def die_unless_negative(number: int) -> int:
    return abs(number) if number < 0 else die(number)


def negate(numbers: Sequence[int]) -> list[int]:
    return [-number for number in numbers]


@pytest.mark.slow
def test_tasks_that_kill_workers_are_retried_once_in_another_form(tmp_path: Path) -> None:
    with hosts(tmp_path / "hosts", 5) as servers, connected(servers, 5) as cluster:
        assert list(executor.run(die_unless_negative, [3], cluster, make_retry_tasks=negate)) == [3]
        assert cluster.client.scheduler_info()["n_workers"] == 1


def test_a_missing_cluster_is_reported_in_one_line() -> None:
    with pytest.raises(NurieError, match=r"no Dask scheduler answers at tcp://127.0.0.1:1 .* `dask scheduler`"):
        connect_cluster("tcp://127.0.0.1:1", worker_wait_s=1).__enter__()
    with pytest.raises(NurieError, match="'one:8786' is not the address of a Dask scheduler: give tcp://HOST:PORT"):
        connect_cluster("one:8786").__enter__()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'nurie\[cluster\]'"):
        connect_cluster("tcp://127.0.0.1:1").__enter__()


def test_a_worker_with_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    preload = tmp_path / "preload.py"
    preload.write_text("import curate.workers.dask_cluster\ncurate.workers.dask_cluster.__version__ = '0.0.1'\n")
    with hosts(tmp_path / "hosts", 0) as servers:
        servers.start_worker("--preload", str(preload))
        with (
            connected(servers, 1) as cluster,
            pytest.raises(NurieError, match=r"has nurie 0.0.1, this host .*: install the same versions on every host"),
        ):
            list(executor.run(square, [1], cluster))


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


class RepeatingCluster:
    """A cluster that makes every part four times, before and after it is committed."""

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        pictures_per_task: int,  # noqa: ARG002  # of the protocol
        make_retry_tasks: executor.MakeRetryTasks[Any] | None = None,  # noqa: ARG002  # of the protocol
    ) -> Iterator[Any]:
        for task in tasks:
            function(task)
            result = function(task)
            function(task)
            yield result
            function(task)


def test_late_attempts_change_no_byte_and_leave_no_files(art: Path, tmp_path: Path, tree: Tree) -> None:
    art_with_copies = tmp_path / "art"
    shutil.copytree(art, art_with_copies)
    for path in sorted(art.glob("*.png"))[:6]:  # byte copies: only the commit can leave their second pair out
        shutil.copy(path, art_with_copies / f"x{path.name}")
    for name, workers in (("local", 1), ("dataset", RepeatingCluster())):
        extract.extract(
            [Source("art", art_with_copies)],
            tmp_path / name,
            extract.ExtractOptions(("dilate",)),
            part_size=4,
            workers=workers,
        )
    assert tree(tmp_path / "dataset") == tree(tmp_path / "local")
