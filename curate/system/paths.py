"""How file names are stored as text, and which stored names are safe to follow. Standard library only."""

from __future__ import annotations

import os
import unicodedata


def recorded_path(name: str) -> str:
    """A path as records store it: NFC text, with bytes that are not UTF-8 written as backslash escapes."""
    return nfc_text(os.fsencode(name))


def nfc_text(raw: bytes) -> str:
    """The bytes of a file name as NFC text; bytes that are not UTF-8 become backslash escapes."""
    return unicodedata.normalize("NFC", raw.decode("utf-8", "backslashreplace"))


def is_safe_relative_path(name: str) -> bool:
    """Whether a POSIX path can only lead to something below the folder that it starts from."""
    try:
        raw = name.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    parts = raw.split(b"/")
    return b"\0" not in raw and not any(part in {b"", b".", b".."} or len(part) > 255 for part in parts)
