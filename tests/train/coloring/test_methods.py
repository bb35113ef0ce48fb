"""The two methods to colour a drawing larger than the model: the default has the truer colours on real art."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curate.images.decode import decode
from curate.images.lineart import LINE_METHODS
from train.coloring.colorize import Colorizer, TagPrompt
from train.coloring.drawing import box_mask, fit_to_square
from train.coloring.methods import COLORING_METHODS, TILE_DETAIL_SCALE, Float32Array, PaintFunction, blend_tiles
from train.data import tags
from train.data.batches import Batch
from train.evaluation.metrics import ciede2000
from train.model.trained_model import load_trained


def copy_lines(lines: Float32Array, mask: Float32Array) -> Float32Array:
    """A stand-in for the model whose colours are its lines."""
    return np.asarray(np.repeat(lines * mask + (1 - mask), 3, axis=-1), np.float32)


def paint_mean(lines: Float32Array, mask: Float32Array) -> Float32Array:
    """A stand-in whose colour is the mean of all it sees, so that it differs from tile to tile."""
    return np.asarray(np.zeros((*lines.shape[:3], 3)) + lines.mean(axis=(1, 2, 3), keepdims=True), np.float32)


@pytest.fixture
def picture() -> Any:
    """Smooth gray, (140, 90) px."""
    rows, columns = np.mgrid[:140, :90]
    return (127 + 60 * np.sin(rows / 20) + 60 * np.cos(columns / 15)).astype(np.uint8)


@pytest.mark.parametrize("method", list(COLORING_METHODS))
@pytest.mark.parametrize("shape", [(1, 1), (20, 32), (33, 33), (64, 7), (140, 90), (5, 400)])
def test_colours_have_the_size_of_the_drawing_and_lie_in_minus_one_to_one(method: str, shape: tuple[int, int]) -> None:
    drawing = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    colors = COLORING_METHODS[method](drawing, 32, copy_lines)
    assert colors.shape == (*shape, 3)
    assert colors.dtype == np.float32
    assert -1 <= colors.min() <= colors.max() <= 1


def test_tiles_are_blended_without_seams(picture: Any) -> None:
    lines, box = fit_to_square(picture, 64)
    blended = blend_tiles(lines, box_mask(box, 64), 32, copy_lines)
    np.testing.assert_allclose(blended, np.repeat(lines[..., None], 3, axis=-1), atol=1e-5)


def test_tiles_are_sharper_than_enlarged_colours(picture: Any) -> None:
    picture[::8] = 0
    truth = picture / 127.5 - 1
    errors = {
        name: np.abs(method(picture, 32, copy_lines)[..., 0] - truth).mean()
        for name, method in COLORING_METHODS.items()
    }
    assert errors["tiles"] < 0.9 * errors["resize"]


def test_tiles_take_their_colours_from_the_whole_drawing(picture: Any) -> None:
    """Tiles of different colours come out close to the colour of the whole, which is the same everywhere."""
    lines, box = fit_to_square(picture, 64)
    tiles_alone = blend_tiles(lines, box_mask(box, 64), 32, paint_mean)[box]
    tiles, whole = (COLORING_METHODS[name](picture, 32, paint_mean) for name in ("tiles", "resize"))
    assert np.ptp(whole) < 1e-5
    assert np.abs(tiles - whole).mean() < 0.2 * np.abs(tiles_alone - tiles_alone.mean()).mean()


def test_a_drawing_no_larger_than_the_model_is_coloured_without_tiles() -> None:
    drawing = np.random.default_rng(0).integers(0, 256, (32, 20), np.uint8)
    np.testing.assert_array_equal(
        COLORING_METHODS["tiles"](drawing, 32, copy_lines), COLORING_METHODS["resize"](drawing, 32, copy_lines)
    )


def test_on_real_art_resize_is_truest_and_tiles_gain_most_of_their_loss_back_from_the_whole(
    trained: Path, pairs32: Path
) -> None:
    """Mean CIEDE2000 on drawings of twice the model's size: `resize`, `tiles`, and tiles with their own colours."""
    model = load_trained(trained)
    colorizer, errors = Colorizer(model), dict.fromkeys(("resize", "tiles", "alone"), 0.0)
    manifest = pd.read_parquet(pairs32.parent / "dataset" / "manifest", columns=["path", "tags"])
    for path, names in manifest.sort_values("path").iloc[::3].itertuples(index=False):
        truth = decode((pairs32.parent / "art" / str(path)).read_bytes()).rgb
        tag_row = tags.multi_hot([tag for tag in names if tag in model.vocabulary], model.vocabulary)
        lines, paint = LINE_METHODS["contour"](truth), paint_with_tags(colorizer, tag_row)
        colors = {name: method(lines, model.size, paint) for name, method in COLORING_METHODS.items()}
        tiled_size = TILE_DETAIL_SCALE * model.size
        square, box = fit_to_square(lines, tiled_size)
        colors["alone"] = blend_tiles(square, box_mask(box, tiled_size), model.size, paint)[box]
        for name, picture in colors.items():
            errors[name] += ciede2000((picture + 1) / np.float32(2), truth.astype(np.float32) / np.float32(255))
    assert errors["resize"] < errors["tiles"] < errors["alone"]
    assert errors["tiles"] - errors["resize"] < 0.5 * (errors["alone"] - errors["resize"])


def paint_with_tags(colorizer: Colorizer, row: Any) -> PaintFunction:
    """The model with one row of tags for every square."""
    return lambda lines, mask: colorizer.color_batch(
        Batch(lines, None, mask, None), np.repeat(row[None], len(lines), axis=0), TagPrompt()
    )
