"""Datasets and shards in a bucket of a real S3 server on this host, which stages are given by their addresses."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from curate import storage
from curate.audit.verify import verify
from curate.cli import main
from curate.dataset import ledger, parquet, remove, tag_table
from curate.deduplication import dedupe, lookalike_search
from curate.deduplication.split import SplitShares
from curate.extraction import extract
from curate.shards import shard
from curate.sources.scan import Source
from curate.stores import transfer, working_copy
from curate.stores.working_copy import WorkingCopies
from curate.system.errors import NurieError
from tests.hosts import connected, dying, end, hosts

Tree = Callable[[Path], dict[str, bytes]]
Run = Callable[..., Any]
DATASET, SHARDS = "s3://bucket/made/dataset", "s3://bucket/made/shards"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: object) -> Path:
    """Where this host has its copies."""
    monkeypatch.setenv(working_copy.WORK_FOLDER_VARIABLE, str(tmp_path / "work"))
    return tmp_path / "work"


@pytest.fixture
def few(art: Path, tmp_path: Path) -> Path:
    """Eight of the pictures, in a folder that may grow."""
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(art.glob("*.png"))[:8]:
        grow(folder, path)
    return folder


def grow(folder: Path, picture: Path) -> None:
    shutil.copy(picture, folder)
    shutil.copy(f"{picture}.json", folder)


def lying(address: str) -> dict[str, bytes]:
    """What the store holds there."""
    place = cast("Any", storage.parse_address(address))
    return {
        str(name).partition(place.path)[2].lstrip("/"): place.fs.cat_file(name) for name in place.fs.find(place.path)
    }


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As another host would."""
    monkeypatch.setenv(working_copy.WORK_FOLDER_VARIABLE, str(tmp_path / "other"))
    return tmp_path / "other"


def seen(folder: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in folder.items() if name != ".lock"}


def interrupted(*_given: object, **_options: object) -> str:
    raise KeyboardInterrupt


def stopped(*command: object) -> None:
    result = CliRunner().invoke(main, [*map(str, command), *(["--workers", "1"] if command[0] != "tags" else [])])
    assert (result.exit_code, result.output.splitlines()[-1]) == (1, "Aborted!")


def test_stages_leave_in_a_store_the_bytes_of_a_folder(
    few: Path, work: Path, tmp_path: Path, run: Run, tree: Tree
) -> None:
    for dataset, folder in ((DATASET, SHARDS), (tmp_path / "dataset", tmp_path / "shards")):
        told = run("extract", few, dataset, "--workers", 1)
        assert told["in"] == 8
        run("dedupe", dataset, "--split", "0.5,0.25,0.25", "--workers", 1)
        run("shard", dataset, folder, "--min-count", 1, "--workers", 1)
        assert run("verify", folder)["faults"] == []
    assert lying(DATASET) == seen(tree(tmp_path / "dataset"))
    assert lying(SHARDS) == seen(tree(tmp_path / "shards"))


def hiding(folder: Path) -> list[str]:
    """What runs a command that sees an empty folder in the place of one, as on another host; that takes root."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return []
    return ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$1" && shift && exec "$@"', "sh", str(folder)]


@pytest.mark.parametrize("form", ["tfrecord", pytest.param("webdataset", marks=pytest.mark.slow)])
def test_workers_that_share_no_folder_leave_in_a_store_the_bytes_of_one(
    few: Path, work: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(lookalike_search, "CANDIDATES_PER_TASK", 4)  # so that workers look at some
    art, split, how = storage.parse_address("s3://bucket/art"), ("--split", "0.5,0.25,0.25"), ("--format", form)
    for path in few.iterdir():
        storage.write_bytes(art / path.name, path.read_bytes())
    work.mkdir()
    with ExitStack() as stack:
        one = stack.enter_context(hosts(tmp_path / "hosts", 0))
        for _ in range(2):
            one.start_worker(inside=hiding(work))
        for stage in (("extract", art, DATASET), ("dedupe", DATASET, *split), ("shard", DATASET, SHARDS, *how)):
            run(*stage, "--scheduler", one.address)
    run("extract", art, tmp_path / "dataset", "--workers", 1)
    run("dedupe", tmp_path / "dataset", *split, "--workers", 1)
    run("shard", tmp_path / "dataset", tmp_path / "shards", *how, "--workers", 1)
    assert lying(DATASET) == seen(tree(tmp_path / "dataset"))
    assert lying(SHARDS) == seen(tree(tmp_path / "shards"))


def test_workers_killed_midway_cost_a_store_no_byte(
    few: Path, work: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookalike_search, "CANDIDATES_PER_TASK", 4)
    sources, options, shares = (
        [Source("few", few)],
        extract.ExtractOptions(),
        dedupe.DedupeOptions(shares=SplitShares(0.5, 0.25, 0.25)),
    )
    packed = shard.ShardOptions(shard_size=2, min_count=1)
    extract.extract(sources, tmp_path / "dataset", options, part_size=2)
    dedupe.dedupe(tmp_path / "dataset", shares)
    shard.shard(tmp_path / "dataset", tmp_path / "shards", packed)
    here = WorkingCopies()
    dataset, folder = here.folder_for(DATASET), here.folder_for(SHARDS)
    with hosts(tmp_path / "hosts", 4) as one, connected(one, 4, min_pictures_per_future=4) as found:
        with dying(one.workers[0]):
            extract.extract(sources, dataset, options, part_size=2, workers=found)
        here.send_back()
        with dying(one.workers[2]):
            dedupe.dedupe(dataset, shares, workers=found)
        with dying(one.workers[1]):
            shard.shard(dataset, folder, packed, workers=found)
        here.send_back()
    assert lying(DATASET) == seen(tree(tmp_path / "dataset"))
    assert lying(SHARDS) == seen(tree(tmp_path / "shards"))


def test_pictures_in_folders_are_not_left_in_a_store_by_a_cluster(
    few: Path, work: Path, tmp_path: Path, run: Run
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    run("dedupe", DATASET, "--workers", 1)
    with hosts(tmp_path / "hosts", 1) as one:
        command = ["shard", DATASET, SHARDS, "--format", "imagefolder", "--scheduler", one.address]
        result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "imagefolder is made of renamed folders, and a store has none: leave --scheduler out" in result.output
    assert not lying("s3://bucket/made/shards")


def test_another_host_goes_on_with_what_the_store_holds(
    few: Path, art: Path, work: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    run("extract", few, tmp_path / "local", "--workers", 1)
    grow(few, max(art.glob("*.png")))
    elsewhere(monkeypatch, tmp_path)
    assert run("extract", few, DATASET, "--workers", 1)["new"] == 1
    run("extract", few, tmp_path / "local", "--workers", 1)
    assert lying(DATASET) == seen(tree(tmp_path / "local"))
    monkeypatch.setenv(working_copy.WORK_FOLDER_VARIABLE, str(work))
    assert run("tags", DATASET)["pictures"] == 9


def test_a_command_that_fails_or_is_stopped_sends_nothing_and_is_gone_on_with(
    few: Path, work: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    before = lying(DATASET)
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "write_ledger", interrupted)
        stopped("dedupe", DATASET)
    assert lying(DATASET) == before
    run("dedupe", DATASET, "--workers", 1)
    assert {name.partition("/")[0] for name in lying(DATASET)} > {name.partition("/")[0] for name in before}


@pytest.mark.parametrize("after", [0, 3])
def test_what_was_on_its_way_when_killed_arrives_with_the_next_command(
    few: Path, work: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    put, sent = transfer._upload, list[str]()

    def short(*given: Any) -> str:
        if len(sent) == after:
            raise KeyboardInterrupt
        sent.append(given[-2])
        return put(*given)

    with monkeypatch.context() as patched:
        patched.setattr(transfer, "TRANSFER_THREADS", 1)
        patched.setattr(transfer, "_upload", short)
        stopped("extract", few, DATASET)
    assert ledger.LEDGER_FILE not in lying(DATASET)
    with monkeypatch.context() as patched:
        elsewhere(patched, tmp_path)
        with pytest.raises(NurieError, match="broken off, or is under way: wait for what sends it, or run that again"):
            WorkingCopies().folder_for(DATASET)
    assert run("extract", few, DATASET, "--workers", 1)["new"] == 0
    transfer.copy_folder(storage.parse_address(DATASET), tmp_path / "back")
    assert verify(tmp_path / "back") == []


def test_what_was_brought_in_part_when_killed_is_brought_whole_by_the_next_command(
    few: Path, work: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    there = elsewhere(monkeypatch, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(transfer, "_download", interrupted)
        stopped("tags", DATASET)
    assert not list(there.rglob(ledger.LEDGER_FILE))
    assert seen(tree(WorkingCopies().folder_for(DATASET))) == lying(DATASET)


def test_changes_on_two_hosts_are_told_and_none_is_overwritten(
    few: Path, art: Path, work: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    here, one = WorkingCopies(), sorted(art.glob("*.png"))[8:10]
    folder = here.folder_for(DATASET)
    grow(few, one[0])
    extract.extract([Source("few", few)], folder, extract.ExtractOptions())
    mine = tree(folder)
    with monkeypatch.context() as patched:
        elsewhere(patched, tmp_path)
        grow(few, one[1])
        run("extract", few, DATASET, "--workers", 1)
    theirs = lying(DATASET)
    for attempt in (here.send_back, lambda: WorkingCopies().folder_for(DATASET)):
        with pytest.raises(NurieError, match=r"has changed since .* was the same, which has changed, too"):
            attempt()
    assert (tree(folder), lying(DATASET)) == (mine, theirs)
    shutil.rmtree(folder)
    assert seen(tree(WorkingCopies().folder_for(DATASET))) == theirs


def test_a_store_that_was_emptied_deletes_nothing_here_and_is_begun_anew_once_that_is_gone(
    few: Path, work: Path, run: Run, tree: Tree
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    folder, place = WorkingCopies().folder_for(DATASET), cast("Any", storage.parse_address(DATASET))
    before = tree(folder)
    place.fs.rm(place.path, recursive=True)
    with pytest.raises(NurieError, match=r"is empty, and .* is what it held: `curate copy` that back, or delete"):
        WorkingCopies().folder_for(DATASET)
    assert tree(folder) == before
    shutil.rmtree(folder.parent)
    assert run("extract", few, DATASET, "--lines", "dilate", "--workers", 1)["new"] == 8  # no old options left


@pytest.mark.parametrize(
    ("module", "name", "command"),
    [
        (ledger, "clear_torn", ("extract", "--fresh")),
        (tag_table, "write", ("remove", "1F34E.png")),
        (parquet, "replace_manifest", ("dedupe", "--seed", "1")),
        (parquet, "replace_manifest", ("extract",)),
    ],
)
def test_what_a_killed_command_left_is_sent_by_none_but_one_that_finishes_it(
    module: Any, name: str, command: tuple[str, ...], few: Path, art: Path, work: Path, run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run("extract", few, DATASET, "--workers", 1)
    run("dedupe", DATASET, "--workers", 1)
    before = lying(DATASET)
    grow(few, max(art.glob("*.png")))
    what, *rest = command
    given = [what, *([few] if what == "extract" else []), DATASET, *rest]
    with monkeypatch.context() as patched:
        patched.setattr(module, name, interrupted)
        result = CliRunner().invoke(main, [*map(str, given), *([] if what == "remove" else ["--workers", "1"])])
    assert result.exit_code == 1
    CliRunner().invoke(main, ["tags", DATASET])
    assert lying(DATASET) == before
    run(*given, *([] if what == "remove" else ["--workers", 1]))
    assert lying(DATASET) != before
    assert run("verify", DATASET)["faults"] == []


def test_what_another_host_is_sending_is_waited_for(
    few: Path, work: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    run("dedupe", DATASET, "--workers", 1)
    with monkeypatch.context() as patched:
        elsewhere(patched, tmp_path)
        run("tags", DATASET)
    with monkeypatch.context() as patched:
        patched.setattr(transfer, "_upload", interrupted)
        stopped("dedupe", DATASET, "--seed", "1")
    broken = lying(DATASET)
    elsewhere(monkeypatch, tmp_path)
    result = CliRunner().invoke(main, ["tags", DATASET])
    assert "is a copy that was broken off, or is under way: wait for what sends it" in result.output
    assert lying(DATASET) == broken


def test_damage_to_a_copy_is_told_with_what_brings_it_anew(
    few: Path, work: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    run("dedupe", DATASET, "--workers", 1)
    folder = WorkingCopies().folder_for(DATASET)
    path = parquet.part_path(folder / "pairs", 0)
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(SystemExit, match="1"):
        main(["shard", DATASET, SHARDS, "--workers", "1"])
    assert f"or delete {folder}, and it is brought anew from {DATASET}" in capsys.readouterr().err
    shutil.rmtree(folder)
    assert run("verify", DATASET)["faults"] == []


@pytest.mark.parametrize("command", [("dedupe",), ("tags",), ("shard",), ("verify",)])
def test_where_nothing_lies_it_is_the_address_that_is_told(command: tuple[str], work: Path) -> None:
    result = CliRunner().invoke(main, [*command, DATASET, *([SHARDS] if command == ("shard",) else [])])
    assert result.exit_code == 1
    assert f"Error: {DATASET} is n" in result.output


def test_what_a_copy_holds_is_told_of_the_copy(work: Path) -> None:
    folder = WorkingCopies().folder_for(SHARDS)
    (folder / "begun").mkdir(parents=True)
    result = CliRunner().invoke(main, ["verify", SHARDS])
    assert f"Error: {folder} is neither" in result.output


def test_a_dry_run_sends_nothing(few: Path, work: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("extract", few, DATASET, "--workers", 1)
    before = lying(DATASET)
    with monkeypatch.context() as patched:
        patched.setattr(working_copy, "_send_to_store", interrupted)
        stopped("dedupe", DATASET)
    assert run("dedupe", DATASET, "--dry-run")["due"] is None
    assert lying(DATASET) == before
    run("dedupe", DATASET, "--workers", 1)
    assert lying(DATASET) != before


def test_a_dataset_among_the_pictures_of_a_store_is_refused(
    few: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in few.iterdir():
        storage.write_bytes(storage.parse_address("s3://bucket/art") / path.name, path.read_bytes())
    with pytest.raises(SystemExit, match="1"):
        main(["extract", "s3://bucket/art/", "s3://bucket/art/dataset"])
    assert "s3://bucket/art/dataset lies inside the source" in capsys.readouterr().err


def test_pairs_that_changed_since_they_were_sent_are_compared_as_they_are_here(
    few: Path, work: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookalike_search, "CANDIDATES_PER_TASK", 4)
    for dataset in (DATASET, tmp_path / "dataset"):
        run("extract", few, dataset, "--workers", 1)
    here = WorkingCopies().folder_for(DATASET)
    with hosts(tmp_path / "hosts", 1) as one, connected(one, 1) as found:
        for dataset, workers in ((here, found), (tmp_path / "dataset", 1)):
            remove.remove(dataset, [min(few.glob("*.png")).name])
            dedupe.dedupe(dataset, dedupe.DedupeOptions(), workers=workers)
    assert seen(tree(here)) == seen(tree(tmp_path / "dataset"))


def test_a_place_of_other_files_is_left_alone(few: Path, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = cast("Any", storage.parse_address("s3://bucket/notes"))
    place.fs.pipe_file(f"{place.path}/a.txt", b"mine")
    with pytest.raises(SystemExit, match="1"):
        main(["extract", str(few), "s3://bucket/notes"])
    assert "holds other files (a.txt): give a new or empty place" in capsys.readouterr().err
    assert lying("s3://bucket/notes") == {"a.txt": b"mine"}


def test_a_store_that_does_not_answer_is_told_in_a_line(
    work: Path, store: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    end(store)
    with pytest.raises(SystemExit, match="1"):
        main(["tags", DATASET])
    told = capsys.readouterr().err
    assert "check that its store answers" in told
    assert "Traceback" not in told


def test_a_recipe_is_followed_to_a_store_and_is_up_to_date_there(
    few: Path, work: Path, tmp_path: Path, run: Run, tree: Tree
) -> None:
    text = """
[extract]
sources = ["{0}"]
dataset = "{1}"

[dedupe]
split = "0.5,0.25,0.25"

[shard]
shards = "{2}"
min-count = 1

[expect]
in = 8
"""
    local = (str(tmp_path / "dataset"), str(tmp_path / "shards"))
    for name, there in (("store", (DATASET, SHARDS)), ("local", local)):
        recipe = tmp_path / f"{name}.toml"
        recipe.write_text(text.format(few, *there))
        told = run("run", recipe, "--workers", 1)
        assert (told["dataset"], told["shards"], told["expected"]) == (*there, "these")
        again = run("run", recipe, "--workers", 1)
        assert {one["state"] for one in again["stages"]} == {"up to date"}
    assert lying(DATASET) == seen(tree(tmp_path / "dataset"))
    assert lying(SHARDS) == seen(tree(tmp_path / "shards"))
