"""Text for people: invisible characters spelled out, and sizes with units. Standard library only."""

from __future__ import annotations

import json
import unicodedata

JOINERS = "\u200c\u200d"  # zero-width, but they hold emoji and Persian words together
BYTE_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def escape_unprintable(text: str) -> str:
    r"""Return the text on one line, with every invisible character spelled as a JSON escape.

    File names and tags come from strangers. Control characters would move a terminal's cursor, direction marks would
    reorder a line, and lone surrogates cannot be encoded. Escaping JSON text keeps its meaning. Spaces of every width,
    joiners and everything visible stay as they are.

    >>> escape_unprintable("a\x1b[2J\n.png")
    'a\\u001b[2J\\n.png'
    """
    if text.isprintable():
        return text
    return text.translate({ord(one): json.dumps(one)[1:-1] for one in set(text) if not _is_harmless(one)})


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character in JOINERS or unicodedata.category(character) == "Zs"


def format_bytes(count: int) -> str:
    """Return a number of bytes in the largest decimal unit that it fills.

    >>> format_bytes(999), format_bytes(20_500), format_bytes(3_200_000_000)
    ('999 B', '20.5 kB', '3.2 GB')
    """
    for scale, unit in BYTE_UNITS:
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count} B"
