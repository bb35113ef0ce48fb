"""What can go wrong while curating, as a tree under `NurieError`."""

from __future__ import annotations

from curate.faults import DamagedError, NurieError

__all__ = [
    "DamagedError",
    "DatasetError",
    "DecodeError",
    "MissingExtraError",
    "NurieError",
    "RecipeError",
    "SidecarError",
    "SourceError",
]


class SourceError(NurieError):
    """A source folder cannot be used as asked."""


class DatasetError(NurieError):
    """A dataset folder is not in the state a stage needs."""


class DecodeError(NurieError):
    """A file's bytes are not a picture that can be read; costs that one file."""


class RecipeError(NurieError):
    """A recipe says what no stage understands."""


class SidecarError(NurieError):
    """A tag file cannot be read; costs that picture its tags, nothing else."""


class MissingExtraError(NurieError):
    """A feature needs packages of an optional extra."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra: run `pip install 'nurie[{extra}]'`")
        self.feature, self.extra = feature, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """What a worker's error is made of again in the process that gave it the task."""
        return MissingExtraError, (self.feature, self.extra)
