"""The child process that draws SVGs: some SVGs crash the drawing library, and some take for ever.

Imports nothing else of this package, so that the child starts at once.
"""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.system.child_main import Answer

MAX_CPU_SECONDS = 5  # per drawing, after which the system kills the process; most take a few hundredths
MAX_MEMORY_BYTES = 2 << 30  # of address space; a drawing of 1024 px with its layers takes a tenth
DRAWN, REFUSED = b"+", b"-"


def prepare_renderer(_setup: bytes) -> Answer:
    """Limit the memory of this process, and return the function that draws."""
    _limit(resource.RLIMIT_AS, MAX_MEMORY_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    return render_request


def render_request(request: bytes) -> bytes:
    """Answer a request: DRAWN and the PNG, or REFUSED and the reason.

    A request has three parts, separated by line ends: the longer side in px, a background colour or nothing, the SVG.
    """
    import resvg_py  # noqa: PLC0415  # an extra

    _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + MAX_CPU_SECONDS)
    side, background, svg = request.decode().split("\n", 2)
    try:
        png: Any = resvg_py.svg_to_bytes(
            svg_string=svg, width=int(side), height=int(side), background=background or None, skip_system_fonts=True
        )
    except ValueError as error:
        return REFUSED + str(error).encode()
    return DRAWN + bytes(png)


def _limit(kind: int, maximum: int) -> None:
    _, hard = resource.getrlimit(kind)
    with suppress(ValueError, OSError):  # a system may have no such limit
        resource.setrlimit(kind, (maximum if hard == resource.RLIM_INFINITY else min(maximum, hard), hard))
