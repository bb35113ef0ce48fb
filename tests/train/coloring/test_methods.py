"""Two ways to colour what is larger than the pairs: on real art, the default is the truer one."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curate.images.decode import decode
from curate.images.lineart import LINE_METHODS as LINES
from train.coloring import methods
from train.coloring.colorize import Colorizer, TagPrompt
from train.coloring.drawing import box_mask, fit_to_square
from train.coloring.methods import COLORING_METHODS, Float32Array, PaintFunction, blend_tiles
from train.data import tags
from train.data.batches import Batch
from train.evaluation.metrics import ciede2000
from train.model.trained import load_trained


def gray(lines: Float32Array, mask: Float32Array) -> Float32Array:
    """A model that copies its lines."""
    return np.asarray(np.repeat(lines * mask + (1 - mask), 3, axis=-1), np.float32)


def mean(lines: Float32Array, mask: Float32Array) -> Float32Array:
    """A model whose colours hang on all that it sees, as those of a tile do."""
    return np.asarray(np.zeros((*lines.shape[:3], 3)) + lines.mean(axis=(1, 2, 3), keepdims=True), np.float32)


@pytest.fixture
def picture() -> Any:
    """(height, width) smooth gray of 140 x 90 px."""
    rows, columns = np.mgrid[:140, :90]
    return (127 + 60 * np.sin(rows / 20) + 60 * np.cos(columns / 15)).astype(np.uint8)


@pytest.mark.parametrize("method", list(COLORING_METHODS))
@pytest.mark.parametrize("shape", [(1, 1), (20, 32), (33, 33), (64, 7), (140, 90), (5, 400)])
def test_colours_have_the_size_of_the_drawing_and_lie_between_minus_one_and_one(
    method: str, shape: tuple[int, int]
) -> None:
    drawing = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    made = COLORING_METHODS[method](drawing, 32, gray)
    assert made.shape == (*shape, 3)
    assert made.dtype == np.float32
    assert -1 <= made.min() <= made.max() <= 1


def test_tiles_of_a_model_that_copies_give_back_what_they_cover_without_seams(picture: Any) -> None:
    lines, box = fit_to_square(picture, 64)
    made = blend_tiles(lines, box_mask(box, 64), 32, gray)
    np.testing.assert_allclose(made, np.repeat(lines[..., None], 3, axis=-1), atol=1e-5)


def test_tiles_are_sharper_than_enlarged_colours(picture: Any) -> None:
    picture[::8] = 0
    truth = picture / 127.5 - 1
    errors = {name: np.abs(one(picture, 32, gray)[..., 0] - truth).mean() for name, one in COLORING_METHODS.items()}
    assert errors["tiles"] < 0.9 * errors["resize"]


def test_what_a_tile_thinks_of_its_part_yields_to_the_colour_of_the_whole(picture: Any) -> None:
    """Colours that differ from tile to tile come out as those of the whole, which are the same everywhere."""
    lines, box = fit_to_square(picture, 64)
    bare = blend_tiles(lines, box_mask(box, 64), 32, mean)[box]
    mended, whole = (COLORING_METHODS[name](picture, 32, mean) for name in ("tiles", "resize"))
    assert np.ptp(whole) < 1e-5
    assert np.abs(mended - whole).mean() < 0.2 * np.abs(bare - bare.mean()).mean()


def test_a_drawing_no_larger_than_the_model_has_no_tiles() -> None:
    drawing = np.random.default_rng(0).integers(0, 256, (32, 20), np.uint8)
    np.testing.assert_array_equal(
        COLORING_METHODS["tiles"](drawing, 32, gray), COLORING_METHODS["resize"](drawing, 32, gray)
    )


def test_on_real_art_the_default_is_truest_and_the_whole_mends_most_of_what_tiles_get_wrong(
    trained: Path, pairs32: Path
) -> None:
    """CIEDE2000 to drawings of twice the model's size: enlarged, tiles on the whole's colours, tiles alone."""
    model = load_trained(trained)
    painter, errors = Colorizer(model), dict.fromkeys(("resize", "tiles", "alone"), 0.0)
    manifest = pd.read_parquet(pairs32.parent / "dataset" / "manifest", columns=["path", "tags"])
    for path, names in manifest.sort_values("path").iloc[::3].itertuples(index=False):
        truth = decode((pairs32.parent / "art" / str(path)).read_bytes()).rgb
        asked = tags.multi_hot([tag for tag in names if tag in model.vocabulary], model.vocabulary)
        lines, paint = LINES["contour"](truth), painting(painter, asked)
        made = {name: one(lines, model.size, paint) for name, one in COLORING_METHODS.items()}
        floats, box = fit_to_square(lines, methods.TILE_DETAIL_SCALE * model.size)
        made["alone"] = blend_tiles(floats, box_mask(box, methods.TILE_DETAIL_SCALE * model.size), model.size, paint)[
            box
        ]
        for name, one in made.items():
            errors[name] += ciede2000((one + 1) / np.float32(2), truth.astype(np.float32) / np.float32(255))
    assert errors["resize"] < errors["tiles"] < errors["alone"]
    assert errors["tiles"] - errors["resize"] < 0.5 * (errors["alone"] - errors["resize"])


def painting(painter: Colorizer, row: Any) -> PaintFunction:
    """The model, asked for these tags."""
    return lambda lines, mask: painter.color_batch(
        Batch(lines, None, mask, None), np.repeat(row[None], len(lines), axis=0), TagPrompt()
    )
