"""What the child process that draws SVGs does: some SVGs crash the library that draws them, some take for ever.

Imports nothing else of this package, so that the child starts at once.
"""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.system.child_main import Answer

MAX_CPU_SECONDS = 5  # CPU seconds a drawing, after which the system kills the process: sound ones take some hundredths
MAX_MEMORY_BYTES = 2 << 30  # bytes of address space; 1024 px and their layers take a tenth
DRAWN, REFUSED = b"+", b"-"


def prepare_renderer(_setup: bytes) -> Answer:
    """Limit the memory of this process; returns the function that draws."""
    _limit(resource.RLIMIT_AS, MAX_MEMORY_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    return render_request


def render_request(request: bytes) -> bytes:
    """DRAWN and the PNG, or REFUSED and the reason.

    Three parts, divided by line ends, make a request: the longer side in px, a background colour or nothing, the SVG.
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


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    with suppress(ValueError, OSError):  # a system may have no such limit
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
