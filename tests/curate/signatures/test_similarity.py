import io
from collections.abc import Callable
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
    tones = [name for name in pictures if name.startswith("1F44B-")]
    for one in tones:
        for other in tones:
            assert (
                line_difference(sketch(pictures[one]), sketch(pictures[other]))
                <= similarity.MAX_RECOLOUR_LINE_DIFFERENCE
            )


def test_other_drawings_have_other_lines(pictures: dict[str, np.ndarray]) -> None:
    names = ["1F44B", "1F44D", "1F499", "1F600", "1F408", "1F34E"]
    for one in names:
        for other in names:
            if one != other:
                assert line_difference(sketch(pictures[one]), sketch(pictures[other])) > 0.3


def test_the_line_difference_is_symmetric_and_zero_for_itself(pictures: dict[str, np.ndarray]) -> None:
    a, b = sketch(pictures["1F44B"]), sketch(pictures["1F44D"])
    assert line_difference(a, a) == 0
    assert line_difference(a, b) == line_difference(b, a)


def test_a_fill_that_the_other_outlines_is_no_difference_but_a_blot_is() -> None:
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
def test_a_copy_has_the_same_detail_and_a_recolour_has_not(
    pictures: dict[str, np.ndarray], quality: int, scale: float
) -> None:
    rgb = pictures["1F44B-1F3FD"]
    buffer = io.BytesIO()
    image = Image.fromarray(rgb)
    image.resize((int(image.width * scale),) * 2, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=quality)
    views = {
        name: alignment.thumbnail(trim_white_borders(one))
        for name, one in {"it": rgb, "copy": decode(buffer.getvalue()).rgb, "other": pictures["1F44B-1F3FE"]}.items()
    }
    assert similarity.has_copy_colors(alignment.aligned_difference(views["it"], views["copy"]))
    recolour = alignment.aligned_difference(views["it"], views["other"])
    assert not similarity.has_copy_colors(recolour)
    assert recolour.cell_distance > similarity.STRICT_CELL_DISTANCE


def test_the_difference_of_two_views_is_symmetric_and_zero_for_itself(pictures: dict[str, np.ndarray]) -> None:
    one, other = (alignment.thumbnail(trim_white_borders(pictures[name])) for name in ("1F44B", "1F44B-1F3FD"))
    assert alignment.aligned_difference(one, other) == alignment.aligned_difference(other, one)
    assert alignment.aligned_difference(one, one) == alignment.AlignedDifference(0, 0, 0, 0)


def test_a_brighter_copy_differs_by_its_exposure_alone(pictures: dict[str, np.ndarray]) -> None:
    one = alignment.thumbnail(trim_white_borders(pictures["1F44B-1F3FD"]))
    brighter = np.asarray(cv2.convertScaleAbs(one, alpha=1.1, beta=10), np.uint8)
    found = alignment.aligned_difference(one, brighter)
    assert found.exposure_matched_distance < 3 < found.region_distance
    assert similarity.has_copy_colors(found)


def test_a_dash_is_no_square(pictures: dict[str, np.ndarray]) -> None:
    dash, block = np.zeros((10, 60, 3), np.uint8), np.zeros((60, 60, 3), np.uint8)
    assert alignment.aligned_difference(alignment.thumbnail(dash), alignment.thumbnail(block)).region_distance > 50


def test_colour_distance_is_that_of_the_worst_cell() -> None:
    one, other = np.zeros((1, 192), np.float32), np.zeros((1, 192), np.float32)
    other[0, 3:6] = (2, 3, 6)  # norm 7
    other[0, 9:12] = (1, 0, 0)
    assert similarity.color_distance(one, other).tolist() == [7.0]


def test_tags_conflict_where_one_noun_has_two_colours() -> None:
    assert similarity.has_color_conflict(("blue_hair",), ("red_hair", "smile"))
    assert not similarity.has_color_conflict(("blue_hair",), ("red_eyes",))
    assert not similarity.has_color_conflict(("blue_hair",), ("smile",))
    assert not similarity.has_color_conflict(("blue_hair", "red_hair"), ("red_hair",))


def test_an_edit_is_told_from_a_copy() -> None:
    one = np.full((128, 128, 3), 90, np.uint8)
    touched, noisy = one.copy(), one + np.random.default_rng(0).integers(1, 4, one.shape, dtype=np.uint8)
    touched[:9, :9] = 200
    assert similarity.is_edited(one, touched)
    assert not similarity.is_edited(one, noisy)
    assert not similarity.is_edited(one, one)


def test_a_picture_shrunk_twice_is_rounded_not_edited(pictures: dict[str, np.ndarray]) -> None:
    for rgb in (pictures["1F600"], pictures["1F408"]):
        half = np.asarray(cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        assert not similarity.is_edited(letterbox(rgb, 64), letterbox(half, 64))


def test_a_small_detail_drawn_otherwise_is_no_copy(pictures: dict[str, np.ndarray]) -> None:
    one = trim_white_borders(pictures["1F600"])
    other = one.copy()
    height, width = one.shape[:2]
    cell = width / alignment.COLOR_CELLS_PER_SIDE
    other[height // 2 : height * 2 // 3, int(20.25 * cell) : int(20.75 * cell)] = 0  # thinner than a cell
    found = alignment.aligned_difference(alignment.thumbnail(one), alignment.thumbnail(other))
    assert found.region_distance <= similarity.MAX_COPY_REGION_DISTANCE
    assert not similarity.has_copy_colors(found)


def test_exposure_is_found_where_it_clips(pictures: dict[str, np.ndarray]) -> None:
    for name in ("1F600", "1F34E", "1F408"):
        one = trim_white_borders(pictures[name])
        bright = np.asarray(cv2.convertScaleAbs(one, alpha=1.1, beta=10), np.uint8)
        found = alignment.aligned_difference(alignment.thumbnail(one), alignment.thumbnail(bright))
        assert similarity.has_copy_colors(found)
        assert found.exposure_matched_distance < 5


def test_no_pair_at_all_is_no_fault() -> None:
    nothing = np.zeros((0, 192), np.float32)
    assert similarity.color_distance(nothing, nothing).shape == (0,)


def _panel(columns: int) -> np.ndarray:
    """A gray device with rows of somewhat darker ports."""
    rgb = np.full((192, 192, 3), 170, np.uint8)
    pitch = 160 // columns
    for left in range(16, 176, pitch):
        rgb[40:80, left : left + pitch // 2] = rgb[110:150, left : left + pitch // 2] = 132
    return cv2.copyMakeBorder(rgb, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=(0, 0, 0))


def _strokes(one: np.ndarray, other: np.ndarray) -> tuple[float, alignment.AlignedDifference]:
    views = [alignment.thumbnail(trim_white_borders(rgb)) for rgb in (one, other)]
    return line_difference(edge_mask(views[0]), edge_mask(views[1])), alignment.aligned_difference(*views)


def test_two_devices_of_one_style_are_told_by_their_strokes_alone() -> None:
    lines, found = _strokes(_panel(4), _panel(8))
    assert similarity.has_copy_colors(found)
    assert not similarity.has_copy_strokes(lines, found)


@pytest.mark.parametrize("edit", ["crop", "turn", "blur", "jpeg"])
def test_a_copy_keeps_its_strokes_whatever_is_done_to_it(edit: str, pictures: dict[str, np.ndarray]) -> None:
    edits: dict[str, Callable[[Any], Any]] = {
        "crop": lambda rgb: rgb[30:-20, 10:-40],
        "turn": lambda rgb: cv2.warpAffine(
            rgb, cv2.getRotationMatrix2D((300, 300), 2, 1), rgb.shape[1::-1], borderValue=(255, 255, 255)
        ),
        "blur": lambda rgb: cv2.GaussianBlur(rgb, (0, 0), 2),
        "jpeg": lambda rgb: cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1),
    }
    for name in ("1F600", "1F408", "1F44B", "1F34E", "2764"):
        lines, found = _strokes(pictures[name], edits[edit](pictures[name]))
        assert similarity.has_copy_strokes(lines, found)


def test_soft_pictures_have_no_strokes_to_differ_by() -> None:
    ramp = np.repeat(np.linspace(40, 200, 192).astype(np.uint8)[None, :, None], 192, axis=0).repeat(3, axis=2)
    softer = np.asarray(cv2.GaussianBlur(ramp, (0, 0), 4), np.uint8)
    assert alignment.aligned_difference(alignment.thumbnail(ramp), alignment.thumbnail(softer)).line_difference == 0
