import io
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from curate.images.decode import decode
from curate.images.resample import pillow_luma
from curate.images.square import letterbox
from curate.signatures import alignment, similarity
from curate.signatures.strokes import edge_mask, ink_mask, line_difference, normalized_luma
from curate.signatures.trimming import trim_white_borders


@pytest.fixture(scope="module")
def pictures(art: Path) -> dict[str, np.ndarray]:
    return {path.stem: decode(path.read_bytes()).rgb for path in sorted(art.glob("*.png"))}


def sketch(rgb: np.ndarray) -> np.ndarray:
    return ink_mask(normalized_luma(pillow_luma(trim_white_borders(rgb))))


def test_a_recolour_has_the_same_lines(pictures: dict[str, np.ndarray]) -> None:
    sketches = [sketch(rgb) for name, rgb in pictures.items() if name.startswith("1F44B-")]
    assert len(sketches) > 1
    for a, b in combinations(sketches, 2):
        assert line_difference(a, b) <= similarity.MAX_RECOLOUR_LINE_DIFFERENCE


def test_different_drawings_have_different_lines(pictures: dict[str, np.ndarray]) -> None:
    sketches = [sketch(pictures[name]) for name in ("1F44B", "1F44D", "1F499", "1F600", "1F408", "1F34E")]
    for a, b in combinations(sketches, 2):
        assert line_difference(a, b) > 0.3


def test_the_line_difference_is_symmetric_and_zero_for_itself(pictures: dict[str, np.ndarray]) -> None:
    a, b = sketch(pictures["1F44B"]), sketch(pictures["1F44D"])
    assert line_difference(a, a) == 0
    assert line_difference(a, b) == line_difference(b, a)


def test_a_fill_that_the_other_drawing_outlines_is_no_difference_but_a_blot_is() -> None:
    outline = np.full((128, 128), 255, np.uint8)
    cv2.rectangle(outline, (10, 10), (118, 118), 0, 2)
    hair, filled, blot = outline.copy(), outline.copy(), outline.copy()
    cv2.ellipse(hair, (64, 64), (25, 25), 0, 0, 360, 0, 2)
    cv2.ellipse(filled, (64, 64), (25, 25), 0, 0, 360, 0, 2)
    cv2.ellipse(filled, (64, 64), (25, 25), 0, 0, 360, 0, -1)
    cv2.ellipse(blot, (64, 64), (25, 25), 0, 0, 360, 0, -1)
    assert line_difference(hair, filled) <= similarity.MAX_RECOLOUR_LINE_DIFFERENCE
    assert line_difference(outline, blot) > similarity.MAX_RECOLOUR_LINE_DIFFERENCE


@pytest.mark.parametrize(("quality", "scale"), [(90, 1), (40, 1), (75, 0.5)])
def test_a_copy_has_the_same_colours_and_a_recolour_has_not(
    pictures: dict[str, np.ndarray], quality: int, scale: float
) -> None:
    rgb = pictures["1F44B-1F3FD"]
    buffer = io.BytesIO()
    image = Image.fromarray(rgb)
    image.resize((int(image.width * scale),) * 2, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=quality)
    original, copy, recolour = (
        alignment.thumbnail(trim_white_borders(picture))
        for picture in (rgb, decode(buffer.getvalue()).rgb, pictures["1F44B-1F3FE"])
    )
    assert similarity.has_copy_colors(alignment.aligned_difference(original, copy))
    difference = alignment.aligned_difference(original, recolour)
    assert not similarity.has_copy_colors(difference)
    assert difference.cell_distance > similarity.STRICT_CELL_DISTANCE


def test_the_difference_of_two_thumbnails_is_symmetric_and_zero_for_itself(pictures: dict[str, np.ndarray]) -> None:
    a, b = (alignment.thumbnail(trim_white_borders(pictures[name])) for name in ("1F44B", "1F44B-1F3FD"))
    assert alignment.aligned_difference(a, b) == alignment.aligned_difference(b, a)
    assert alignment.aligned_difference(a, a) == alignment.AlignedDifference(0, 0, 0, 0)


def test_a_brighter_copy_differs_only_in_exposure(pictures: dict[str, np.ndarray]) -> None:
    original = alignment.thumbnail(trim_white_borders(pictures["1F44B-1F3FD"]))
    brighter = np.asarray(cv2.convertScaleAbs(original, alpha=1.1, beta=10), np.uint8)
    difference = alignment.aligned_difference(original, brighter)
    assert difference.exposure_matched_distance < 3 < difference.region_distance
    assert similarity.has_copy_colors(difference)


def test_a_dash_is_not_aligned_to_a_square() -> None:
    dash, block = np.zeros((10, 60, 3), np.uint8), np.zeros((60, 60, 3), np.uint8)
    assert alignment.aligned_difference(alignment.thumbnail(dash), alignment.thumbnail(block)).region_distance > 50


def test_the_colour_distance_is_that_of_the_cell_that_differs_most() -> None:
    black, spotted = np.zeros((1, 192), np.float32), np.zeros((1, 192), np.float32)
    spotted[0, 3:6] = (2, 3, 6)  # norm 7
    spotted[0, 9:12] = (1, 0, 0)
    assert similarity.color_distance(black, spotted).tolist() == [7.0]


def test_tags_conflict_if_they_give_one_noun_different_colours() -> None:
    assert similarity.has_color_conflict(("blue_hair",), ("red_hair", "smile"))
    assert not similarity.has_color_conflict(("blue_hair",), ("red_eyes",))
    assert not similarity.has_color_conflict(("blue_hair",), ("smile",))
    assert not similarity.has_color_conflict(("blue_hair", "red_hair"), ("red_hair",))


def test_a_local_change_is_an_edit_and_noise_or_nothing_is_not() -> None:
    original = np.full((128, 128, 3), 90, np.uint8)
    noisy = original + np.random.default_rng(0).integers(1, 4, original.shape, dtype=np.uint8)
    edited = original.copy()
    edited[:9, :9] = 200
    assert similarity.is_edited(original, edited)
    assert not similarity.is_edited(original, noisy)
    assert not similarity.is_edited(original, original)


def test_a_picture_shrunk_twice_is_not_edited(pictures: dict[str, np.ndarray]) -> None:
    for rgb in (pictures["1F600"], pictures["1F408"]):
        half = np.asarray(cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        assert not similarity.is_edited(letterbox(rgb, 64), letterbox(half, 64))


def test_a_picture_with_a_small_detail_changed_is_not_a_copy(pictures: dict[str, np.ndarray]) -> None:
    original = trim_white_borders(pictures["1F600"])
    changed = original.copy()
    height, width = original.shape[:2]
    cell = width / alignment.COLOR_CELLS_PER_SIDE
    changed[height // 2 : height * 2 // 3, int(20.25 * cell) : int(20.75 * cell)] = 0  # thinner than a cell
    difference = alignment.aligned_difference(alignment.thumbnail(original), alignment.thumbnail(changed))
    assert difference.region_distance <= similarity.MAX_COPY_REGION_DISTANCE
    assert not similarity.has_copy_colors(difference)


def test_exposure_is_matched_even_if_the_brighter_copy_is_clipped(pictures: dict[str, np.ndarray]) -> None:
    for name in ("1F600", "1F34E", "1F408"):
        original = trim_white_borders(pictures[name])
        bright = np.asarray(cv2.convertScaleAbs(original, alpha=1.1, beta=10), np.uint8)
        difference = alignment.aligned_difference(alignment.thumbnail(original), alignment.thumbnail(bright))
        assert similarity.has_copy_colors(difference)
        assert difference.exposure_matched_distance < 5


def test_the_colour_distances_of_no_pairs_are_an_empty_array() -> None:
    empty = np.zeros((0, 192), np.float32)
    assert similarity.color_distance(empty, empty).shape == (0,)


def _panel(columns: int) -> np.ndarray:
    """A gray device with rows of somewhat darker ports."""
    rgb = np.full((192, 192, 3), 170, np.uint8)
    pitch = 160 // columns
    for left in range(16, 176, pitch):
        rgb[40:80, left : left + pitch // 2] = rgb[110:150, left : left + pitch // 2] = 132
    return cv2.copyMakeBorder(rgb, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=(0, 0, 0))


def _compare_strokes(first: np.ndarray, second: np.ndarray) -> tuple[float, alignment.AlignedDifference]:
    """The line difference before alignment, and the difference after it."""
    a, b = (alignment.thumbnail(trim_white_borders(rgb)) for rgb in (first, second))
    return line_difference(edge_mask(a), edge_mask(b)), alignment.aligned_difference(a, b)


def test_only_strokes_distinguish_two_devices_in_one_style() -> None:
    lines, difference = _compare_strokes(_panel(4), _panel(8))
    assert similarity.has_copy_colors(difference)
    assert not similarity.has_copy_strokes(lines, difference)


@pytest.mark.parametrize("edit", ["crop", "turn", "blur", "jpeg"])
def test_an_edited_copy_keeps_its_strokes(edit: str, pictures: dict[str, np.ndarray]) -> None:
    edits: dict[str, Callable[[Any], Any]] = {
        "crop": lambda rgb: rgb[30:-20, 10:-40],
        "turn": lambda rgb: cv2.warpAffine(
            rgb, cv2.getRotationMatrix2D((300, 300), 2, 1), rgb.shape[1::-1], borderValue=(255, 255, 255)
        ),
        "blur": lambda rgb: cv2.GaussianBlur(rgb, (0, 0), 2),
        "jpeg": lambda rgb: cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1),
    }
    for name in ("1F600", "1F408", "1F44B", "1F34E", "2764"):
        lines, difference = _compare_strokes(pictures[name], edits[edit](pictures[name]))
        assert similarity.has_copy_strokes(lines, difference)


def test_the_lines_of_soft_pictures_do_not_differ() -> None:
    ramp = np.repeat(np.linspace(40, 200, 192).astype(np.uint8)[None, :, None], 192, axis=0).repeat(3, axis=2)
    softer = np.asarray(cv2.GaussianBlur(ramp, (0, 0), 4), np.uint8)
    assert alignment.aligned_difference(alignment.thumbnail(ramp), alignment.thumbnail(softer)).line_difference == 0
