"""The story that `curate why` tells of pictures with every fate."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.audit.explain_picture import why
from curate.deduplication import dedupe
from curate.deduplication.family_split import SplitShares
from curate.extraction import extract
from curate.query.selection import select
from curate.shards import shard
from curate.sources.scan import Source
from curate.system.errors import NurieError


@pytest.fixture(scope="module")
def home(art: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset of many fates, a selection of it, and the selection's shards."""
    home = tmp_path_factory.mktemp("home")
    source = Path(shutil.copytree(art, home / "s"))
    shutil.copy(art / "1F408.png", source / "z-copy.png")
    (source / "torn.png").write_bytes(b"\x89PNG")
    (source / "e\u0301.png").write_bytes((art / "1F34E.png").read_bytes())
    (source / "1F44B.png.json").write_text("{broken")
    extract.extract([Source("s", source)], home / "d", extract.ExtractOptions(min_side=10))
    dedupe.dedupe(home / "d", dedupe.DedupeOptions(shares=SplitShares(1, 0, 0)))
    select(home / "d", home / "out.parquet", exclude=["cat"])
    shard.shard(home / "d", home / "shards", shard.ShardOptions(min_count=1), manifest=home / "out.parquet")
    return home


def story(home: Path, key: str, **options: Any) -> list[str]:
    [record] = why(home / "d", key, **options)
    lines: list[str] = record["story"]
    return lines


def test_a_kept_pictures_story_ends_at_its_place_in_the_shards(home: Path) -> None:
    lines = story(home, "1F44D.png", manifest=home / "out.parquet", shards=home / "shards")
    assert lines[0].startswith("extract: 1F44D.png of s, png 256x256, ")
    assert lines[1].startswith("dedupe: survivor, family ") or lines[1].startswith("dedupe: alternate, family ")
    assert lines[2:4] == ["manifest: kept", "out.parquet: chosen"]
    assert lines[4].startswith("shards: train-00000-of-00001.tfrecord at byte ")


def test_a_picture_left_out_by_a_selection_is_not_in_the_shards(home: Path) -> None:
    lines = story(home, "1F408.png", manifest=home / "out.parquet", shards=home / "shards")
    assert lines[2:] == ["manifest: kept", "out.parquet: not chosen", "shards: not in them"]


def test_a_byte_copys_story_names_the_path_that_is_kept(home: Path) -> None:
    lines = story(home, "z-copy.png")
    assert lines[1].startswith("dedupe: duplicate of 1F408.png, byte for byte")
    assert lines[2] == "manifest: dropped as duplicate: another picture is kept in its place"


def test_an_unreadable_files_story_says_why(home: Path) -> None:
    lines = story(home, "torn.png", shards=home / "shards")
    assert lines[0].startswith("extract: torn.png of s could not be read (DecodeError: ")
    assert lines[1:] == ["manifest: dropped as unreadable: it could not be read", "shards: not in them"]


def test_a_broken_sidecar_is_named(home: Path) -> None:
    assert "its sidecar was not used (SidecarError: 1F44B.png.json" in story(home, "1F44B.png")[0]


def test_an_id_finds_every_record_that_has_it(home: Path) -> None:
    [record] = why(home / "d", "1F408.png")
    assert {one["path"] for one in why(home / "d", record["id"])} == {"1F408.png", "z-copy.png"}


def test_a_path_is_found_in_any_spelling_of_its_accents(home: Path) -> None:
    assert story(home, "e\u0301.png") == story(home, "\u00e9.png")


def test_an_unknown_path_or_id_is_an_error(home: Path) -> None:
    with pytest.raises(NurieError, match=r"no record has the path or id 'nothing\.png'"):
        why(home / "d", "nothing.png")


def test_json_has_the_row_and_its_story(home: Path, run: Callable[..., Any]) -> None:
    [record] = run("why", home / "d", "z-copy.png")["records"]
    assert record["dropped"] == "duplicate"
    assert record["story"] == story(home, "z-copy.png")
    assert os.fspath(home) not in str(record)
