import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curate.decode import TooLargeError, decode
from curate.errors import DecodeError

RED, BLUE = (255, 0, 0), (0, 0, 255)


def saved(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def halves(mode: str = "RGB") -> Image.Image:
    """8 wide, 4 high: red left, blue right."""
    image = Image.new("RGB", (8, 4), RED)
    image.paste(BLUE, (4, 0, 8, 4))
    return image.convert(mode)


@pytest.mark.parametrize("name", ["PNG", "WEBP", "GIF", "JPEG"])
def test_every_format_gives_its_pixels_in_rgb_order(name: str) -> None:
    options = {"quality": 95, "subsampling": 0} if name == "JPEG" else {"lossless": True} if name == "WEBP" else {}
    picture = decode(saved(halves(), format=name, **options))
    assert picture.rgb.shape == (4, 8, 3)
    assert picture.header.format == name.lower()
    np.testing.assert_allclose(picture.rgb[:, 0], [RED] * 4, atol=8)
    np.testing.assert_allclose(picture.rgb[:, -1], [BLUE] * 4, atol=8)


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, lambda a: np.fliplr(np.rot90(a, -1))),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.fliplr(np.rot90(a))),
        (8, np.rot90),
    ],
)
def test_exif_orientation_is_applied(orientation: int, undo: Callable[[np.ndarray], np.ndarray]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    picture = decode(saved(Image.fromarray(pixels), format="PNG", exif=exif))
    np.testing.assert_array_equal(picture.rgb, undo(pixels))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_hidden_colour_under_alpha_never_shows(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (10, 200, 30, 0))
    if mode == "P":
        palette = Image.new("P", (4, 4), 1)
        palette.putpalette([0, 0, 0, 10, 200, 30])
        data = saved(palette, format="PNG", transparency=1)
    elif mode == "PA":
        data = saved(image.quantize(4), format="PNG")
    else:
        data = saved(image.convert(mode), format="PNG")
    assert (decode(data).rgb == 255).all()


def test_half_transparent_ink_is_half_way_to_white() -> None:
    picture = decode(saved(Image.new("RGBA", (2, 2), (0, 0, 0, 128)), format="PNG"))
    np.testing.assert_allclose(picture.rgb, 127, atol=1)


def test_sixteen_bit_gray_keeps_its_shades() -> None:
    shades = np.array([[0, 0x4000, 0x8000, 0xFFFF]], np.uint16)
    for name in ("PNG", "TIFF"):
        picture = decode(saved(Image.fromarray(shades), format=name))
        assert picture.rgb[0, :, 0].tolist() == [0, 0x40, 0x80, 0xFF]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_every_mode_comes_out_in_rgb(mode: str) -> None:
    name = {"CMYK": "TIFF", "YCbCr": "TIFF"}.get(mode, "PNG")
    pixels = decode(saved(halves("L").convert("RGB").convert(mode), format=name)).rgb
    assert pixels.shape == (4, 8, 3)
    np.testing.assert_allclose(pixels, np.asarray(halves("L").convert("RGB").convert(mode).convert("RGB")), atol=1)


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(name: str) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in (RED, BLUE)]
    options = {"lossless": True} if name == "WEBP" else {}
    picture = decode(saved(frames[0], format=name, save_all=True, append_images=frames[1:], **options))
    assert picture.header.frames == 2
    np.testing.assert_array_equal(picture.rgb[0, 0], RED)


def test_a_picture_over_the_limit_is_refused_before_it_is_decoded() -> None:
    data = bytearray(saved(halves(), format="PNG"))
    data[16:24] = struct.pack(">II", 60_000, 60_000)  # width and height in the header chunk, which begins at byte 12
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(TooLargeError) as caught:
        decode(bytes(data))
    assert caught.value.header.width == 60_000
    assert decode(saved(halves(), format="PNG"), max_pixels=32).rgb.shape == (4, 8, 3)


def test_a_file_is_what_its_bytes_are() -> None:
    assert decode(saved(halves(), format="PNG")).header.format == "png"  # no name is asked


PNG = saved(halves(), format="PNG")
JPEG = saved(halves(), format="JPEG")


def test_a_format_that_another_program_would_draw_is_refused() -> None:
    data = saved(halves(), format="EPS")
    with pytest.raises(DecodeError, match="not a known picture format"):
        decode(data)


def test_a_flaw_beside_the_pixels_costs_nothing_and_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    data = saved(halves(), format="JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x09")
    assert decode(data).rgb.shape == (4, 8, 3)  # Pillow warns of corrupt EXIF data
    assert capfd.readouterr() == ("", "")


def outcome(data: bytes) -> tuple[tuple[int, ...], str]:
    """Shape of the picture, or what the error says of it."""
    try:
        return decode(data, max_pixels=1_000_000).rgb.shape, ""
    except DecodeError as error:
        return (), str(error)


@pytest.mark.parametrize("data", [PNG, JPEG])
def test_a_file_cut_anywhere_is_an_error_or_a_picture(data: bytes) -> None:
    for length in range(len(data)):
        shape, told = outcome(data[:length])
        assert shape == (4, 8, 3) or told
        assert "0x" not in told
        assert "\n" not in told


@given(st.sampled_from([PNG, JPEG]), st.integers(min_value=0), st.integers(0, 255))
def test_a_flipped_byte_is_an_error_or_a_picture(data: bytes, place: int, value: int) -> None:
    damaged = bytearray(data)
    damaged[place % len(data)] = value
    shape, told = outcome(bytes(damaged))
    assert len(shape) == 3 or told


@given(st.binary(max_size=100))
def test_no_bytes_make_the_decoder_fail_otherwise(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)
