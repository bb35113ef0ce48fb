import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from curate.images.decode import TooLargeError, decode
from curate.system.errors import DecodeError

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


@pytest.mark.parametrize("name", ["PNG", "WEBP", "GIF", "JPEG", "BMP", "TIFF", "AVIF"])
def test_every_format_is_recognised_by_its_bytes_and_gives_pixels_in_rgb_order(name: str) -> None:
    special: dict[str, dict[str, object]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}
    options = special.get(name, {"quality": 100} if name == "AVIF" else {})
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


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_has_pillows_pixels(subsampling: int, progressive: bool, mode: str, art: Path) -> None:
    for path in sorted(art.glob("*.png"))[:6]:
        image = Image.open(path).convert(mode).crop((3, 5, 300, 418))
        data = saved(image, format="JPEG", quality=80, subsampling=subsampling, progressive=progressive)
        assert np.array_equal(decode(data).rgb, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_colours_hidden_under_transparent_pixels_never_show(mode: str) -> None:
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


def deep_png(pixels: np.ndarray, color_type: int, key: bytes = b"") -> bytes:
    """PNG of 16 bits a channel: (height, width, channels) uint16, with a tRNS chunk if there is a key."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"tRNS", key), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = [(name + data, len(data)) for name, data in chunks if data or name != b"tRNS"]
    body = b"".join(struct.pack(">I", size) + part + struct.pack(">I", zlib.crc32(part)) for part, size in parts)
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("pixel", "color_type", "key", "expected"),
    [
        ((0xFFFF, 0, 0x8000), 2, b"", (255, 0, 128)),
        ((0xFFFF, 0, 0x8000), 2, struct.pack(">HHH", 0xFFFF, 0, 0x8000), (255, 255, 255)),
        ((0x4000,), 0, b"", (64, 64, 64)),
        ((0x4000,), 0, struct.pack(">H", 0x4000), (255, 255, 255)),
        ((0x4000,), 0, struct.pack(">H", 0x4001), (64, 64, 64)),
        ((0x4000, 0), 4, b"", (255, 255, 255)),
        ((0, 0xFFFF, 0, 0), 6, b"", (255, 255, 255)),
        ((0, 0xFFFF, 0, 0xFFFF), 6, b"", (0, 255, 0)),
    ],
)
def test_every_kind_of_sixteen_bit_png_is_reduced_to_eight_bits(
    pixel: tuple[int, ...], color_type: int, key: bytes, expected: tuple[int, ...]
) -> None:
    pixels = np.full((2, 3, len(pixel)), pixel, np.uint16)
    rgb = decode(deep_png(pixels, color_type, key)).rgb
    np.testing.assert_array_equal(rgb, np.broadcast_to(expected, (2, 3, 3)))


def test_a_deep_tiff_keeps_its_shades() -> None:
    for pixels in (
        np.full((2, 2), 0.5, np.float32),
        np.full((2, 2), 127.5, np.float32),
        np.full((2, 2), 32640, np.int32),
    ):
        assert decode(saved(Image.fromarray(pixels), format="TIFF")).rgb[0, 0].tolist() == [127] * 3
    assert decode(cv2.imencode(".tiff", np.full((2, 2, 3), 40000, np.uint16))[1].tobytes()).rgb[0, 0, 0] == 156


def test_the_transparent_colour_of_an_rgb_png_becomes_white() -> None:
    picture = decode(saved(halves(), format="PNG", transparency=RED))
    np.testing.assert_array_equal(picture.rgb[0, 0], (255, 255, 255))
    np.testing.assert_array_equal(picture.rgb[0, -1], BLUE)


def swapped_profile() -> bytes:
    """An ICC profile of RGB whose red primary is blue and whose blue is red, with a linear curve."""
    source = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    table = {
        bytes(source[at : at + 4]): at for at in range(132, 132 + 12 * struct.unpack(">I", source[128:132])[0], 12)
    }
    red, blue = table[b"rXYZ"], table[b"bXYZ"]
    source[red : red + 4], source[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(source).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")).replace(b"sRGB", b"swap")


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_colours_with_an_icc_profile_are_converted_to_srgb(name: str) -> None:
    options = {"quality": 100, "subsampling": 0} if name == "JPEG" else {"lossless": True} if name == "WEBP" else {}
    picture = decode(saved(Image.new("RGB", (8, 8), RED), format=name, icc_profile=swapped_profile(), **options))
    np.testing.assert_allclose(picture.rgb[0, 0], BLUE, atol=3)


def test_a_profile_changes_colours_and_not_transparency() -> None:
    image = Image.new("RGBA", (4, 4), (*RED, 0))
    image.paste((*RED, 255), (0, 0, 2, 4))
    picture = decode(saved(image, format="PNG", icc_profile=swapped_profile()))
    np.testing.assert_allclose(picture.rgb[0, 0], BLUE, atol=3)
    np.testing.assert_array_equal(picture.rgb[0, 3], (255, 255, 255))


@pytest.mark.parametrize("profile", [b"not a profile", bytes(200)])
def test_a_profile_that_is_broken_or_for_another_mode_is_ignored(profile: bytes) -> None:
    assert decode(saved(halves(), format="PNG", icc_profile=profile)).rgb[0, 0].tolist() == list(RED)
    gray = decode(saved(Image.new("L", (4, 4), 100), format="PNG", icc_profile=swapped_profile()))
    assert gray.rgb[0, 0].tolist() == [100] * 3


def test_an_srgb_profile_changes_no_byte() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    np.testing.assert_array_equal(decode(saved(Image.fromarray(pixels), format="PNG", icc_profile=profile)).rgb, pixels)


def cmyk_jpeg(*, ycck: bool) -> bytes:
    """A red of pure inks as Adobe writes it, inverted; with `ycck` the first three channels are luma and chroma."""
    inks = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    if ycck:
        # a decoder gives back C = R(y, cb, cr) after undoing the inversion; Pillow inverts all that it writes
        luma = Image.new("RGB", (1, 1), (0, 255, 255)).convert("YCbCr").getpixel((0, 0))
        inks = Image.new("CMYK", (8, 8), (*(255 - value for value in luma), 0))  # type: ignore[union-attr]
    data = bytearray(saved(inks, format="JPEG", quality=100))
    data[data.index(b"Adobe") + 11] = 2 if ycck else 0  # the transform byte of the Adobe marker
    return bytes(data)


@pytest.mark.parametrize("ycck", [False, True])
def test_cmyk_and_ycck_jpegs_are_converted_to_rgb(ycck: bool) -> None:
    picture = decode(cmyk_jpeg(ycck=ycck))
    assert picture.header.mode == "CMYK"
    np.testing.assert_allclose(picture.rgb[4, 4], RED, atol=6)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_every_mode_is_converted_to_rgb(mode: str) -> None:
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


SVG = b'<?xml version="1.0"?>\n<!-- a flag -->\n<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10">%s</svg>'


def test_an_svg_is_drawn_on_white_at_its_own_aspect() -> None:
    picture = decode(SVG % b'<rect width="10" height="10" fill="red"/>')
    assert picture.header.format == "svg"
    assert picture.rgb.shape == (512, 1024, 3)
    np.testing.assert_array_equal(picture.rgb[256, [100, 900]], [RED, (255, 255, 255)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'<image href="secret.png"/>', "another file"),
        (b"<image xlink:href = ' http://example.org/a.png'/>", "another file"),
        (b"<style>@import 'a.css';</style>", "another file"),
        (b'<rect fill="url(other.svg#a)"/>', "another file"),
        (b"<rect", "cannot be drawn"),
        (b"<!ENTITY a 'b'>", "entities"),
    ],
)
def test_an_svg_that_is_damaged_or_refers_to_other_files_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode(SVG % content)


def test_references_inside_an_svg_are_followed() -> None:
    picture = decode(SVG % b'<defs><g id="a"><rect width="20" height="10" fill="red"/></g></defs><use href="#a"/>')
    np.testing.assert_array_equal(picture.rgb[5, 5], RED)


def test_a_picture_over_the_limit_is_refused_before_it_is_decoded() -> None:
    data = bytearray(saved(halves(), format="PNG"))
    data[16:24] = struct.pack(">II", 60_000, 60_000)  # width and height in the header chunk, which begins at byte 12
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(TooLargeError) as caught:
        decode(bytes(data))
    assert caught.value.header.width == 60_000
    assert decode(saved(halves(), format="PNG"), max_pixels=32).rgb.shape == (4, 8, 3)


PNG = saved(halves(), format="PNG")
JPEG = saved(halves(), format="JPEG")


def test_a_format_that_pillow_gives_to_another_program_is_refused() -> None:
    data = saved(halves(), format="EPS")
    with pytest.raises(DecodeError, match="not a known picture format"):
        decode(data)


def test_corrupt_metadata_is_ignored_without_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    data = saved(halves(), format="JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x09")
    assert decode(data).rgb.shape == (4, 8, 3)  # Pillow would warn of corrupt EXIF data
    assert capfd.readouterr() == ("", "")


def outcome(data: bytes) -> tuple[tuple[int, ...], str]:
    """Shape of the picture and no message, or no shape and the error's message."""
    try:
        return decode(data, max_pixels=1_000_000).rgb.shape, ""
    except DecodeError as error:
        return (), str(error)


@pytest.mark.parametrize("data", [PNG, JPEG])
def test_a_file_cut_anywhere_gives_a_picture_or_a_one_line_error(data: bytes) -> None:
    for length in range(len(data)):
        shape, message = outcome(data[:length])
        assert shape == (4, 8, 3) or message
        assert "0x" not in message
        assert "\n" not in message


@given(st.sampled_from([PNG, JPEG]), st.integers(min_value=0), st.integers(0, 255))
def test_a_file_with_a_changed_byte_gives_a_picture_or_an_error(data: bytes, place: int, value: int) -> None:
    damaged = bytearray(data)
    damaged[place % len(data)] = value
    shape, message = outcome(bytes(damaged))
    assert len(shape) == 3 or message


@given(st.binary(max_size=100))
def test_random_bytes_raise_nothing_but_decode_errors(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)
