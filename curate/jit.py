"""Compilation of inner loops with numba, for loops that no library has or that libraries run slower."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """Decorate a function to run as machine code, compiled at its first call and cached on disk where possible."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no writable cache folder beside the module or in the home folder
        return njit(nogil=True)(function)
