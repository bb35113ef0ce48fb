"""What can go wrong while training, under `NurieError`."""

from __future__ import annotations

from curate.contract import NurieError

__all__ = ["ConfigError", "NotFiniteError", "NurieError", "PictureError", "RunError", "TagError"]


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


class PictureError(NurieError):
    """A line drawing that cannot be read."""
