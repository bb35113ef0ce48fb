"""A bucket on a local S3 server gives the same results as a local folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from curate import storage
from curate.cli import main
from curate.dataset import parquet
from curate.extraction import extract
from curate.extraction.record import extract_file
from curate.sources.scan import Source, parse_sources, scan_sources
from curate.system.errors import MissingExtraError, NurieError, SourceError
from tests.hosts import connected, end, hosts

Tree = Callable[[Path], dict[str, bytes]]

OPTIONS = extract.ExtractOptions(("dilate",))


@pytest.fixture(scope="module")
def folder(art: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawings in folders, sidecars, CSV and Parquet tables, and a file that is not a picture. Read only."""
    import pandas as pd

    root: Path = tmp_path_factory.mktemp("bucket") / "art"
    (root / "b" / "ü x").mkdir(parents=True)
    for number, path in enumerate(sorted(art.iterdir())):
        shutil.copy(path, root / ("", "b", "b/ü x")[number // 2 % 3] / path.name)
    (root / "a#b%20c?.png").write_bytes(b"no picture")
    names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.png"))]
    pd.DataFrame({"file_name": names, "tags": [["of_a_table"]] * len(names)}).to_parquet(root / "metadata.parquet")
    (root / "b" / "metadata.csv").write_text(f'file_name,text\n{min(root.glob("b/*.png")).name},"one, two"\n')
    return root


@pytest.fixture
def bucket(folder: Path, store: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """A server whose s3://bucket/art holds the files of `folder`."""
    import s3fs

    files = s3fs.S3FileSystem(skip_instance_cache=True)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            files.pipe_file(f"bucket/art/{path.relative_to(folder).as_posix()}", path.read_bytes())
    files.pipe_file("bucket/art/b/", b"")  # web consoles mark folders like this
    return store


def test_a_bucket_gives_the_bytes_of_a_folder_with_local_workers_and_on_a_cluster(
    folder: Path, bucket: object, tmp_path: Path, tree: Tree
) -> None:
    extract.extract([Source("art", folder)], tmp_path / "folder", OPTIONS, part_size=4)
    sources = parse_sources(["s3://bucket/art"])
    with hosts(tmp_path / "hosts", 2) as servers, connected(servers, 2, min_pictures_per_future=4) as cluster:
        for name, workers in (("one", 1), ("two", 2), ("cluster", cluster)):
            extract.extract(sources, tmp_path / name, OPTIONS, part_size=4, workers=workers)
            assert tree(tmp_path / name) == tree(tmp_path / "folder")


@pytest.mark.parametrize("address", ["s3://bucket/art", "s3://bucket/art/"])
def test_files_of_a_bucket_are_listed_with_their_sizes_in_the_order_of_a_folder(
    folder: Path, bucket: object, tmp_path: Path, run: Callable[..., Any], address: str
) -> None:
    local, remote = (list(scan_sources(parse_sources([root]))) for root in (str(folder), address))
    assert [(file.source, file.path) for file in remote] == [(file.source, file.path) for file in local]
    assert [file.size for file in remote] == [file.real_path.stat().st_size for file in local]
    results = [run("extract", source, tmp_path / "dataset", "--dry-run") for source in (folder, address)]
    assert len({(result["in"], result["sidecars"], result["bytes_to_read"]) for result in results}) == 1


def test_a_store_that_stops_answering_is_one_line_and_makes_no_record(
    bucket: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    sources = parse_sources(["s3://bucket/art"])
    file = next(file for file in scan_sources(sources) if file.path.endswith(".png"))
    end(bucket)
    readers: list[Callable[[], object]] = [
        lambda: extract_file(replace(file, sidecars=()), OPTIONS),
        lambda: storage.open_file(file.real_path).read(),
        lambda: list(scan_sources(sources)),
        lambda: parquet.read_table(sources[0].root / "metadata.parquet"),
    ]
    for read in readers:
        with pytest.raises(NurieError, match=r"s3://bucket/art.* cannot be read now .*, then run this command again"):
            read()


def test_a_file_missing_from_a_bucket_becomes_an_unreadable_record(bucket: object) -> None:
    missing = storage.parse_address("s3://bucket/art/gone.png")
    assert not storage.exists(missing)
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(missing)
    listed = next(file for file in scan_sources(parse_sources(["s3://bucket/art"])) if file.path.endswith(".png"))
    record, pair = extract_file(replace(listed, real_path=missing, sidecars=()), OPTIONS)
    assert (record["dropped"], record["path"], pair) == ("unreadable", listed.path, None)


def test_a_folder_missing_from_a_bucket_is_refused(bucket: object) -> None:
    with pytest.raises(SourceError, match="is not a folder"):
        parse_sources(["s3://bucket/other"])


def test_a_programming_error_is_not_blamed_on_the_store(bucket: object, monkeypatch: pytest.MonkeyPatch) -> None:
    path = storage.parse_address("s3://bucket/art/gone.png")
    for error, expected in ((TypeError("a bug"), TypeError), (RuntimeError("closed"), NurieError)):

        def fail(_path: object, error: Exception = error) -> bytes:
            raise error

        monkeypatch.setattr(type(path), "read_bytes", fail)
        with pytest.raises(expected):
            storage.read_bytes(path)


def test_a_file_address_is_a_local_folder(tmp_path: Path) -> None:
    assert storage.parse_address(f"file://{tmp_path}/a b#c") == tmp_path / "a b#c"


def test_addresses_that_cannot_be_used_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="contains a folder without a name: write / once"):
        storage.parse_address("s3://bucket//art")
    with pytest.raises(SourceError, match=r"foo://x/y cannot be read .*: install what reads it, or mount it"):
        storage.parse_address("foo://x/y")
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(tmp_path), "s3://bucket/report.html"])
    assert "is an address, and only sources, datasets, shards and copies may be" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(MissingExtraError, match=r"nurie\[s3\]"):
        storage.parse_address("s3://bucket/art")
