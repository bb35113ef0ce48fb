"""Inner loops that no library has, or has slower, compiled by numba when they are first called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """The function as machine code, kept on disk for the next process where there is a place to keep it."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither beside the module nor in a home folder
        return njit(nogil=True)(function)
