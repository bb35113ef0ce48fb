"""Datasets and shards in a bucket of a real S3 server on this host, which stages are given by their addresses."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from curate import away, copy, extract, ledger, places
from curate.away import Away
from curate.cli import main
from curate.errors import NurieError
from curate.scan import Source
from curate.verify import verify
from tests.hosts import end, hosts

Tree = Callable[[Path], dict[str, bytes]]
Run = Callable[..., Any]
DATASET, SHARDS = "s3://bucket/made/dataset", "s3://bucket/made/shards"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: object) -> Path:
    """Where this host has its copies."""
    monkeypatch.setenv(away.WORK, str(tmp_path / "work"))
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
    place = cast("Any", places.parse(address))
    return {
        str(name).partition(place.path)[2].lstrip("/"): place.fs.cat_file(name) for name in place.fs.find(place.path)
    }


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As another host would."""
    monkeypatch.setenv(away.WORK, str(tmp_path / "other"))
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


def test_a_cluster_works_on_a_place_in_a_store_where_all_its_hosts_see_the_copies(
    few: Path, work: Path, tmp_path: Path, run: Run, tree: Tree
) -> None:
    with hosts(tmp_path / "hosts", 2) as one:
        for stage in (("extract", few, DATASET), ("dedupe", DATASET), ("shard", DATASET, SHARDS, "--min-count", 1)):
            run(*stage, "--scheduler", one.address)
    run("extract", few, tmp_path / "dataset", "--workers", 1)
    run("dedupe", tmp_path / "dataset", "--workers", 1)
    run("shard", tmp_path / "dataset", tmp_path / "shards", "--min-count", 1, "--workers", 1)
    assert lying(DATASET) == seen(tree(tmp_path / "dataset"))
    assert lying(SHARDS) == seen(tree(tmp_path / "shards"))


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
    monkeypatch.setenv(away.WORK, str(work))
    assert run("tags", DATASET)["pictures"] == 9


def test_a_command_that_fails_or_is_stopped_sends_nothing_and_is_gone_on_with(
    few: Path, work: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    before = lying(DATASET)
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "write_state", interrupted)
        stopped("dedupe", DATASET)
    assert lying(DATASET) == before
    run("dedupe", DATASET, "--workers", 1)
    assert {name.partition("/")[0] for name in lying(DATASET)} > {name.partition("/")[0] for name in before}


@pytest.mark.parametrize("after", [0, 3])
def test_what_was_on_its_way_when_killed_arrives_with_the_next_command(
    few: Path, work: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    put, sent = copy._put, list[str]()

    def short(*given: Any) -> str:
        if len(sent) == after:
            raise KeyboardInterrupt
        sent.append(given[-2])
        return put(*given)

    with monkeypatch.context() as patched:
        patched.setattr(copy, "THREADS", 1)
        patched.setattr(copy, "_put", short)
        stopped("extract", few, DATASET)
    assert ledger.STATE not in lying(DATASET)
    with monkeypatch.context() as patched:
        elsewhere(patched, tmp_path)
        with pytest.raises(NurieError, match="broken off: run what sent it again, where it ran"):
            Away().folder(DATASET)
    assert run("extract", few, DATASET, "--workers", 1)["new"] == 0
    copy.copy(places.parse(DATASET), tmp_path / "back")
    assert verify(tmp_path / "back") == []


def test_what_was_brought_in_part_when_killed_is_brought_whole_by_the_next_command(
    few: Path, work: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    there = elsewhere(monkeypatch, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(copy, "_fetch", interrupted)
        stopped("tags", DATASET)
    assert not list(there.rglob(ledger.STATE))
    assert seen(tree(Away().folder(DATASET))) == lying(DATASET)


def test_changes_on_two_hosts_are_told_and_none_is_overwritten(
    few: Path, art: Path, work: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    here, one = Away(), sorted(art.glob("*.png"))[8:10]
    folder = here.folder(DATASET)
    grow(few, one[0])
    extract.extract([Source("few", few)], folder, extract.Options())
    mine = tree(folder)
    with monkeypatch.context() as patched:
        elsewhere(patched, tmp_path)
        grow(few, one[1])
        run("extract", few, DATASET, "--workers", 1)
    theirs = lying(DATASET)
    for attempt in (here.send, lambda: Away().folder(DATASET)):
        with pytest.raises(NurieError, match=r"has changed since .* was the same, which has changed, too"):
            attempt()
    assert (tree(folder), lying(DATASET)) == (mine, theirs)
    shutil.rmtree(folder)
    assert seen(tree(Away().folder(DATASET))) == theirs


def test_a_store_that_was_emptied_is_begun_anew(few: Path, work: Path, run: Run) -> None:
    run("extract", few, DATASET, "--workers", 1)
    place = cast("Any", places.parse(DATASET))
    place.fs.rm(place.path, recursive=True)
    assert not Away().folder(DATASET).exists()
    assert run("extract", few, DATASET, "--lines", "dilate", "--workers", 1)["new"] == 8  # no old options left


def test_a_place_of_other_files_is_left_alone(few: Path, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = cast("Any", places.parse("s3://bucket/notes"))
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
    assert "see that its store answers" in told
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
