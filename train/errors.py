"""The errors of `train`. Each carries a message of one line: what is wrong, where, and what to do.

NurieError
├── ConfigError
├── RunError
│   └── NotFiniteError
├── TagError
└── DrawingError
"""

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
"""What to do if shards match their index and still hold something invalid."""


class ConfigError(NurieError):
    """A setting is unknown, has a value out of range, or does not fit the others."""


class RunError(NurieError):
    """A run folder, or the shards it trains on, is not in the state that a command needs."""


class NotFiniteError(RunError):
    """A figure or a variable of a training is NaN or infinite at a step."""

    def __init__(self, step: int, name: str) -> None:
        super().__init__(f"{name} is not a finite number at step {step}")
        self.step, self.name = step, name


class TagError(NurieError):
    """A tag is not in the model's vocabulary."""


class DrawingError(NurieError):
    """A line drawing cannot be read."""


@contextmanager
def translate_tensorflow_errors() -> Iterator[None]:
    """Raise an OSError in place of TensorFlow's own error if it could not write a file, because the disk is full, say.

    TensorFlow states the system's error only in its text.
    """
    try:
        yield
    except Exception as error:
        is_tensorflows = type(error).__module__.startswith("tensorflow.")
        for number in OS_ERROR_REMEDIES if is_tensorflows else ():
            if os.strerror(number) in str(error):
                raise OSError(number, os.strerror(number)) from None
        raise
