"""SVG -> PNG, by the optional `svg` extra. Nothing outside the file is read, no font of the machine is used."""

from __future__ import annotations

import atexit
import os
import re
import signal
import subprocess
import sys
from functools import cache, lru_cache
from threading import Lock

from curate.images import svg_process
from curate.system.errors import DecodeError

SVG_SIDE_PX = 1024  # px of the longer side: an SVG has no pixels of its own
_START = re.compile(rb"\s*(?:<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE[^>]*>|\s)*<svg[\s>]", re.DOTALL)
# A reference to another file or place, in an attribute or a style sheet; `#` and `data:` stay inside
_EXTERNAL_REFERENCE = re.compile(
    r"""href\s*=\s*["']\s*(?!["'\s#]|data:)|url\(\s*["']?\s*(?![\s"'#]|data:)|@import""", re.IGNORECASE
)
# -P: modules of this package, `select` among them, would be taken for the standard library's
_RENDERER_COMMAND = (sys.executable, "-P", svg_process.__file__)


def is_svg(data: bytes) -> bool:
    """Whether the bytes begin as an SVG document does."""
    return _START.match(data[:4096].removeprefix(b"\xef\xbb\xbf")) is not None


def render_svg(data: bytes, side: int = SVG_SIDE_PX) -> bytes:
    """PNG of an SVG, its longer side `side` px, transparent where nothing is drawn.

    Raises DecodeError for a damaged one, one that refers to other files or defines entities, one that is too much to
    draw, and without the extra.
    """
    text = data.decode("utf-8", "replace")
    if "<!ENTITY" in text:
        raise DecodeError("an SVG with entities is not drawn: they can grow without bound")
    if _EXTERNAL_REFERENCE.search(text):
        raise DecodeError("the SVG refers to another file, which is not read")
    return render_svg_text(text, side)


@lru_cache(maxsize=64)
def render_svg_text(svg: str, side: int, background: str | None = None) -> bytes:
    """PNG of an SVG text, drawn by another process; equal ones are drawn once.

    Raises DecodeError if it is damaged, or ends that process: by its depth, its memory, or seconds of work.
    """
    try:
        import resvg_py  # noqa: F401, PLC0415  # an extra
    except ImportError:
        raise DecodeError("an SVG needs an extra: run `pip install 'nurie[svg]'`") from None
    told = _shared_renderer().render(f"{side}\n{background or ''}\n{svg}".encode())
    if told.startswith(svg_process.REFUSED):
        raise DecodeError(f"the SVG cannot be drawn: {told[1:].decode()}")
    return told[1:]


class _Renderer:
    """A process that draws, started anew when a drawing has ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()  # a worker of a cluster may have threads

    def render(self, told: bytes) -> bytes:
        with self._lock:
            process = self._process = self._process or self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                svg_process.send(process.stdin, told)
                return svg_process.receive(process.stdout)
            except (EOFError, OSError):
                raise DecodeError(f"the SVG cannot be drawn: {_ending(self.close())}") from None

    def close(self) -> int:
        """End the process; returns its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.communicate()  # closes the pipes, at which it ends
        return process.returncode

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        known = os.pathsep.join(path or os.curdir for path in sys.path)  # it finds the extra where it is found here
        return subprocess.Popen(  # noqa: S603  # our own program
            _RENDERER_COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": known},
        )


def _ending(code: int) -> str:
    if code == -signal.SIGXCPU:
        return f"it takes more than {svg_process.MAX_CPU_SECONDS} s"
    return f"it ends the program that draws it ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"


@cache
def _shared_renderer() -> _Renderer:
    one = _Renderer()
    atexit.register(one.close)
    return one
