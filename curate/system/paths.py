"""How file names are recorded as text, and which recorded names are safe to open."""

from __future__ import annotations

import os
import unicodedata


def recorded_path(name: str) -> str:
    """Return a path as records store it: NFC text, with bytes that are not UTF-8 as backslash escapes."""
    return nfc_text(os.fsencode(name))


def nfc_text(raw: bytes) -> str:
    """Return the bytes of a file name as NFC text; bytes that are not UTF-8 become backslash escapes."""
    return unicodedata.normalize("NFC", raw.decode("utf-8", "backslashreplace"))


def is_safe_relative_path(name: str) -> bool:
    """Whether a relative POSIX path stays below its folder: no empty, `.` or `..` part, none over 255 bytes, no NUL."""
    try:
        raw = name.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    parts = raw.split(b"/")
    return b"\0" not in raw and not any(part in {b"", b".", b".."} or len(part) > 255 for part in parts)
