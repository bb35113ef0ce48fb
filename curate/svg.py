"""SVG -> PNG, by the optional `svg` extra. Nothing outside the file is read, no font of the machine is used."""

from __future__ import annotations

import re
from functools import lru_cache

from curate.errors import DecodeError

SIDE = 1024  # px of the longer side: an SVG has no pixels of its own
_START = re.compile(rb"\s*(?:<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE[^>]*>|\s)*<svg[\s>]", re.DOTALL)
# A reference to another file or place, in an attribute or a style sheet; `#` and `data:` stay inside
_OUTSIDE = re.compile(
    r"""href\s*=\s*["']\s*(?!["'\s#]|data:)|url\(\s*["']?\s*(?![\s"'#]|data:)|@import""", re.IGNORECASE
)


def is_svg(data: bytes) -> bool:
    """Whether the bytes begin as an SVG document does."""
    return _START.match(data[:4096].removeprefix(b"\xef\xbb\xbf")) is not None


def png(data: bytes, side: int = SIDE) -> bytes:
    """PNG of an SVG, its longer side `side` px, transparent where nothing is drawn.

    Raises DecodeError for a damaged one, one that refers to other files or defines entities, and without the extra.
    """
    text = data.decode("utf-8", "replace")
    if "<!ENTITY" in text:
        raise DecodeError("an SVG with entities is not drawn: they can grow without bound")
    if _OUTSIDE.search(text):
        raise DecodeError("the SVG refers to another file, which is not read")
    return draw(text, side)


@lru_cache(maxsize=64)
def draw(svg: str, side: int, background: str | None = None) -> bytes:
    """PNG of an SVG text that is trusted; equal ones are drawn once. Raises DecodeError if it is damaged."""
    try:
        import resvg_py  # noqa: PLC0415  # an extra
    except ImportError:
        raise DecodeError("an SVG needs an extra: run `pip install 'nurie[svg]'`") from None
    try:
        drawn = resvg_py.svg_to_bytes(
            svg_string=svg, width=side, height=side, background=background, skip_system_fonts=True
        )
    except ValueError as error:
        raise DecodeError(f"the SVG cannot be drawn: {error}") from None
    return bytes(drawn)
