import os
from pathlib import Path

import pytest

from curate.sources.scan import Source, parse_sources, scan_sources
from curate.system.errors import SourceError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_every_file_but_sidecars_is_found_once_in_the_order_of_names(tmp_path: Path) -> None:
    touch(
        tmp_path, "b.png", "a/z.jpg", "a/z.jpg.json", "a/z.txt", "a.png", "notes.txt", "lone.json", "c.png.txt", "c.png"
    )
    found = list(scan_sources([Source("s", tmp_path)]))
    assert [file.path for file in found] == ["a/z.jpg", "a.png", "b.png", "c.png", "lone.json", "notes.txt"]
    assert [path.name for path in found[0].sidecars] == ["z.jpg.json", "z.txt"]


def test_names_that_are_not_utf_8_keep_their_bytes(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.png")).touch()
    (tmp_path / "e\u0301.png").touch()
    found = {file.path: file.path_raw for file in scan_sources([Source("s", tmp_path)])}
    assert found == {"\\xff.png": b"\xff.png", "\u00e9.png": "e\u0301.png".encode()}


def test_names_that_are_equal_in_nfc_are_two_files(tmp_path: Path) -> None:
    (tmp_path / "e\u0301.png").touch()
    (tmp_path / "\u00e9.png").touch()
    found = [(file.path, file.path_raw) for file in scan_sources([Source("s", tmp_path)])]
    assert found == [("\u00e9.png", "e\u0301.png".encode()), ("\u00e9.png", None)]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "a/b.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "link.png").symlink_to(tmp_path / "a" / "b.png")
    assert [file.path for file in scan_sources([Source("s", tmp_path)])] == ["a/b.png", "link.png"]


def test_sources_have_unique_names(tmp_path: Path) -> None:
    for name in ("one", "two/one", "a=b"):
        (tmp_path / name).mkdir(parents=True)
    assert [s.name for s in parse_sources([f"{tmp_path}/one", f"x={tmp_path}/two"])] == ["one", "x"]
    assert parse_sources([f"{tmp_path}/a=b"])[0].root == tmp_path / "a=b"
    with pytest.raises(SourceError, match="two sources are called 'one'"):
        parse_sources([f"{tmp_path}/one", f"{tmp_path}/two/one"])
    with pytest.raises(SourceError, match="not a folder"):
        parse_sources([f"{tmp_path}/missing"])
    for nameless in ("/", f"={tmp_path}", "x="):
        with pytest.raises(SourceError, match="write NAME=FOLDER"):
            parse_sources([nameless])
