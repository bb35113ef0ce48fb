"""`curate run`: following a recipe, skipping what is up to date, and the shipped recipes."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from curate.cli import main
from curate.contract import read_index
from curate.system import lock
from tests import ROOT

RECIPES = ROOT / "manifests"
TEXT = """\
# so
[extract]
sources = ["art"]
dataset = "dataset"
lines = "dilate"

[dedupe]
split = "0.5,0.25,0.25"

[select]
out = "chosen.parquet"
exclude = ["book"]

[shard]
shards = "shards"
min-count = 1
"""
Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def here(art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with pictures and a recipe."""
    shutil.copytree(art, tmp_path / "art")
    (tmp_path / "x.toml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def follow(*words: object) -> Result:
    return CliRunner().invoke(main, ["run", *map(str, words), "--workers", "1"])


def run_json(*words: object) -> Any:
    result = follow(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def states(result: Any) -> dict[str, str]:
    return {one["stage"]: one["state"] for one in result["stages"]}


def inodes(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time by path: whether a file was written again."""
    stats = ((path, path.stat()) for path in folder.rglob("*"))
    return {str(path): (stat.st_ino, stat.st_mtime_ns) for path, stat in stats}


def test_a_recipe_makes_the_same_bytes_as_its_stages_by_hand_and_then_nothing(
    here: Path, run: Callable[..., Any], tree: Tree
) -> None:
    first = run_json("x.toml")
    assert states(first) == dict.fromkeys(("extract", "dedupe", "select", "shard"), "done")
    assert first["expected"] == "none in the recipe"
    assert first["stages"][-1]["kept"] == sum(first["splits"].values()) < first["kept"]
    for one in first["stages"]:
        assert one["in"] == one["kept"] + sum(one["dropped"].values())
    before = inodes(here)
    again = run_json("x.toml")
    assert set(states(again).values()) == {"up to date"}
    assert again["splits"] == first["splits"]
    assert inodes(here) == before
    run("extract", "art", "hand", "--lines", "dilate", "--workers", 1)
    run("dedupe", "hand", "--split", "0.5,0.25,0.25", "--workers", 1)
    run("select", "hand", "hand.parquet", "--exclude", "book")
    run("shard", "hand", "packed", "--manifest", "hand.parquet", "--min-count", 1, "--workers", 1)
    assert tree(here / "hand") == tree(here / "dataset")
    assert tree(here / "packed") == tree(here / "shards")
    assert (here / "hand.parquet").read_bytes() == (here / "chosen.parquet").read_bytes()


def test_only_stages_with_work_are_run(here: Path) -> None:
    run_json("x.toml")
    result = run_json("x.toml", "--set", "dedupe.survivor=bytes")
    assert states(result)["extract"] == "up to date"
    assert states(result)["dedupe"] == "done"
    shutil.copy2(here / "art" / "1F408.png", here / "art" / "copy.png")  # a byte copy, which changes no shard
    result = run_json("x.toml", "--set", "dedupe.survivor=bytes")
    assert states(result) == {"extract": "done", "dedupe": "done", "select": "done", "shard": "up to date"}
    (here / "art" / "new.png").write_bytes((here / "art" / "1F408.png").read_bytes() + b"\0")
    planned = run_json("x.toml", "--set", "dedupe.survivor=bytes", "--dry-run")
    assert [one["due"] for one in planned["stages"]] == ["1 of 25 files to read", *["after extract"] * 3]


def test_a_dry_run_writes_nothing_and_names_the_stages_with_work(here: Path) -> None:
    before = inodes(here)
    result = follow("x.toml", "--dry-run")
    assert result.exit_code == 0
    assert re.search(r"^extract +due: 23 files to read$", result.stdout, re.MULTILINE)
    assert re.search(r"^shard +due: after extract$", result.stdout, re.MULTILINE)
    assert inodes(here) == before


REFUSED = {
    "a line style": ('lines = "dilate"', "lines = 'dilate,crayon'", "5: [extract] lines: no line-art method 'crayon'"),
    "a source": ('["art"]', "['none']", "3: [extract] sources: none is not a folder"),
    "a dataset": ('"dataset"', "'art/d'", "4: [extract] dataset: art/d lies inside the source art"),
    "a split": ("0.5,0.25,0.25", "1,1,1", "8: [dedupe] split: --split '1,1,1' does not add up to 1"),
    "a rule": ("[select]", "survivor = 'big'\n[select]", "10: [dedupe] survivor: no survivor rule 'big'"),
    "another dataset": ("[select]", "against = 'art'\n[select]", "10: [dedupe] against: art is not a dataset folder"),
    "an expression": ("[shard]", "where = 'x > 3'\n[shard]", "14: [select] where: --where names no column 'x'"),
    "a seed": ("min-count", "seed = -1\nmin-count", "16: [shard] seed: -1 is not in the range x>=0"),
    "an encoding": ("min-count", "encoding = 'x'\nmin-count", "16: [shard] encoding: 'x' is not one of 'png', 'raw'"),
    "both of two": (
        "min-count",
        "encoding = 'raw'\nformat = 'webdataset'\nmin-count",
        "16: [shard] encoding: --encoding raw works with --format tfrecord only",
    ),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_an_option_that_a_stage_refuses_is_reported_with_its_line_before_anything_runs(
    here: Path, refused: str
) -> None:
    old, new, message = REFUSED[refused]
    (here / "x.toml").write_text(TEXT.replace(old, new))
    before = inodes(here)
    result = follow("x.toml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: x.toml:{message}"), result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert inodes(here) == before


def test_changed_extract_options_are_refused_without_fresh(here: Path) -> None:
    run_json("x.toml")
    result = follow("x.toml", "--set", "extract.size=64")
    assert result.exit_code == 1
    assert "was begun with size=128: use the same options, or --fresh" in result.stderr
    assert run_json("x.toml", "--set", "extract.size=64", "--fresh")["stages"][0]["new"] == 23
    assert read_index("shards").size == 64


def test_unexpected_counts_are_a_warning_with_their_line(here: Path) -> None:
    expect = "[expect]\nin = 23\nkept = 23\ndropped = { duplicate = 0 }\n"
    (here / "x.toml").write_text(TEXT + expect)
    assert run_json("x.toml")["expected"] == "these"
    assert run_json("x.toml", "--set", "extract.dataset=elsewhere")["expected"] == "these"
    assert run_json("x.toml", "--set", "shard.seed=1")["expected"] == "not compared, as --set changed shard.seed"
    (here / "x.toml").write_text(TEXT + expect.replace("in = 23", "in = 1_000"))
    result = follow("x.toml")
    assert result.exit_code == 0
    assert result.stderr.endswith("\nWarning: x.toml:18: [expect] in: expected 1,000 in, found 23\n")
    assert "expected counts: others" in result.stdout


def test_the_table_has_a_row_per_stage(here: Path) -> None:
    rows = follow("x.toml").stdout.splitlines()
    assert rows[0].split() == ["in", "kept", "dropped", "seconds"]
    assert [row.split()[:2] for row in rows[1:5]] == [
        [name, "done"] for name in ("extract", "dedupe", "select", "shard")
    ]
    assert rows[1].split()[2:5] == ["23", "23", "0"]
    assert "next, `train fit shards RUN`" in rows[6]


def test_scheduler_with_workers_or_a_missing_recipe_is_a_usage_error(here: Path) -> None:
    assert follow("x.toml", "--scheduler", "tcp://127.0.0.1:1").exit_code == 2
    assert follow("y.toml").exit_code == 2


def test_a_dataset_that_another_run_writes_is_not_touched(here: Path) -> None:
    run_json("x.toml")
    (here / "art" / "1F408.png").rename(here / "art" / "new.png")
    with lock.exclusive(here / "dataset"):
        result = follow("x.toml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "another run is writing dataset" in result.stderr


def shipped(name: str, *settings: str) -> Any:
    """Run a recipe of this repository in the current folder."""
    words = [word for setting in settings for word in ("--set", setting)]
    return run_json(RECIPES / f"{name}.toml", *words)


def test_the_openmoji_recipe_makes_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("sample.limit=12", "sample.size=64", "shard.min-count=1")
    result = shipped("openmoji", *small)
    assert set(states(result).values()) == {"done"}
    assert (result["in"], result["expected"][:12]) == (12, "not compared")
    assert set(states(shipped("openmoji", *small)).values()) == {"up to date"}
    assert read_index("demo/shards").pairs


def test_the_openclipart_recipe_finds_duplicates(art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the layout of the Debian package: topics as folders, links between them, no sidecars."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "openclipart" / "usr" / "share" / "openclipart" / "png"
    (root / "food" / "fruit").mkdir(parents=True)
    (root / "animals").mkdir()
    shutil.copy2(art / "1F34E.png", root / "food" / "fruit" / "apple_01.png")
    shutil.copy2(art / "1F408.png", root / "animals")
    (root / "animals" / "apple.png").symlink_to("../food/fruit/apple_01.png")
    result = shipped("openclipart")
    assert len(result["differences"]) == 9  # the package has more
    assert (result["in"], result["dropped"]) == (3, {"duplicate": 1})
    assert list(pd.read_parquet("openclipart/dataset/manifest")["path"])[2] == "food/fruit/apple_01.png"


def test_the_gallery_dl_recipe_reads_posts_as_tags(art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its default layout: SITE/SEARCH/SITE_ID_MD5.EXT, each with its post beside it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "gallery-dl" / "danbooru" / "animal"
    folder.mkdir(parents=True)
    for number, code in enumerate(("1F408", "1F34E", "1F600"), 1):
        name = f"danbooru_{number}_{'0' * 31}{number}.png"
        shutil.copy2(art / f"{code}.png", folder / name)
        post = {"id": number, "tag_string_general": f"solo tag_{number}", "tag_string_artist": "anna", "score": number}
        (folder / f"{name}.json").write_text(json.dumps({**post, "category": "danbooru", "rating": "g"}))
    result = shipped("gallery-dl", "shard.min-count=1")
    assert (result["in"], result["kept"], result["stages"][0]["sidecar_errors"]) == (3, 3, 0)
    pictures = pd.read_parquet("dataset/manifest")
    assert list(pictures["score"]) == [1, 2, 3]
    assert [set(tags) for tags in pictures["tags"]] == [{"solo", f"tag_{n}", "artist:anna"} for n in (1, 2, 3)]


def test_the_danbooru_recipe_selects_by_score_and_tags(
    art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the layout of its mirrors: pictures by id in a thousand folders, and one table of posts."""
    monkeypatch.chdir(tmp_path)
    posts = []
    for number, (code, score, tags) in enumerate(
        [("1F408", 9, "solo cat"), ("1F34E", 1, "solo"), ("1F600", 9, "2girls"), ("1F44B", 9, "solo comic")], 1001
    ):
        folder = tmp_path / "danbooru" / "original" / f"{number % 1000:04}"
        folder.mkdir(parents=True)
        shutil.copy2(art / f"{code}.png", folder / f"{number}.png")
        posts.append({"id": number, "tag_string": tags, "tag_string_general": tags, "score": score, "rating": "g"})
    (tmp_path / "danbooru" / "posts.json").write_text("\n".join(map(json.dumps, posts)))
    result = shipped("danbooru", "shard.min-count=1", "dedupe.split=1,0,0")
    assert (result["in"], result["kept"], result["splits"]["train"]) == (4, 4, 1)
    assert list(pd.read_parquet("selected.parquet")["path"]) == ["original/0001/1001.png"]
    assert (tmp_path / "shards" / "tags.txt").read_text() == "cat\nsolo\n"
