import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.audit.explain import why
from curate.deduplication import dedupe
from curate.deduplication.split import SplitShares
from curate.extraction import extract
from curate.query.selection import select
from curate.shards import shard
from curate.sources.scan import Source
from curate.system.errors import NurieError


@pytest.fixture(scope="module")
def road(art: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of every fate, a selection of it, and its shards."""
    home = tmp_path_factory.mktemp("road")
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


def story(road: Path, key: str, **options: Any) -> list[str]:
    [record] = why(road / "d", key, **options)
    lines: list[str] = record["story"]
    return lines


def test_a_kept_pictures_story_ends_at_its_place_in_the_shards(road: Path) -> None:
    lines = story(road, "1F44D.png", chosen=road / "out.parquet", shards=road / "shards")
    assert lines[0].startswith("extract: 1F44D.png of s, png 256x256, ")
    assert lines[1].startswith("dedupe: survivor, family ") or lines[1].startswith("dedupe: alternate, family ")
    assert lines[2:4] == ["manifest: kept", "out.parquet: chosen"]
    assert lines[4].startswith("shards: train-00000-of-00001.tfrecord at byte ")


def test_a_picture_left_out_by_a_selection_is_not_in_the_shards(road: Path) -> None:
    lines = story(road, "1F408.png", chosen=road / "out.parquet", shards=road / "shards")
    assert lines[2:] == ["manifest: kept", "out.parquet: not chosen", "shards: not in them"]


def test_a_byte_copys_story_names_the_path_that_is_kept(road: Path) -> None:
    lines = story(road, "z-copy.png")
    assert lines[1].startswith("dedupe: duplicate of 1F408.png, byte for byte")
    assert lines[2] == "manifest: dropped as duplicate: another picture is kept in its stead"


def test_an_unreadable_files_story_says_why(road: Path) -> None:
    lines = story(road, "torn.png", shards=road / "shards")
    assert lines[0].startswith("extract: torn.png of s could not be read (DecodeError: ")
    assert lines[1:] == ["manifest: dropped as unreadable: it could not be read", "shards: not in them"]


def test_a_broken_sidecar_is_told(road: Path) -> None:
    assert "sidecar left out (SidecarError: 1F44B.png.json" in story(road, "1F44B.png")[0]


def test_an_id_finds_every_record_that_has_it(road: Path) -> None:
    [record] = why(road / "d", "1F408.png")
    assert {one["path"] for one in why(road / "d", record["id"])} == {"1F408.png", "z-copy.png"}


def test_a_path_is_found_in_any_spelling_of_its_accents(road: Path) -> None:
    assert story(road, "e\u0301.png") == story(road, "\u00e9.png")


def test_what_is_no_record_is_told(road: Path) -> None:
    with pytest.raises(NurieError, match=r"no record has the path or id 'nothing\.png'"):
        why(road / "d", "nothing.png")


def test_json_has_the_row_and_its_story(road: Path, run: Callable[..., Any]) -> None:
    [record] = run("why", road / "d", "z-copy.png")["records"]
    assert record["dropped"] == "duplicate"
    assert record["story"] == story(road, "z-copy.png")
    assert os.fspath(road) not in str(record)
