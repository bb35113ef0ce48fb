"""Pictures without colour are recognised, and classified as line art, manga or greyscale."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curate.audit.explain_picture import why
from curate.dataset.parquet import read_parts
from curate.extraction import extract
from curate.images.array_types import Rgb
from curate.images.decode import decode
from curate.images.monochrome import _paper_level, classify
from curate.images.square import letterbox
from curate.sources.sample_art import line_art_folder
from curate.sources.scan import Source


def classified(rgb: Rgb) -> str | None:
    return classify(rgb, letterbox(rgb, 128))


def pictures(folder: Path) -> list[Rgb]:
    return [decode(path.read_bytes()).rgb for path in sorted(folder.glob("*.png"))]


def test_coloured_drawings_have_colour_and_their_artists_lines_are_line_art(art: Path) -> None:
    classes = [classified(rgb) for rgb in pictures(art)]
    assert classes.count(None) >= len(classes) - 1  # one of the coloured drawings is black and white
    assert {classified(rgb) for rgb in pictures(line_art_folder(art))} == {"lineart"}


@pytest.mark.parametrize("paper", [(1.0, 1.0, 1.0), (1.0, 0.95, 0.8)], ids=["white", "yellowed"])
def test_a_drawing_in_grays_has_no_colour_on_white_or_yellowed_paper(art: Path, paper: tuple[float, ...]) -> None:
    for rgb in pictures(art):
        gray = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        assert classified((gray * np.array(paper)).astype(np.uint8)) is not None


@given(arrays(np.uint8, st.integers(1, 300)))
def test_the_brightness_of_paper_equals_numpys_percentile(channel: np.ndarray) -> None:
    assert _paper_level(channel) == np.percentile(channel, 98)


def test_a_picture_with_a_spot_of_colour_has_colour() -> None:
    picture = np.full((256, 256, 3), 255, np.uint8)
    cv2.circle(picture, (128, 128), 100, (0, 0, 0), 2)
    assert classified(picture) == "lineart"
    cv2.circle(picture, (128, 128), 20, (200, 0, 0), -1)
    assert classified(picture) is None


def test_shades_are_greyscale_and_screentone_is_manga() -> None:
    ramp = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (256, 1))[..., None], 3, axis=2)
    assert classified(ramp) == "greyscale"
    dots = np.full((256, 256, 3), 255, np.uint8)
    dots[::4, ::2] = dots[2::4, 1::2] = 0  # a screentone with a quarter of ink
    dots[100:200, 100:200] = 0
    assert classified(dots) == "manga"


def test_pictures_without_colour_are_tagged_and_dropped_unless_kept(art: Path, tmp_path: Path) -> None:
    lines = Source("lines", line_art_folder(art))
    for keep, dropped in ((False, "monochrome"), (True, None)):
        dataset = tmp_path / str(keep)
        counts = extract.extract([lines], dataset, extract.ExtractOptions(keep_monochrome=keep), limit=3)
        rows = read_parts(dataset / "records").to_pylist()
        assert [row["dropped"] for row in rows] == [dropped] * 3
        assert all("meta:lineart" in row["tags"] for row in rows)
        [explanation] = why(dataset, rows[0]["path"])
        assert ("no colour" in explanation["story"][-1]) != keep
        assert counts["in"] == counts["kept"] + sum(counts["dropped"].values()) == 3


def test_a_picture_longer_than_max_aspect_is_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "art"
    folder.mkdir()
    for name, shape in {"wide": (20, 90, 3), "square": (40, 40, 3)}.items():
        cv2.imwrite(str(folder / f"{name}.png"), np.full(shape, (0, 0, 255), np.uint8))
    extract.extract([Source("art", folder)], tmp_path / "d", extract.ExtractOptions(max_aspect=4.0))
    assert {row["path"]: row["dropped"] for row in read_parts(tmp_path / "d" / "records").to_pylist()} == {
        "wide.png": "too_long",
        "square.png": None,
    }
