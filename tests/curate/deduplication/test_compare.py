from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from curate.images.array_types import Rgb
from curate.images.decode import decode
from curate.signatures.orientations import Orientation, flip_horizontally, quarter_turns, slant_by
from tests.curate.deduplication.test_dedupe import OPTIONS, made


@pytest.mark.parametrize(("edit", "mirror"), [("slant", False), ("flip", True), ("side", True), ("pad", False)])
def test_a_copy_is_found_in_any_orientation(edit: str, mirror: bool, art: Path, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    edits: dict[str, Orientation] = {
        "slant": slant_by(2),
        "flip": flip_horizontally,
        "side": quarter_turns(1),
        "pad": slant_by(0),
    }
    for name in ("1F408", "1F34E", "1F44B-1F3FD", "1F44D"):
        rgb = decode((art / f"{name}.png").read_bytes()).rgb
        Image.fromarray(rgb).save(source / f"{name}.png")
        Image.fromarray(edits[edit](rgb)).resize((200, 200)).save(source / f"{name}~copy.png")
    manifest = made(source, tmp_path / "d", replace(OPTIONS, mirror=mirror))
    assert [path for path, row in manifest.items() if row["dropped"] == "duplicate"] == sorted(
        path for path in manifest if "copy" in path
    )
    if mirror:
        assert all(row["role"] == "unique" for row in made(source, tmp_path / "e").values())


def card(pip: Callable[[Rgb, int, int], object]) -> Rgb:
    """A playing card, which looks almost the same upside down, with six pips."""
    rgb = np.full((420, 300, 3), 255, np.uint8)
    cv2.rectangle(rgb, (10, 10), (289, 409), (250, 245, 215), -1)
    cv2.rectangle(rgb, (60, 60), (239, 359), (200, 60, 60), 2)
    for row in range(3):
        for column in (110, 190):
            pip(rgb, column, 90 + 120 * row)
    return rgb


def club(rgb: Rgb, x: int, y: int) -> None:
    for right, down in ((-4, 3), (4, 3), (0, -4)):
        cv2.circle(rgb, (x + right, y + down), 5, (0, 0, 0), -1)


def spade(rgb: Rgb, x: int, y: int) -> None:
    cv2.fillConvexPoly(rgb, np.array([[x, y - 10], [x + 9, y + 6], [x - 9, y + 6]]), (0, 0, 0))


def test_a_card_of_another_suit_is_no_copy_although_it_nearly_is_one_when_slanted(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for pip in (club, spade):
        cv2.imwrite(str(tmp_path / "s" / f"{pip.__name__}.png"), card(pip))
    manifest = made(tmp_path / "s", tmp_path / "d")
    assert [row["dropped"] for row in manifest.values()] == [None, None]
