"""Copies of datasets and shards, in folders and in a bucket of a real S3 server on this host."""

from __future__ import annotations

import http.server
import io
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from curate import storage
from curate.audit.verify import verify
from curate.cli import main
from curate.dataset import ledger, remove_pictures
from curate.stores import transfer
from curate.stores.listing import COPY_JOURNAL
from curate.system.errors import DamagedError, NurieError
from tests.hosts import end

Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture(params=["dataset", "shard_folder"])
def whole(request: pytest.FixtureRequest) -> Path:
    """A finished dataset or shard folder."""
    folder: Path = request.getfixturevalue(request.param)
    return folder


def test_a_copy_to_a_store_and_back_has_the_same_bytes_and_a_second_copy_transfers_nothing(
    whole: Path, store: object, tmp_path: Path, tree: Tree, run: Callable[..., Any]
) -> None:
    files = len(tree(whole)) - 1  # without the listing
    for source, target in ((whole, "s3://bucket/a/b"), ("s3://bucket/a/b/", tmp_path / "back")):
        for copied in (files, 0):
            counts = run("copy", source, target)
            assert (counts["files"], counts["copied"]) == (files, copied)
            assert bool(counts["bytes"]) == bool(copied)
    assert tree(tmp_path / "back") == tree(whole)
    assert verify(tmp_path / "back") == []
    assert len(cast("Any", storage.parse_address("s3://bucket/a/b")).fs.find("bucket/a/b")) == files + 1


def test_an_interrupted_copy_is_refused_as_a_source_and_continued_by_the_next_run(
    whole: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "JOURNAL_INTERVAL_S", 0)
    monkeypatch.setattr(transfer, "JOURNAL_COST_FACTOR", 0)
    monkeypatch.setattr(transfer, "TRANSFER_THREADS", 1)
    download, total = transfer._download, len(tree(whole)) - 1
    copied: list[str] = []

    def stop_after_two_more(*arguments: Any) -> str:
        if len(copied) == 2 * (run + 1):  # for this call and all later ones
            raise KeyboardInterrupt
        copied.append(arguments[-2])
        return download(*arguments)

    monkeypatch.setattr(transfer, "_download", stop_after_two_more)
    for run in range(total):
        try:
            transfer.copy_folder(whole, tmp_path / "copy")
        except KeyboardInterrupt:
            assert len(copied) == 2 * (run + 1)
            with pytest.raises(NurieError, match="is an unfinished copy: copy to it again first"):
                transfer.copy_folder(tmp_path / "copy", tmp_path / "other")
        else:
            break
    assert sorted(copied) == sorted(set(tree(whole)) - {ledger.LEDGER_FILE, "index.json"})
    assert tree(tmp_path / "copy") == tree(whole)


def test_a_copy_overwrites_other_contents_only_with_replace(
    dataset: Path, shard_folder: Path, tmp_path: Path, tree: Tree
) -> None:
    transfer.copy_folder(dataset, tmp_path / "copy")
    before = tree(tmp_path / "copy")
    with pytest.raises(NurieError, match="holds something else, or an older copy: give another place, or --replace it"):
        transfer.copy_folder(shard_folder, tmp_path / "copy")
    assert tree(tmp_path / "copy") == before
    transfer.copy_folder(shard_folder, tmp_path / "copy", replace=True)
    assert tree(tmp_path / "copy") == tree(shard_folder)
    assert verify(tmp_path / "copy") == []


def test_an_updated_copy_holds_nothing_that_opted_out(dataset: Path, store: object, tmp_path: Path, tree: Tree) -> None:
    local, remote = Path(shutil.copytree(dataset, tmp_path / "local")), storage.parse_address("s3://bucket/copy")
    transfer.copy_folder(local, remote)
    remove_pictures.remove(local, ["1F408.png"])
    counts = transfer.copy_folder(local, remote, replace=True)
    assert 0 < counts["copied"] < counts["files"]
    transfer.copy_folder(remote, tmp_path / "back")
    assert tree(tmp_path / "back") == tree(local)


def test_files_that_a_killed_run_should_have_deleted_are_deleted_by_the_next(
    dataset: Path, shard_folder: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer.copy_folder(dataset, tmp_path / "copy")

    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(transfer, "_download", interrupt)
        with pytest.raises(KeyboardInterrupt):
            transfer.copy_folder(shard_folder, tmp_path / "copy", replace=True)
    assert (tmp_path / "copy" / COPY_JOURNAL).is_file()
    transfer.copy_folder(shard_folder, tmp_path / "copy")
    assert tree(tmp_path / "copy") == tree(shard_folder)


def test_replacing_an_unfinished_copy_deletes_files_missing_from_its_journal(
    dataset: Path, shard_folder: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    download, files = transfer._download, iter(range(4))

    def stop_after_four(*arguments: Any) -> str:
        if next(files, None) is None:
            raise KeyboardInterrupt
        return download(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(transfer, "_download", stop_after_four)
        patched.setattr(transfer, "TRANSFER_THREADS", 1)
        with pytest.raises(KeyboardInterrupt):
            transfer.copy_folder(dataset, tmp_path / "copy")
    transfer.copy_folder(shard_folder, tmp_path / "copy", replace=True)
    assert tree(tmp_path / "copy") == tree(shard_folder)


def test_a_journal_beside_a_listing_is_ignored(
    dataset: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = storage.delete_file

    def keep_the_journal(path: Path) -> None:
        if path.name == COPY_JOURNAL:
            raise KeyboardInterrupt
        delete(path)

    with monkeypatch.context() as patched:
        patched.setattr(transfer, "JOURNAL_INTERVAL_S", 0)
        patched.setattr(transfer, "JOURNAL_COST_FACTOR", 0)
        patched.setattr(storage, "delete_file", keep_the_journal)
        with pytest.raises(KeyboardInterrupt):
            transfer.copy_folder(dataset, tmp_path / "copy")
    changed = Path(shutil.copytree(tmp_path / "copy", tmp_path / "changed"))
    assert transfer.copy_folder(dataset, tmp_path / "copy")["copied"] == 0
    assert tree(tmp_path / "copy") == tree(dataset)
    remove_pictures.remove(changed, ["1F408.png"])
    before = tree(changed)
    with pytest.raises(NurieError, match="holds something else, or an older copy"):
        transfer.copy_folder(dataset, changed)
    assert tree(changed) == before


def test_folders_that_are_links_to_another_disk_can_be_source_and_target(
    dataset: Path, tmp_path: Path, tree: Tree
) -> None:
    linked = Path(shutil.copytree(dataset, tmp_path / "linked"))
    (linked / "pairs").rename(tmp_path / "elsewhere")
    (linked / "pairs").symlink_to(tmp_path / "elsewhere")
    assert transfer.copy_folder(linked, tmp_path / "copy")["copied"]
    assert tree(tmp_path / "copy") == tree(dataset)
    assert transfer.copy_folder(dataset, linked)["copied"] == 0


def test_a_stopped_copy_does_not_wait_for_files_to_finish(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = threading.Event()

    class Slow(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            started.set()
            time.sleep(0.02)
            buffer[:1] = b"x"
            return 1

    def wait(*_: object, **__: object) -> None:
        started.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(transfer, "READ_BUFFER_BYTES", 1)
    monkeypatch.setattr(transfer, "wait", wait)
    monkeypatch.setattr(storage, "open_file", lambda _path: io.BufferedReader(Slow(), 1))
    with pytest.raises(KeyboardInterrupt):
        transfer.copy_folder(dataset, tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy").rglob("*") if path.is_file()} == {COPY_JOURNAL}


def test_a_copy_killed_while_it_first_writes_its_journal_goes_on(
    dataset: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process would not delete it
        patched.setattr(Path, "replace", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            transfer.copy_folder(dataset, tmp_path / "copy")
    assert tree(tmp_path / "copy").keys() == {".lock", f".{COPY_JOURNAL}.tmp"}
    transfer.copy_folder(dataset, tmp_path / "copy")
    assert tree(tmp_path / "copy") == tree(dataset)


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(path.read_bytes()[::-1]), Path.unlink])
def test_a_file_that_differs_from_the_listing_is_named_and_the_copy_stays_unfinished(
    whole: Path, store: object, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    torn = Path(shutil.copytree(whole, tmp_path / "torn"))
    path = max([*torn.glob("*.tfrecord"), *torn.glob("pairs/*.parquet")])
    change(path)
    for target in (tmp_path / "copy", storage.parse_address("s3://bucket/copy")):
        with pytest.raises(DamagedError, match=path.name):
            transfer.copy_folder(torn, target)
        with pytest.raises(NurieError, match=r"is neither|is an unfinished copy"):
            transfer.copy_folder(target, tmp_path / "other")


def test_a_file_that_changes_while_it_is_sent_leaves_an_unfinished_copy(
    shard_folder: Path, store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing = Path(shutil.copytree(shard_folder, tmp_path / "changing"))
    remote = storage.parse_address("s3://bucket/copy")
    upload = storage.upload

    def change_before_upload(source: Path, path: Path, on_bytes: Callable[[int], None]) -> None:
        if source.name == "tags.txt":
            source.with_name("new").write_bytes(source.read_bytes()[::-1])
            source.with_name("new").replace(source)
        upload(source, path, on_bytes)

    monkeypatch.setattr(storage, "upload", change_before_upload)
    with pytest.raises(DamagedError, match=r"tags\.txt changed while it was sent: run this command again"):
        transfer.copy_folder(changing, remote)
    with pytest.raises(NurieError, match=r"is neither|is an unfinished copy"):
        transfer.copy_folder(remote, tmp_path / "back")


def test_the_error_for_a_file_damaged_in_a_store_says_how_to_repair_it(
    shard_folder: Path, store: object, tmp_path: Path, tree: Tree
) -> None:
    remote = storage.parse_address("s3://bucket/copy")
    transfer.copy_folder(shard_folder, remote)
    storage.write_bytes(remote / "tags.txt", (shard_folder / "tags.txt").read_bytes()[::-1])
    with pytest.raises(DamagedError, match="other bytes than its listing says: delete it there, and copy it there"):
        transfer.copy_folder(remote, tmp_path / "back")
    storage.delete_file(remote / "tags.txt")
    assert transfer.copy_folder(shard_folder, remote)["copied"] == 1
    transfer.copy_folder(remote, tmp_path / "back")
    assert tree(tmp_path / "back") == tree(shard_folder)


def test_a_web_server_that_lists_no_sizes_can_be_copied_from(shard_folder: Path, tmp_path: Path, tree: Tree) -> None:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(shard_folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        address = storage.parse_address(f"http://127.0.0.1:{server.server_port}/")
        counts = [transfer.copy_folder(address, tmp_path / "copy") for _ in range(2)]
        server.shutdown()
    assert [count["copied"] for count in counts] == [len(tree(shard_folder)) - 1, 0]
    assert tree(tmp_path / "copy") == tree(shard_folder)


def test_the_error_for_a_file_in_place_of_the_target_folder_says_what_to_do(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target, advice in ((tmp_path / "file", "move this file"), (tmp_path / "file" / "x", "in its path elsewhere")):
        result = CliRunner().invoke(main, ["copy", str(dataset), str(target)])
        assert result.exit_code == 1
        assert re.fullmatch(rf"Error: {target}: .*: give another name .*{advice}.*, then run .*\n", result.stderr)


def test_impossible_copies_are_refused_in_one_line(
    dataset: Path, store: subprocess.Popen[bytes], tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("mine")
    (link := tmp_path / "link").symlink_to(dataset)
    bucket, none = storage.parse_address("s3://bucket/x"), storage.parse_address("s3://no-such-bucket/x")
    cases = [
        (bucket, storage.parse_address("s3://bucket/y"), "are both addresses: copy to a local folder first"),
        (tmp_path / "mine", tmp_path / "x", "is neither a dataset nor a shard folder"),
        (tmp_path / "nowhere", tmp_path / "x", "is neither a dataset nor a shard folder"),
        (dataset, tmp_path / "mine", r"holds other files \(diary.txt\): give a new or empty place"),
        (dataset, dataset / "removed", "one inside the other: give a folder elsewhere"),
        (dataset, link / "copy", "one inside the other: give a folder elsewhere"),
        (dataset, dataset.parent, "one inside the other: give a folder elsewhere"),
        (dataset, none, "cannot be written now"),
    ]
    for source, target, message in cases:
        with pytest.raises(NurieError, match=message):
            transfer.copy_folder(source, target)
    end(store)
    with pytest.raises(NurieError, match=r"s3://bucket/x.* now .*: check that its store answers"):
        transfer.copy_folder(dataset, bucket)
    assert set(tree(tmp_path)) == {"mine/diary.txt"}
    assert not (dataset / "removed").exists()
