"""What can go wrong while training, under `NurieError`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from curate.system.errors import OS_ERROR_REMEDIES, NurieError

__all__ = [
    "RESHARD_REMEDY",
    "ConfigError",
    "DrawingError",
    "NotFiniteError",
    "NurieError",
    "RunError",
    "TagError",
    "translate_tensorflow_errors",
]

RESHARD_REMEDY = "run `curate verify` on them, and `curate shard` again"
"""What to do with shards that hold what they cannot."""


class ConfigError(NurieError):
    """A setting that is not one, or does not fit."""


class RunError(NurieError):
    """A run folder is not in the state a command needs."""


class NotFiniteError(RunError):
    """A number of a training is NaN or infinite."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"{what} is not a finite number at step {step}")
        self.step, self.what = step, what


class TagError(NurieError):
    """A tag the model never learned."""


class DrawingError(NurieError):
    """A line drawing that cannot be read."""


@contextmanager
def translate_tensorflow_errors() -> Iterator[None]:
    """Raise an OSError where TensorFlow could not write a file, for a full disk say, which it tells in text alone."""
    try:
        yield
    except Exception as error:
        ours = type(error).__module__.startswith("tensorflow.")
        for number in OS_ERROR_REMEDIES if ours else ():
            if os.strerror(number) in str(error):
                raise OSError(number, os.strerror(number)) from None
        raise
