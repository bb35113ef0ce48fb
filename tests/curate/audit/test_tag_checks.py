"""Tags that contradict each other or the picture."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from curate.audit.tag_checks import contradicting_colors, find_doubtful_tags
from curate.cli import main
from curate.dataset import parquet
from curate.dataset.schema import pairs_schema
from curate.extraction import extract
from curate.sources.scan import Source
from curate.system.errors import DamagedError

HEARTS = {"1F499.png": "blue", "1F49A.png": "green", "1F49B.png": "yellow", "2764.png": "red"}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("blue_hair red_hair", {"hair": ("blue", "red")}),
        ("blue_hair red_eyes", {}),
        ("blue red", {}),
        ("light_blue_hair blue_hair aqua_hair", {}),
        ("blonde_hair yellow_hair", {}),
        ("grey_hair silver_hair white_hair", {"hair": ("grey", "silver", "white")}),
        ("blue_hair red_hair multicolored_hair", {}),
        ("blue_eyes red_eyes heterochromia", {}),
        ("blue_hair red_hair 2girls", {}),
        ("blue_hair red_hair 1girl 1boy", {}),
        ("blue_hair red_hair 1girl", {"hair": ("blue", "red")}),
        ("dark_skin_tone light_skin_tone", {"skin_tone": ("dark", "light")}),
        ("dark_skin_tone light_skin_tone first_dark_skin_tone second_light_skin_tone", {}),
        ("artist:blue_hair red_hair", {}),
    ],
)
def test_two_colours_of_one_noun_contradict_unless_other_tags_explain_them(
    tags: str, expected: dict[str, tuple[str, ...]]
) -> None:
    assert contradicting_colors(tags.split()) == expected


@given(st.lists(st.text() | st.sampled_from(["blue_hair", "red_hair", "2girls", "light_skin"])))
def test_any_tags_are_accepted_and_a_contradiction_has_two_colours(tags: list[str]) -> None:
    assert all(len(colors) > 1 for colors in contradicting_colors(tags).values())


@pytest.fixture
def tagged(art: Path, tmp_path: Path) -> Path:
    """Four hearts in four colours, each tagged as all four."""
    folder = tmp_path / "hearts"
    folder.mkdir()
    for name in HEARTS:
        shutil.copy(art / name, folder)
        (folder / f"{name}.txt").write_text(", ".join(f"{color}_heart" for color in HEARTS.values()) + ", pink")
    extract.extract([Source("hearts", folder)], tmp_path / "d", extract.ExtractOptions(lines=("dilate",)))
    return tmp_path / "d"


def test_exactly_the_colours_that_no_pixel_has_are_listed(tagged: Path, run: Callable[..., Any]) -> None:
    result = run("tags", tagged, "--check")
    unseen = {row["path"]: set(row["tags"]) for row in result["unseen"]}
    every_heart, green_or_yellow = {f"{color}_heart" for color in HEARTS.values()}, {"green_heart", "yellow_heart"}
    assert unseen["1F499.png"] == every_heart - {"blue_heart"}
    assert unseen["2764.png"] == every_heart - {"red_heart"}
    assert (
        unseen["1F49A.png"] == unseen["1F49B.png"] == every_heart - green_or_yellow
    )  # leaf green may be called yellow
    assert {row["path"] for row in result["contradictions"]} == set(HEARTS)
    assert result["contradictions"][0]["noun"] == "heart"


def test_real_art_with_its_own_tags_has_no_doubtful_tags(dataset: Path, run: Callable[..., Any]) -> None:
    result = run("tags", dataset, "--check")
    assert result["unseen"] == result["contradictions"] == []


def test_doubtful_tags_are_printed_by_path(tagged: Path) -> None:
    printed = CliRunner().invoke(main, ["tags", str(tagged), "--check"]).stdout
    assert "2764.png: heart is blue and green and yellow and red" in printed
    assert "2764.png: colour not in the picture: blue_heart, green_heart" in printed
    assert "4 contradictions, 4 pictures without a colour they are tagged with" in printed
    assert "contradictions" not in json.loads(CliRunner().invoke(main, ["tags", str(tagged), "--json"]).stdout)


def test_a_pair_without_a_picture_raises_damaged_error(tagged: Path) -> None:
    path = parquet.part_path(tagged / "pairs", 0)
    rows = parquet.read_table(path).to_pylist()
    parquet.write_rows(path, [row | {"color": b"x"} for row in rows], pairs_schema(("dilate",)))
    with pytest.raises(DamagedError, match="curate verify"):
        find_doubtful_tags(tagged, parquet.read_parts(tagged / "manifest").to_pylist())
