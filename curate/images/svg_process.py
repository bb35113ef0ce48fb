"""A program that draws SVGs, apart from the one that asks: some end the process that draws them, some take for ever.

It imports nothing of this package, so that it starts at once. Every message is its length as four bytes, then itself.
"""

from __future__ import annotations

import resource
import struct
import sys
import time
from contextlib import suppress
from typing import IO, Any

MAX_CPU_SECONDS = 5  # of CPU time a drawing, after which the system ends the process: honest ones take some hundredths
MAX_MEMORY_BYTES = 2 << 30  # bytes of address space; 1024 px and their layers take a tenth
LENGTH = struct.Struct("<I")
DRAWN, REFUSED = b"+", b"-"


def send(stream: IO[bytes], message: bytes) -> None:
    """Write one message."""
    stream.write(LENGTH.pack(len(message)) + message)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes:
    """Read one message. Raises EOFError where the other side is gone."""
    head = stream.read(LENGTH.size)
    message = stream.read(*LENGTH.unpack(head)) if len(head) == LENGTH.size else b""
    if len(head) < LENGTH.size or len(message) < LENGTH.unpack(head)[0]:
        raise EOFError
    return message


def render_request(told: bytes) -> bytes:
    """DRAWN and the PNG of an SVG, or REFUSED and why; told is the side in px, a background or none, and the text."""
    import resvg_py  # noqa: PLC0415  # an extra

    side, background, svg = told.decode().split("\n", 2)
    try:
        drawn: Any = resvg_py.svg_to_bytes(
            svg_string=svg, width=int(side), height=int(side), background=background or None, skip_system_fonts=True
        )
    except ValueError as error:
        return REFUSED + str(error).encode()
    return DRAWN + bytes(drawn)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    with suppress(ValueError, OSError):  # a system may have no such limit
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main() -> None:
    """Draw what comes in until nothing does any more."""
    _limit(resource.RLIMIT_AS, MAX_MEMORY_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    while True:
        try:
            told = receive(sys.stdin.buffer)
        except EOFError:
            return
        _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + MAX_CPU_SECONDS)
        send(sys.stdout.buffer, render_request(told))


if __name__ == "__main__":
    main()
