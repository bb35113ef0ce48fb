from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from curate.images.decode import decode
from curate.images.lineart import (
    LINE_METHODS,
    _update_strokes_and_steps,
    contour,
    dilate,
    dodge,
    limit_size,
    opencv_gray,
    pen_color,
    xdog,
    xdog_of_luma,
)
from curate.images.square import content_box, letterbox

GOLDEN = Path(__file__).parent / "golden"
EXACT = {
    name: method for name, method in LINE_METHODS.items() if name != "hed"
}  # a network leaves traces on blank paper


def read(name: str) -> np.ndarray:
    return decode((GOLDEN / f"{name}.png").read_bytes()).rgb


@pytest.mark.parametrize("method", sorted(LINE_METHODS))
def test_line_art_of_a_real_drawing_equals_the_stored_picture(method: str) -> None:
    expected = opencv_gray(read(f"1F44B-1F3FD.{method}")).astype(int)
    lines = LINE_METHODS[method](read("1F44B-1F3FD")).astype(int)
    # processors round differently, and more so through a network's layers
    assert np.abs(expected - lines).max() <= (5 if method == "hed" else 1)


@pytest.mark.parametrize("method", EXACT.values(), ids=EXACT)
def test_blank_paper_has_no_lines(method: Callable[[np.ndarray], np.ndarray]) -> None:
    lines = method(np.full((20, 30, 3), 255, np.uint8))
    assert lines.shape == (20, 30)
    assert lines.dtype == np.uint8
    assert (lines == 255).all()


@pytest.mark.parametrize("method", EXACT.values(), ids=EXACT)
def test_a_black_stroke_on_paper_is_ink(method: Callable[[np.ndarray], np.ndarray]) -> None:
    picture = np.full((21, 21, 3), 255, np.uint8)
    picture[:, 10] = 0
    lines = method(picture)
    assert (lines[:, 10] == 0).all()
    assert (lines[:, [0, 20]] == 255).all()


def test_dilate_subtracts_from_the_brightest_of_5x5_pixels_in_a_small_picture() -> None:
    picture = np.full((7, 7, 3), 200, np.uint8)
    picture[3, 3] = 150
    # the maximum around the dark pixel is 200, so its line is 255 - (200 - 150); elsewhere 255 - (200 - 200)
    assert dilate(picture)[3, 3] == 205
    assert (np.delete(dilate(picture).ravel(), 24) == 255).all()


def test_dodge_is_the_share_of_the_brightest_pixel_around() -> None:
    picture = np.full((7, 7, 3), 200, np.uint8)
    picture[3, 3] = 150
    assert dodge(picture)[3, 3] == 191  # 255 * 150 / 200
    assert (np.delete(dodge(picture).ravel(), 24) == 255).all()


def test_dodge_draws_a_stroke_as_black_on_a_dark_fill_as_on_paper() -> None:
    picture = np.full((40, 40, 3), 60, np.uint8)
    picture[:, 20] = 0
    assert (dodge(picture)[:, 20] == 0).all()
    assert dilate(picture)[:, 20].min() == 195  # 255 - 60


def test_contour_draws_the_border_of_two_colours_of_equal_luma() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:, :20], picture[:, 20:] = (220, 180, 120), (180, 201, 120)  # lumas of 185.1 and 185.5
    assert (dodge(picture)[:, 15:25] > 250).all()
    assert (contour(picture)[:, 22:] == 255).all()
    assert (contour(picture)[:, 18:22] == 241).all()  # 255 - 0.35 * (220 - 180), the step in red, on either side


def test_contour_draws_a_stroke_as_dark_as_in_its_clearest_channel() -> None:
    picture = np.full((40, 40, 3), (200, 150, 100), np.uint8)
    picture[:, 20] = (180, 120, 20)
    assert (contour(picture)[:, 20] == 51).all()  # 255 * 20 / 100
    assert (dodge(picture)[:, 20] == 204).all()  # 255 * 127 / 159, the lumas


def test_contour_fills_a_stroke_between_two_fills_and_draws_their_step_paler() -> None:
    picture = np.full((80, 80, 3), (250, 220, 180), np.uint8)
    picture[:, 40:] = (200, 120, 40)
    step = contour(picture)
    assert step[:, 38:42].max() == step.min() == 206  # 255 - 0.35 * (180 - 40), in blue
    for width in range(1, 10):  # up to 4 * stroke_radius + 1 px
        picture[:, 40 : 40 + width] = 0
        assert (contour(picture)[:, 40 : 40 + width] == 0).all()


@pytest.mark.parametrize("color", [(0, 0, 0), (3, 5, 2), (107, 68, 35), (20, 20, 90)])
def test_contour_blackens_areas_of_any_width_in_the_pens_colour(color: tuple[int, int, int]) -> None:
    picture = np.full((100, 100, 3), (250, 230, 210), np.uint8)
    picture[10:16, 5:95] = color
    picture[30:90, 5:45] = color
    picture[30:90, 55:95] = np.array(color) + 10  # not ink: not the pen's colour
    lines = contour(picture)
    assert (lines[30:90, 5:45] == 0).all()
    assert (lines[40:80, 65:85] == 255).all()


def test_a_pen_is_dark_and_draws_most_of_the_strokes_and_not_too_few() -> None:
    paper = np.full((100, 100, 3), 250, np.uint8)

    def pen(*colors: tuple[int, int, int], last: int = 95) -> list[float] | None:
        """The pen's colour in a picture with one stroke of each colour, from column 5 to `last`."""
        picture = paper.copy()
        for row, color in enumerate(colors):
            picture[20 * row + 10 : 20 * row + 14, 5:last] = color
        pen_or_none = pen_color(picture, picture.min(axis=2))
        return None if pen_or_none is None else pen_or_none.tolist()

    assert pen((107, 68, 35)) == [107, 68, 35]
    assert pen((0, 0, 0), (0, 0, 0), (10, 90, 120)) == [0, 0, 0]
    assert pen((0, 0, 0), (60, 20, 30), (10, 90, 120)) is None  # no colour has half of the strokes
    assert pen((200, 30, 30)) is None
    assert pen((0, 0, 0), last=40) is None  # 1.4 % of the picture
    assert pen() is None


def test_hed_finds_edges_inside_a_picture_and_none_at_its_border() -> None:
    paper = np.full((120, 160, 3), 255, np.uint8)
    blank = LINE_METHODS["hed"](paper)
    assert blank.shape == (120, 160)
    assert blank.dtype == np.uint8
    assert blank.min() > 250
    paper[40:80, 60:100] = (200, 30, 30)
    lines = LINE_METHODS["hed"](paper)
    assert lines[60, 56:64].min() < 128
    assert lines[:20].min() > 200


def test_hed_draws_pictures_of_any_size() -> None:
    for size in ((1, 1), (3, 700), (1500, 40)):
        assert LINE_METHODS["hed"](np.full((*size, 3), 255, np.uint8)).shape == size


@pytest.mark.parametrize("method", ["dilate", "dodge", "contour", "adaptive", "canny"])
def test_the_size_of_a_picture_does_not_thin_its_lines(method: str) -> None:
    small = read("1F44B-1F3FD")
    large = np.asarray(cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.uint8)
    ink = [255 - letterbox(LINE_METHODS[method](picture), 128).astype(float).mean() for picture in (small, large)]
    assert ink[1] == pytest.approx(ink[0], rel=0.25)


def test_lines_of_a_huge_picture_are_drawn_at_a_smaller_size_in_the_same_places() -> None:
    huge = np.full((4100, 6150, 3), 255, np.uint8)
    huge[:, 3000:3100] = 0
    limited = limit_size(huge)
    assert limited.shape == (2731, 4096, 3)
    assert limit_size(huge[:4096, :4096]).shape == (4096, 4096, 3)
    lines, full_size_lines = (dodge(picture) for picture in (limited, huge))
    box = content_box(*huge.shape[:2], 128)
    difference = np.abs(letterbox(lines, 128, box).astype(int) - letterbox(full_size_lines, 128))
    assert difference.max() <= 2
    assert letterbox(full_size_lines, 128).min() < 100


def test_xdog_is_black_or_white_unless_softened() -> None:
    picture = read("1F44B-1F3FD")
    assert set(np.unique(xdog(picture))) == {0, 255}
    assert len(np.unique(xdog(picture, phi=5))) > 2


def test_shrinking_by_area_keeps_the_mean_where_cubic_makes_jaggies() -> None:
    lines = xdog(read("1F44B-1F3FD"))
    blocks = lines.reshape(64, 4, 64, 4).mean(axis=(1, 3))  # what an ideal sensor of 64 px sees
    area = letterbox(lines, 64).astype(float)
    cubic = cv2.resize(lines, (64, 64), interpolation=cv2.INTER_CUBIC).astype(float)
    assert np.abs(area - blocks).max() <= 1
    assert np.abs(cubic - blocks).max() > 60


@pytest.mark.parametrize(("height", "width"), [(1, 1), (300, 100), (100, 300), (128, 128), (5, 1000), (40, 40)])
def test_a_square_holds_the_whole_picture_centred_on_white(height: int, width: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    box = content_box(height, width, 128)
    square = letterbox(picture, 128)
    assert square.shape == (128, 128, 3)
    inside = np.zeros((128, 128), bool)
    inside[box.top : box.top + box.height, box.left : box.left + box.width] = True
    np.testing.assert_array_equal((square == 0).all(axis=2), inside)
    assert max(box.height, box.width) == 128


@pytest.mark.parametrize("phi", [1e9, 30.0, 1.0])
def test_the_soft_step_of_xdog_follows_its_formula(phi: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (150, 90), dtype=np.uint8)
    luma = np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8)
    shade = luma.astype(np.float32) / np.float32(255)
    narrow, wide = (cv2.GaussianBlur(shade, (0, 0), sigma) for sigma in (0.5, 2.25))
    step = 20.0 * narrow - 19.0 * wide - 0.01
    assert np.array_equal(xdog_of_luma(luma, phi=phi), np.rint(255 * (1 + np.tanh(phi * np.minimum(step, 0)))))


def test_strokes_and_steps_equal_opencvs_for_every_pair_of_levels() -> None:
    levels = np.arange(256, dtype=np.uint8)
    channel, closed = (grid.reshape(-1) for grid in np.meshgrid(levels, levels))
    channel = np.minimum(channel, closed)  # a closing is never darker
    strokes, step = np.full_like(channel, 200), np.full_like(channel, 50)
    _update_strokes_and_steps(channel, closed, closed, channel, strokes, step)
    assert np.array_equal(strokes, np.minimum(cv2.divide(channel, closed, scale=255).reshape(-1), 200))
    assert np.array_equal(step, np.maximum(cv2.subtract(closed, channel).reshape(-1), 50))
