"""Drawings of any size are coloured at their own size, and the tags decide the colours."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from curate.contract import read_index, write_index
from curate.system.errors import NurieError
from curate.system.hashing import sha256_file
from train.coloring.colorize import ColorizeOptions, TagPrompt, choose_pairs, colorize
from train.coloring.drawing import fit_to_square, read_drawing
from train.data import tags
from train.data.batches import fixed_batch
from train.data.pairs import Pairs
from train.errors import DrawingError, RunError, TagError

Draw = Callable[[str, tuple[int, int]], Path]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Write a circle as line art of (height, width) pixels."""

    def write(name: str, shape: tuple[int, int]) -> Path:
        picture = np.full(shape, 255, np.uint8)
        cv2.circle(picture, (shape[1] // 2, shape[0] // 2), min(shape) // 3, 0, max(1, min(shape) // 50))
        cv2.imwrite(str(tmp_path / name), picture)
        return tmp_path / name

    return write


def tree(folder: Path) -> dict[str, bytes]:
    """Bytes of every file below a folder, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rgb(path: Path) -> Any:
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


@pytest.mark.parametrize("shape", [(32, 32), (600, 400), (7, 500), (1, 1), (90, 1000)])
def test_a_drawing_of_any_size_is_coloured_at_its_size(shape: tuple[int, int], draw: Draw, trained: Path) -> None:
    drawing = draw("drawing.png", shape)
    result = colorize(trained, [drawing], drawing.parent / "out", TagPrompt(), count=1, grid=False)
    assert result["pictures"] == [str(drawing.parent / "out" / "drawing.png")]
    assert rgb(drawing.parent / "out" / "drawing.png").shape == (*shape, 3)


def test_a_colour_tag_moves_the_picture_towards_that_colour(trained: Path, pairs32: Path) -> None:
    """A real heart's lines, coloured as blue and as red: the blue one is bluer."""
    from train.coloring.colorize import Colorizer
    from train.model.trained_model import load_trained

    pairs = Pairs(pairs32, "train")
    tags_by_pair = [
        tags.tags_from_multi_hot(row, pairs.vocabulary)
        for row in fixed_batch(pairs, list(range(len(pairs)))).tags.numpy()
    ]
    heart = next(number for number, names in enumerate(tags_by_pair) if "heart" in names)
    batch, colorizer = fixed_batch(pairs, [heart]), Colorizer(load_trained(trained))
    shape_tags = [tag for tag in tags_by_pair[heart] if tag not in pairs.index.colors]
    pictures = {
        color: colorizer.color_batch(
            batch, tags.multi_hot([*shape_tags, color, f"{color}_heart"], pairs.vocabulary)[None], TagPrompt()
        )
        for color in ("red", "blue")
    }
    inside = np.asarray(batch.colors).min(axis=-1) < 0.5
    red, blue = (pictures[color][inside].mean(axis=0) for color in ("red", "blue"))
    assert blue[2] - blue[0] > red[2] - red[0] + 0.1


def test_a_guidance_of_zero_ignores_the_tags_and_a_higher_one_follows_them_further(
    trained: Path, draw: Draw, tmp_path: Path
) -> None:
    drawing = draw("drawing.png", (64, 64))
    prompts = {
        "none": TagPrompt(),
        "one": TagPrompt(("heart",)),
        "zero": TagPrompt(("heart",), guidance=0.0),
        "far": TagPrompt(("heart",), guidance=4.0),
    }
    pictures = {}
    for name, prompt in prompts.items():
        colorize(trained, [drawing], tmp_path / name, prompt, count=1, grid=False)
        pictures[name] = rgb(tmp_path / name / "drawing.png").astype(int)
    np.testing.assert_array_equal(pictures["zero"], pictures["none"])
    assert np.abs(pictures["far"] - pictures["none"]).mean() > np.abs(pictures["one"] - pictures["none"]).mean() > 0


def test_negative_tags_change_the_picture(trained: Path, draw: Draw, tmp_path: Path) -> None:
    drawing = draw("drawing.png", (64, 64))
    for name, prompt in {"plain": TagPrompt(("red",)), "away": TagPrompt(("red",), ("blue",), 2.0)}.items():
        colorize(trained, [drawing], tmp_path / name, prompt, count=1, grid=False)
    assert not np.array_equal(rgb(tmp_path / "plain" / "drawing.png"), rgb(tmp_path / "away" / "drawing.png"))


def test_negative_tags_without_a_guidance_above_one_are_refused() -> None:
    with pytest.raises(TagError, match="above 1"):
        TagPrompt(("red",), ("blue",))


def test_an_unknown_tag_is_refused_with_the_nearest_known_ones(trained: Path, draw: Draw, tmp_path: Path) -> None:
    with pytest.raises(TagError, match=r"no tag 'blue_haert': did you mean blue_heart"):
        colorize(trained, [draw("a.png", (9, 9))], tmp_path / "out", TagPrompt(("blue_haert",)), count=1, grid=False)
    with pytest.raises(TagError, match=r"vocabulary\.txt"):
        colorize(trained, [draw("a.png", (9, 9))], tmp_path / "out", TagPrompt(("xyzzyqqq",)), count=1, grid=False)


def test_tags_may_have_capitals_spaces_and_empty_parts() -> None:
    assert tags.parse_tags("Blue Heart, smile,,  ") == ["blue_heart", "smile"]


def test_the_choice_of_pairs_does_not_depend_on_their_order_in_the_shards(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    first = [pairs.ids[number] for number in choose_pairs(pairs, pairs.index.colors, 4)]
    reversed_pairs = Pairs(pairs32, "train")
    for name in ("offset", "length", "shard", "ids", "families"):
        setattr(reversed_pairs, name, getattr(reversed_pairs, name)[::-1])
    chosen = choose_pairs(reversed_pairs, reversed_pairs.index.colors, 4)
    assert [reversed_pairs.ids[number] for number in chosen] == first
    assert len({pairs.families[number] for number in choose_pairs(pairs, pairs.index.colors, 3)}) == 3


def test_equal_seeds_choose_equal_pairs_and_other_seeds_choose_others(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    unseeded, first, again, other = (choose_pairs(pairs, pairs.index.colors, 4, seed) for seed in (None, 1, 1, 2))
    assert first == again
    assert len({tuple(unseeded), tuple(first), tuple(other)}) == 3
    assert len({pairs.families[number] for number in first[:3]}) == 3


def test_a_shard_folder_is_coloured_as_a_grid_of_validation_pairs(trained: Path, pairs32: Path, tmp_path: Path) -> None:
    result = colorize(trained, [pairs32], tmp_path / "out", TagPrompt(), count=3, grid=True)
    validation = set(Pairs(pairs32, "validation").ids)
    pictures = [Path(path).name for path in result["pictures"]]
    assert {name.split(".")[0] for name in pictures} - {"grid"} <= validation
    assert sum(name.endswith("tagged.png") for name in pictures) == 3
    grid = rgb(tmp_path / "out" / "grid.png")
    assert grid.shape[1] > 4 * 32
    assert len(np.unique(grid.reshape(-1, 3), axis=0)) > 100


def test_a_folder_of_drawings_is_coloured_with_a_grid(trained: Path, draw: Draw, tmp_path: Path) -> None:
    folder = tmp_path / "lines"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        draw(name, (50, 40)).rename(folder / name)
    result = colorize(trained, [folder], tmp_path / "out", TagPrompt(), count=1, grid=True)
    assert [Path(path).name for path in result["pictures"]] == ["a.png", "b.png", "grid.png"]


def test_two_drawings_of_one_name_are_refused(trained: Path, draw: Draw, tmp_path: Path) -> None:
    drawings = [draw("a.png", (50, 40)), draw("a.jpg", (40, 50))]
    with pytest.raises(DrawingError, match=r"a\.png"):
        colorize(trained, drawings, tmp_path / "out", TagPrompt(), count=1, grid=False)


def test_an_out_folder_where_pictures_would_overwrite_drawings_is_refused(trained: Path, draw: Draw) -> None:
    drawing = draw("a.png", (50, 40))
    before = drawing.read_bytes()
    with pytest.raises(DrawingError, match="give another OUT"):
        colorize(trained, [drawing], drawing.parent, TagPrompt(), count=1, grid=False)
    assert drawing.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"not a picture", None])
def test_a_file_that_is_not_a_picture_is_named(data: bytes | None, trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.png"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(DrawingError, match=r"bad\.png"):
        colorize(trained, [path], tmp_path / "out", TagPrompt(), count=1, grid=False)


def test_transparent_parts_are_white_and_16_bit_files_are_read(tmp_path: Path) -> None:
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[0, 0, 3] = 255
    deep = np.full((4, 4), 65535, np.uint16)
    cv2.imwrite(str(tmp_path / "clear.png"), clear)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    drawing = read_drawing(tmp_path / "clear.png")
    assert drawing.gray.ravel().tolist() == [0, *[255] * 15]
    assert drawing.alpha is not None
    assert drawing.alpha.ravel().tolist() == [255, *[0] * 15]
    assert read_drawing(tmp_path / "deep.png").gray.min() == 255
    assert read_drawing(tmp_path / "deep.png").alpha is None


def test_a_drawing_is_fitted_as_the_training_pairs_were() -> None:
    """The square equals the one that `curate` makes, up to one level of 255 in about one pixel of two thousand."""
    from curate.images.square import letterbox

    gray = np.random.default_rng(1).integers(0, 256, (300, 200), np.uint8)
    lines, _ = fit_to_square(gray, 128)
    difference = np.abs(np.rint((lines + 1) * 127.5) - letterbox(gray, 128))
    assert difference.max() <= 1
    assert difference.mean() < 5e-4


def test_a_folder_without_a_model_is_refused_with_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="train fit"):
        colorize(tmp_path, [tmp_path], tmp_path / "out", TagPrompt(), count=1, grid=False)


@pytest.mark.parametrize(
    "options",
    [ColorizeOptions(), ColorizeOptions("tiles"), ColorizeOptions("tiles", keep_lines=True, keep_transparency=True)],
)
def test_nothing_is_written_outside_of_out(options: ColorizeOptions, trained: Path, draw: Draw, tmp_path: Path) -> None:
    drawings = [draw("a.png", (90, 70)), draw("..b.png", (40, 40))]
    before, run = tree(tmp_path), tree(trained)
    result = colorize(trained, drawings, tmp_path / "out", TagPrompt(), options, count=1, grid=True)
    after = tree(tmp_path)
    assert set(after) - set(before) == {"out/a.png", "out/..b.png", "out/grid.png"}
    assert {str(tmp_path / name) for name in set(after) - set(before)} == set(result["pictures"])
    assert {name: after[name] for name in before} == before
    assert tree(trained) == run


def test_a_shard_folder_whose_ids_are_paths_is_refused(trained: Path, pairs32: Path, tmp_path: Path) -> None:
    shards = tmp_path / "in" / "shards"
    shutil.copytree(pairs32, shards)
    index = read_index(shards)
    files = dict(index.files)
    for listing in shards.glob("validation-*.parquet"):
        table = pd.read_parquet(listing)
        table["id"] = "../" + table["id"]
        table.to_parquet(listing)
        files[listing.name] = replace(files[listing.name], sha256=sha256_file(listing), bytes=listing.stat().st_size)
    write_index(shards, replace(index, files=files))  # the index of a hostile folder matches its files
    with pytest.raises(NurieError, match=r"is not a file name|is no id"):
        colorize(trained, [shards], tmp_path / "in" / "out", TagPrompt(), count=1, grid=False)
    assert not list((tmp_path / "in").glob("*.png"))


def test_a_drawing_named_grid_is_refused_beside_a_grid(trained: Path, draw: Draw, tmp_path: Path) -> None:
    with pytest.raises(DrawingError, match=r"would overwrite .*grid\.png"):
        colorize(trained, [draw("grid.png", (40, 40))], tmp_path / "out", TagPrompt(), count=1, grid=True)


@pytest.mark.parametrize(
    "options", [ColorizeOptions("tiles"), ColorizeOptions(keep_lines=True), ColorizeOptions(keep_transparency=True)]
)
def test_options_for_drawings_are_refused_with_a_shard_folder(
    options: ColorizeOptions, trained: Path, pairs32: Path, tmp_path: Path
) -> None:
    with pytest.raises(DrawingError, match="shown as they are"):
        colorize(trained, [pairs32], tmp_path / "out", TagPrompt(), options, count=1, grid=False)


@pytest.mark.parametrize("method", ["resize", "tiles"])
def test_kept_lines_are_as_dark_as_in_the_drawing(method: str, trained: Path, draw: Draw, tmp_path: Path) -> None:
    drawing = draw("a.png", (301, 200))
    for keep in (False, True):
        colorize(
            trained, [drawing], tmp_path / str(keep), TagPrompt(), ColorizeOptions(method, keep), count=1, grid=False
        )
    plain, kept = (rgb(tmp_path / str(keep) / "a.png") for keep in (False, True))
    lines = read_drawing(drawing).gray
    assert plain[lines == 0].max() > 0
    assert (kept[lines == 0] == 0).all()
    np.testing.assert_array_equal(kept[lines == 255], plain[lines == 255])


@pytest.mark.parametrize("method", ["resize", "tiles"])
def test_kept_transparency_is_the_drawings_own(method: str, trained: Path, tmp_path: Path) -> None:
    drawing = np.zeros((60, 90, 4), np.uint8)
    drawing[..., 3] = np.random.default_rng(0).integers(0, 256, (60, 90))
    cv2.imwrite(str(tmp_path / "a.png"), drawing)
    options = ColorizeOptions(method, keep_transparency=True)
    colorize(trained, [tmp_path / "a.png"], tmp_path / "kept", TagPrompt(), options, count=1, grid=False)
    colorize(
        trained, [tmp_path / "a.png"], tmp_path / "plain", TagPrompt(), ColorizeOptions(method), count=1, grid=False
    )
    kept, plain = (cv2.imread(str(tmp_path / name / "a.png"), cv2.IMREAD_UNCHANGED) for name in ("kept", "plain"))
    assert plain is not None
    assert kept is not None
    np.testing.assert_array_equal(kept[..., 3], drawing[..., 3])
    np.testing.assert_array_equal(kept[..., :3], plain)


def test_a_drawing_without_transparency_gives_an_opaque_picture(trained: Path, draw: Draw, tmp_path: Path) -> None:
    options = ColorizeOptions(keep_transparency=True)
    colorize(trained, [draw("a.png", (40, 50))], tmp_path / "out", TagPrompt(), options, count=1, grid=False)
    picture = cv2.imread(str(tmp_path / "out" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.shape == (40, 50, 3)


def test_a_grid_shows_a_transparent_drawing_on_white_paper(trained: Path, tmp_path: Path) -> None:
    drawing = np.zeros((64, 64, 4), np.uint8)
    drawing[30:34, :, 3] = 255
    cv2.imwrite(str(tmp_path / "a.png"), drawing)
    colorize(trained, [tmp_path / "a.png"], tmp_path / "out", TagPrompt(), count=1, grid=True)
    assert (rgb(tmp_path / "out" / "grid.png")[40:70, 10:120] == 255).mean() > 0.9
