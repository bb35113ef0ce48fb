"""Render SVG as PNG, with the optional `svg` extra. Nothing outside the file is read, and no system font is used."""

from __future__ import annotations

import atexit
import re
import signal
import subprocess
from functools import cache, lru_cache

from curate.images import svg_process
from curate.system.child_process import ChildEndedError, ChildProcess, describe_exit
from curate.system.errors import DecodeError

SVG_SIDE_PX = 1024  # the longer side of the PNG: an SVG has no pixels of its own
_START = re.compile(rb"\s*(?:<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE[^>]*>|\s)*<svg[\s>]", re.DOTALL)
# A reference to another file or place, in an attribute or a style sheet; `#` and `data:` stay inside
_EXTERNAL_REFERENCE = re.compile(
    r"""href\s*=\s*["']\s*(?!["'\s#]|data:)|url\(\s*["']?\s*(?![\s"'#]|data:)|@import""", re.IGNORECASE
)


def is_svg(data: bytes) -> bool:
    """Whether the bytes begin as an SVG document does."""
    return _START.match(data[:4096].removeprefix(b"\xef\xbb\xbf")) is not None


def render_svg(data: bytes, side: int = SVG_SIDE_PX) -> bytes:
    """PNG of an SVG file's bytes, its longer side `side` px, transparent where nothing is drawn.

    Raises DecodeError if the SVG refers to other files or defines entities, and what `render_svg_text` raises.
    """
    text = data.decode("utf-8", "replace")
    if "<!ENTITY" in text:
        raise DecodeError("an SVG with entities is not drawn: they can grow without bound")
    if _EXTERNAL_REFERENCE.search(text):
        raise DecodeError("the SVG refers to another file, which is not read")
    return render_svg_text(text, side)


@lru_cache(maxsize=64)
def render_svg_text(svg: str, side: int, background: str | None = None) -> bytes:
    """PNG of an SVG text, drawn by a child process; recent results are kept.

    Raises DecodeError if the SVG is damaged, if its depth, memory or time ends the child, or if the extra is missing;
    NurieError if no child can be started.
    """
    try:
        import resvg_py  # noqa: F401, PLC0415  # an extra
    except ImportError:
        raise DecodeError("an SVG needs an extra: run `pip install 'nurie[svg]'`") from None
    try:
        answer = _renderer().ask(f"{side}\n{background or ''}\n{svg}".encode())
    except ChildEndedError as error:
        raise DecodeError(f"the SVG cannot be drawn: {_describe_end(error.exit_code)}") from None
    if answer.startswith(svg_process.REFUSED):
        raise DecodeError(f"the SVG cannot be drawn: {answer[1:].decode()}")
    return answer[1:]


def _describe_end(exit_code: int) -> str:
    if exit_code == -signal.SIGXCPU:
        return f"it takes more than {svg_process.MAX_CPU_SECONDS} s"
    return f"it ends the program that draws it ({describe_exit(exit_code)})"


@cache
def _renderer() -> ChildProcess:
    """The child process that draws for this process."""
    child = ChildProcess(svg_process.prepare_renderer, stderr=subprocess.DEVNULL)
    atexit.register(child.close)
    return child
