"""Commands that work on datasets and shards in a bucket of a real S3 server on this host."""

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
from curate.dataset import clear_dataset, ledger, parquet, remove_pictures, tag_table
from curate.deduplication import dedupe, lookalike_search
from curate.deduplication.family_split import SplitShares
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
    """The folder of this host's working copies."""
    monkeypatch.setenv(working_copy.WORK_FOLDER_VARIABLE, str(tmp_path / "work"))
    return tmp_path / "work"


@pytest.fixture
def few(art: Path, tmp_path: Path) -> Path:
    """Eight of the pictures, in a folder to which a test may add more."""
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(art.glob("*.png"))[:8]:
        grow(folder, path)
    return folder


def grow(folder: Path, picture: Path) -> None:
    shutil.copy(picture, folder)
    shutil.copy(f"{picture}.json", folder)


def stored_files(address: str) -> dict[str, bytes]:
    """Contents of all files below an address, by path."""
    place = cast("Any", storage.parse_address(address))
    return {
        str(name).partition(place.path)[2].lstrip("/"): place.fs.cat_file(name) for name in place.fs.find(place.path)
    }


def switch_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Use another folder for working copies, as another host would."""
    monkeypatch.setenv(working_copy.WORK_FOLDER_VARIABLE, str(tmp_path / "other"))
    return tmp_path / "other"


def without_lock(folder: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in folder.items() if name != ".lock"}


def interrupt(*_arguments: object, **_options: object) -> str:
    raise KeyboardInterrupt


def run_stopped(*command: object) -> None:
    """Run a command that must end with "Aborted!"."""
    result = CliRunner().invoke(main, [*map(str, command), *(["--workers", "1"] if command[0] != "tags" else [])])
    assert (result.exit_code, result.output.splitlines()[-1]) == (1, "Aborted!")


def test_stages_store_the_same_bytes_as_in_a_local_folder(
    few: Path, work: Path, tmp_path: Path, run: Run, tree: Tree
) -> None:
    for dataset, folder in ((DATASET, SHARDS), (tmp_path / "dataset", tmp_path / "shards")):
        assert run("extract", few, dataset, "--workers", 1)["in"] == 8
        run("dedupe", dataset, "--split", "0.5,0.25,0.25", "--workers", 1)
        run("shard", dataset, folder, "--min-count", 1, "--workers", 1)
        assert run("verify", folder)["faults"] == []
    assert stored_files(DATASET) == without_lock(tree(tmp_path / "dataset"))
    assert stored_files(SHARDS) == without_lock(tree(tmp_path / "shards"))


def hiding(folder: Path) -> list[str]:
    """The beginning of a command that hides `folder` from a program, as on another host; empty without root."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return []
    return ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$1" && shift && exec "$@"', "sh", str(folder)]


@pytest.mark.parametrize("format_name", ["tfrecord", pytest.param("webdataset", marks=pytest.mark.slow)])
def test_workers_without_a_shared_folder_store_the_same_bytes_as_one_process(
    few: Path, work: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch, format_name: str
) -> None:
    monkeypatch.setattr(lookalike_search, "CANDIDATES_PER_TASK", 4)  # so that workers compare some
    art, split = storage.parse_address("s3://bucket/art"), ("--split", "0.5,0.25,0.25")
    shard_format = ("--format", format_name)
    for path in few.iterdir():
        storage.write_bytes(art / path.name, path.read_bytes())
    work.mkdir()
    with ExitStack() as stack:
        servers = stack.enter_context(hosts(tmp_path / "hosts", 0))
        for _ in range(2):
            servers.start_worker(inside=hiding(work))
        for stage in (
            ("extract", art, DATASET),
            ("dedupe", DATASET, *split),
            ("shard", DATASET, SHARDS, *shard_format),
        ):
            run(*stage, "--scheduler", servers.address)
    run("extract", art, tmp_path / "dataset", "--workers", 1)
    run("dedupe", tmp_path / "dataset", *split, "--workers", 1)
    run("shard", tmp_path / "dataset", tmp_path / "shards", *shard_format, "--workers", 1)
    assert stored_files(DATASET) == without_lock(tree(tmp_path / "dataset"))
    assert stored_files(SHARDS) == without_lock(tree(tmp_path / "shards"))


def test_workers_killed_midway_change_no_stored_byte(
    few: Path, work: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookalike_search, "CANDIDATES_PER_TASK", 4)
    sources, extract_options = [Source("few", few)], extract.ExtractOptions()
    dedupe_options = dedupe.DedupeOptions(shares=SplitShares(0.5, 0.25, 0.25))
    shard_options = shard.ShardOptions(shard_size=2, min_count=1)
    extract.extract(sources, tmp_path / "dataset", extract_options, part_size=2)
    dedupe.dedupe(tmp_path / "dataset", dedupe_options)
    shard.shard(tmp_path / "dataset", tmp_path / "shards", shard_options)
    copies = WorkingCopies()
    dataset, folder = copies.folder_for(DATASET), copies.folder_for(SHARDS)
    with hosts(tmp_path / "hosts", 4) as servers, connected(servers, 4, min_pictures_per_future=4) as cluster:
        with dying(servers.workers[0]):
            extract.extract(sources, dataset, extract_options, part_size=2, workers=cluster)
        copies.send_back()
        with dying(servers.workers[2]):
            dedupe.dedupe(dataset, dedupe_options, workers=cluster)
        with dying(servers.workers[1]):
            shard.shard(dataset, folder, shard_options, workers=cluster)
        copies.send_back()
    assert stored_files(DATASET) == without_lock(tree(tmp_path / "dataset"))
    assert stored_files(SHARDS) == without_lock(tree(tmp_path / "shards"))


def test_a_cluster_cannot_write_an_imagefolder_to_a_store(few: Path, work: Path, tmp_path: Path, run: Run) -> None:
    run("extract", few, DATASET, "--workers", 1)
    run("dedupe", DATASET, "--workers", 1)
    with hosts(tmp_path / "hosts", 1) as servers:
        command = ["shard", DATASET, SHARDS, "--format", "imagefolder", "--scheduler", servers.address]
        result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "imagefolder renames folders, which an object store cannot do: leave --scheduler out" in result.output
    assert not stored_files("s3://bucket/made/shards")


def test_another_host_continues_from_the_store(
    few: Path, art: Path, work: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    run("extract", few, tmp_path / "local", "--workers", 1)
    grow(few, max(art.glob("*.png")))
    switch_host(monkeypatch, tmp_path)
    assert run("extract", few, DATASET, "--workers", 1)["new"] == 1
    run("extract", few, tmp_path / "local", "--workers", 1)
    assert stored_files(DATASET) == without_lock(tree(tmp_path / "local"))
    monkeypatch.setenv(working_copy.WORK_FOLDER_VARIABLE, str(work))
    assert run("tags", DATASET)["pictures"] == 9


def test_a_stopped_command_uploads_nothing_and_can_be_continued(
    few: Path, work: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    before = stored_files(DATASET)
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "write_ledger", interrupt)
        run_stopped("dedupe", DATASET)
    assert stored_files(DATASET) == before
    run("dedupe", DATASET, "--workers", 1)
    assert {name.partition("/")[0] for name in stored_files(DATASET)} > {name.partition("/")[0] for name in before}


@pytest.mark.parametrize("uploaded_files", [0, 3])
def test_an_interrupted_upload_is_finished_by_the_next_command(
    few: Path, work: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, uploaded_files: int
) -> None:
    upload, uploaded = transfer._upload, list[str]()

    def stop_early(*arguments: Any) -> str:
        if len(uploaded) == uploaded_files:
            raise KeyboardInterrupt
        uploaded.append(arguments[-2])
        return upload(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(transfer, "TRANSFER_THREADS", 1)
        patched.setattr(transfer, "_upload", stop_early)
        run_stopped("extract", few, DATASET)
    assert ledger.LEDGER_FILE not in stored_files(DATASET)
    with monkeypatch.context() as patched:
        switch_host(patched, tmp_path)
        with pytest.raises(NurieError, match="is under way or was interrupted: wait for it, or run its command again"):
            WorkingCopies().folder_for(DATASET)
    assert run("extract", few, DATASET, "--workers", 1)["new"] == 0
    transfer.copy_folder(storage.parse_address(DATASET), tmp_path / "back")
    assert verify(tmp_path / "back") == []


def test_an_interrupted_download_is_finished_by_the_next_command(
    few: Path, work: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    work_folder = switch_host(monkeypatch, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(transfer, "_download", interrupt)
        run_stopped("tags", DATASET)
    assert not list(work_folder.rglob(ledger.LEDGER_FILE))
    assert without_lock(tree(WorkingCopies().folder_for(DATASET))) == stored_files(DATASET)


def test_changes_on_two_hosts_are_reported_and_neither_is_overwritten(
    few: Path, art: Path, work: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    copies, (local_picture, remote_picture) = WorkingCopies(), sorted(art.glob("*.png"))[8:10]
    folder = copies.folder_for(DATASET)
    grow(few, local_picture)
    extract.extract([Source("few", few)], folder, extract.ExtractOptions())
    local_files = tree(folder)
    with monkeypatch.context() as patched:
        switch_host(patched, tmp_path)
        grow(few, remote_picture)
        run("extract", few, DATASET, "--workers", 1)
    remote_files = stored_files(DATASET)
    for attempt in (copies.send_back, lambda: WorkingCopies().folder_for(DATASET)):
        with pytest.raises(NurieError, match=r"both .* and its working copy .* have changed: delete the copy"):
            attempt()
    assert (tree(folder), stored_files(DATASET)) == (local_files, remote_files)
    shutil.rmtree(folder)
    assert without_lock(tree(WorkingCopies().folder_for(DATASET))) == remote_files


def test_an_emptied_store_keeps_the_working_copy_and_starts_over_once_that_is_deleted(
    few: Path, work: Path, run: Run, tree: Tree
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    folder, place = WorkingCopies().folder_for(DATASET), cast("Any", storage.parse_address(DATASET))
    before = tree(folder)
    place.fs.rm(place.path, recursive=True)
    with pytest.raises(NurieError, match=r"was emptied, and .* holds what was there: `curate copy` it back, or delete"):
        WorkingCopies().folder_for(DATASET)
    assert tree(folder) == before
    shutil.rmtree(folder.parent)
    assert run("extract", few, DATASET, "--lines", "dilate", "--workers", 1)["new"] == 8  # no old options left


@pytest.mark.parametrize(
    ("module", "name", "command"),
    [
        (clear_dataset, "delete_leftovers", ("extract", "--fresh")),
        (tag_table, "write", ("remove", "1F34E.png")),
        (parquet, "replace_manifest", ("dedupe", "--seed", "1")),
        (parquet, "replace_manifest", ("extract",)),
    ],
)
def test_unfinished_work_is_uploaded_only_by_the_command_that_finishes_it(
    module: Any, name: str, command: tuple[str, ...], few: Path, art: Path, work: Path, run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run("extract", few, DATASET, "--workers", 1)
    run("dedupe", DATASET, "--workers", 1)
    before = stored_files(DATASET)
    grow(few, max(art.glob("*.png")))
    stage, *options = command
    arguments = [stage, *([few] if stage == "extract" else []), DATASET, *options]
    workers = [] if stage == "remove" else ["--workers", "1"]
    with monkeypatch.context() as patched:
        patched.setattr(module, name, interrupt)
        result = CliRunner().invoke(main, [*map(str, arguments), *workers])
    assert result.exit_code == 1
    CliRunner().invoke(main, ["tags", DATASET])
    assert stored_files(DATASET) == before
    run(*arguments, *workers)
    assert stored_files(DATASET) != before
    assert run("verify", DATASET)["faults"] == []


def test_a_command_refuses_to_run_during_an_upload_from_another_host(
    few: Path, work: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    run("dedupe", DATASET, "--workers", 1)
    with monkeypatch.context() as patched:
        switch_host(patched, tmp_path)
        run("tags", DATASET)
    with monkeypatch.context() as patched:
        patched.setattr(transfer, "_upload", interrupt)
        run_stopped("dedupe", DATASET, "--seed", "1")
    unfinished = stored_files(DATASET)
    switch_host(monkeypatch, tmp_path)
    result = CliRunner().invoke(main, ["tags", DATASET])
    assert "is under way or was interrupted: wait for it" in result.output
    assert stored_files(DATASET) == unfinished


def test_the_error_for_a_damaged_working_copy_says_how_to_download_it_again(
    few: Path, work: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run("extract", few, DATASET, "--workers", 1)
    run("dedupe", DATASET, "--workers", 1)
    folder = WorkingCopies().folder_for(DATASET)
    path = parquet.part_path(folder / "pairs", 0)
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(SystemExit, match="1"):
        main(["shard", DATASET, SHARDS, "--workers", "1"])
    assert f"or delete {folder}, and it is downloaded again from {DATASET}" in capsys.readouterr().err
    shutil.rmtree(folder)
    assert run("verify", DATASET)["faults"] == []


@pytest.mark.parametrize("command", [("dedupe",), ("tags",), ("shard",), ("verify",)])
def test_errors_about_an_empty_place_name_its_address(command: tuple[str], work: Path) -> None:
    result = CliRunner().invoke(main, [*command, DATASET, *([SHARDS] if command == ("shard",) else [])])
    assert result.exit_code == 1
    assert f"Error: {DATASET} is n" in result.output


def test_errors_about_files_in_a_working_copy_name_its_folder(work: Path) -> None:
    folder = WorkingCopies().folder_for(SHARDS)
    (folder / "begun").mkdir(parents=True)
    result = CliRunner().invoke(main, ["verify", SHARDS])
    assert f"Error: {folder} is neither" in result.output


def test_a_dry_run_uploads_nothing(few: Path, work: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("extract", few, DATASET, "--workers", 1)
    before = stored_files(DATASET)
    with monkeypatch.context() as patched:
        patched.setattr(working_copy, "_send_to_store", interrupt)
        run_stopped("dedupe", DATASET)
    assert run("dedupe", DATASET, "--dry-run")["due"] is None
    assert stored_files(DATASET) == before
    run("dedupe", DATASET, "--workers", 1)
    assert stored_files(DATASET) != before


def test_a_dataset_among_the_pictures_of_a_store_is_refused(
    few: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in few.iterdir():
        storage.write_bytes(storage.parse_address("s3://bucket/art") / path.name, path.read_bytes())
    with pytest.raises(SystemExit, match="1"):
        main(["extract", "s3://bucket/art/", "s3://bucket/art/dataset"])
    assert "s3://bucket/art/dataset lies inside the source" in capsys.readouterr().err


def test_pairs_changed_since_the_upload_are_compared_in_their_local_version(
    few: Path, work: Path, tmp_path: Path, run: Run, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookalike_search, "CANDIDATES_PER_TASK", 4)
    for dataset in (DATASET, tmp_path / "dataset"):
        run("extract", few, dataset, "--workers", 1)
    folder = WorkingCopies().folder_for(DATASET)
    with hosts(tmp_path / "hosts", 1) as servers, connected(servers, 1) as cluster:
        for dataset, workers in ((folder, cluster), (tmp_path / "dataset", 1)):
            remove_pictures.remove(dataset, [min(few.glob("*.png")).name])
            dedupe.dedupe(dataset, dedupe.DedupeOptions(), workers=workers)
    assert without_lock(tree(folder)) == without_lock(tree(tmp_path / "dataset"))


def test_a_place_with_other_files_is_refused_and_unchanged(
    few: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = cast("Any", storage.parse_address("s3://bucket/notes"))
    place.fs.pipe_file(f"{place.path}/a.txt", b"mine")
    with pytest.raises(SystemExit, match="1"):
        main(["extract", str(few), "s3://bucket/notes"])
    assert "holds other files (a.txt): give a new or empty place" in capsys.readouterr().err
    assert stored_files("s3://bucket/notes") == {"a.txt": b"mine"}


def test_a_store_that_does_not_answer_gives_a_one_line_error(
    work: Path, store: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    end(store)
    with pytest.raises(SystemExit, match="1"):
        main(["tags", DATASET])
    stderr = capsys.readouterr().err
    assert "check that its store answers" in stderr
    assert "Traceback" not in stderr


def test_a_recipe_fills_a_store_and_is_then_up_to_date(
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
    for name, places in (("store", (DATASET, SHARDS)), ("local", local)):
        recipe = tmp_path / f"{name}.toml"
        recipe.write_text(text.format(few, *places))
        result = run("run", recipe, "--workers", 1)
        assert (result["dataset"], result["shards"], result["expected"]) == (*places, "these")
        second = run("run", recipe, "--workers", 1)
        assert {stage["state"] for stage in second["stages"]} == {"up to date"}
    assert stored_files(DATASET) == without_lock(tree(tmp_path / "dataset"))
    assert stored_files(SHARDS) == without_lock(tree(tmp_path / "shards"))
