"""What can go wrong, told in a line: the base of all errors, what the system lacks, what may reach a terminal."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NurieError(Exception):
    """A fault the user can mend. Its message is one line: what is wrong, and what to do next."""


class DamagedError(NurieError):
    """Stored data is not what its index says it is."""


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


OS_ERROR_REMEDIES = {
    errno.ENOSPC: "make room there or give a folder on another disk",
    errno.EDQUOT: "delete files of yours there or give a folder on another disk",
    errno.EROFS: "give a folder that may be written to",
    errno.EACCES: "change its permissions or give another",
    errno.EPERM: "change its permissions or give another",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f) or give a folder on another disk",
    errno.EMFILE: "raise the limit of open files (ulimit -n) or give fewer --workers",
    errno.EEXIST: "give another name for the folder, or move this file elsewhere",
    errno.ENOTDIR: "give another name for the folder, or move elsewhere the file that stands in its path",
    errno.EIO: "see to the disk, or give a folder on another",
}
"""By the system's number of a fault: what to do before the command is run again."""
NO_INODES = "the disk has room but no inodes, of which each file takes one"


@contextmanager
def explain_system_errors(name: str) -> Iterator[None]:
    """Raise a NurieError for what the system lacks or refuses; `name` is told where the error names no file."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:  # who listens has heard enough
            raise
        raise NurieError(explain_os_error(error, name)) from None
    except MemoryError:
        remedy = "close other programs, or give fewer --workers where there are such, then run this command again"
        raise NurieError(f"{name}: memory ran out: {remedy}") from None


@contextmanager
def explain_stdout_errors() -> Iterator[None]:
    """Print what a command came to; raises NurieError where standard output cannot take it."""
    try:
        with explain_system_errors("standard output"):
            yield
    except NurieError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python would try again at its end, and tell in its own way
        raise


def explain_os_error(error: OSError, name: str) -> str:
    """What an error is of, what is wrong, and what to do next, in one line."""
    where, what = os.fsdecode(error.filename or name), error.strerror or str(error)
    remedy = OS_ERROR_REMEDIES.get(error.errno or 0)
    if error.errno == errno.ENOSPC and (what == NO_INODES or _is_out_of_inodes(Path(where))):
        what, remedy = NO_INODES, "delete files there or give a folder on another disk"
    return f"{where}: {what}: {remedy}, then run this command again" if remedy else f"{where}: {what}"


def _is_out_of_inodes(path: Path) -> bool:
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    found = os.statvfs(there)
    return found.f_files > 0 and found.f_favail == 0


@contextmanager
def note_inode_shortage() -> Iterator[None]:
    """Have an error of a full disk tell whether it is inodes that lack: later, some may have been cleared."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC and error.filename and _is_out_of_inodes(Path(os.fsdecode(error.filename))):
            error.strerror = NO_INODES
        raise


@contextmanager
def name_file_in_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Have an error in writing a file tell which, and whether it is inodes that lack: what it wrote may be cleared."""
    with note_inode_shortage():
        try:
            yield
        except OSError as error:
            if error.errno is not None:
                error.filename = os.fspath(path)
            raise
