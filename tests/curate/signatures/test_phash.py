import io
from pathlib import Path

import imagehash
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from curate.images.decode import decode
from curate.images.lanczos import resize_lanczos
from curate.images.lineart import opencv_gray
from curate.images.resample import pillow_luma
from curate.images.square import content_box
from curate.signatures import phash
from curate.signatures.color_grid import color_grid, emptiness
from curate.signatures.strokes import normalized_luma
from curate.signatures.trimming import trim_white_borders


def fast_phash(rgb: np.ndarray) -> str:
    """The hash as extract computes it for the column `phash`."""
    return phash.phash_from_luma32(resize_lanczos(pillow_luma(rgb)))


def test_the_hash_of_every_test_picture_equals_imagehashs(art: Path) -> None:
    for path in sorted(art.glob("*.png")):
        rgb = decode(path.read_bytes()).rgb
        assert fast_phash(rgb) == phash.phash(rgb) == str(imagehash.phash(Image.open(path).convert("RGB")))


@settings(max_examples=30)
@given(arrays(np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70), st.just(3))))
def test_the_hash_of_any_picture_equals_imagehashs(rgb: np.ndarray) -> None:
    assert fast_phash(rgb) == phash.phash(rgb) == str(imagehash.phash(Image.fromarray(rgb)))


def test_the_hash_equals_imagehashs_in_colours_whose_gray_opencv_rounds_differently() -> None:
    green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    colors = np.stack([np.zeros_like(green), green, blue], axis=-1)
    differing = colors[opencv_gray(colors) != np.asarray(Image.fromarray(colors).convert("L"))]
    for seed in range(20):
        rgb = differing[np.random.default_rng(seed).integers(0, len(differing), (32, 32))]
        assert fast_phash(rgb) == str(imagehash.phash(Image.fromarray(rgb)))


def test_white_borders_do_not_change_the_search_hash(art: Path) -> None:
    rgb = decode((art / "1F44B-1F3FD.png").read_bytes()).rgb
    padded = np.pad(rgb, ((30, 5), (0, 60), (0, 0)), constant_values=255)
    assert phash.phash(padded) != phash.phash(rgb)
    assert phash.phash(trim_white_borders(padded)) == phash.phash(trim_white_borders(rgb))


def test_the_colour_signature_is_the_mean_lab_colour_of_each_cell() -> None:
    rgb = np.zeros((80, 80, 3), np.uint8)
    rgb[:40] = (255, 0, 0)
    grid = color_grid(rgb).reshape(8, 8, 3)
    # sRGB red is L 53.24, a 80.09, b 67.20 under D65; black is 0, 0, 0
    np.testing.assert_allclose(grid[0, 0], [53.24, 80.09, 67.20], atol=0.3)
    np.testing.assert_allclose(grid[7, 7], 0, atol=0.1)


def test_a_blank_page_is_empty_and_a_drawing_is_not(art: Path) -> None:
    assert emptiness(np.full((50, 60, 3), 255, np.uint8)) == 1
    assert emptiness(decode((art / "1F600.png").read_bytes()).rgb) < 0.9


def outline(trimmed: np.ndarray) -> str | None:
    plan = normalized_luma(pillow_luma(trimmed))
    return phash.outline_hash(plan, content_box(trimmed.shape[0], trimmed.shape[1], len(plan)))


def test_a_full_bleed_picture_has_no_outline_hash() -> None:
    rgb = np.random.default_rng(0).integers(0, 200, (90, 120, 3), dtype=np.uint8)
    assert outline(rgb) is None


def test_a_recolour_does_not_change_the_outline_hash(art: Path) -> None:
    hashes = {outline(trim_white_borders(decode(path.read_bytes()).rgb)) for path in sorted(art.glob("1F44B-*.png"))}
    assert len(hashes) == 1


def test_a_jpeg_copy_has_nearly_the_same_colour_signature(art: Path) -> None:
    rgb = decode((art / "1F408.png").read_bytes()).rgb
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=60)
    copy = decode(buffer.getvalue()).rgb
    original_grid, copy_grid = (color_grid(trim_white_borders(picture)) for picture in (rgb, copy))
    assert np.linalg.norm((original_grid - copy_grid).reshape(-1, 3), axis=1).max() < 6
