"""The error classes of `curate`, and one-line messages for errors of the operating system.

NurieError                    the user can fix it; every command prints it as one line and exits with 1
├── DamagedError              stored data has changed since it was written
├── DatasetError              a dataset folder is not ready for a stage
├── DecodeError               a file is not a readable picture; costs only that file
├── MissingExtraError         an optional package is not installed
├── RecipeError               a recipe contains something no stage understands
├── SidecarError              a tag file is not readable; costs only that picture's tags
└── SourceError               a source folder cannot be used
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NurieError(Exception):
    """An error the user can fix. Its message is one line: what is wrong, where, and what to do."""

    option: str | None = None
    """Name of the command-line option or argument that the error is about, without dashes; see `blame_option`."""


class DamagedError(NurieError):
    """Stored data is not what its index or seal says."""


class SourceError(NurieError):
    """A source folder cannot be used as requested."""


class DatasetError(NurieError):
    """A dataset folder is not in the state that a stage needs."""


class DecodeError(NurieError):
    """A file is not a readable picture. The file is dropped, the run continues."""


class RecipeError(NurieError):
    """A recipe contains something that no stage understands."""


class SidecarError(NurieError):
    """A tag file is not readable. The picture loses its tags, the run continues."""


class MissingExtraError(NurieError):
    """A feature needs an optional extra; the message says which to install."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra: run `pip install 'nurie[{extra}]'`")
        self.feature, self.extra = feature, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """Pickle by arguments: by default, an exception is rebuilt from its message."""
        return MissingExtraError, (self.feature, self.extra)


@contextmanager
def blame_option(name: str) -> Iterator[None]:
    """Set `option` of a NurieError that the block raises, unless it has one already."""
    try:
        yield
    except NurieError as error:
        error.option = error.option or name
        raise


OS_ERROR_REMEDIES = {
    errno.ENOSPC: "make room there or give a folder on another disk",
    errno.EDQUOT: "delete some of your files there or give a folder on another disk",
    errno.EROFS: "give a folder that may be written to",
    errno.EACCES: "change its permissions or give another",
    errno.EPERM: "change its permissions or give another",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f) or give a folder on another disk",
    errno.EMFILE: "raise the limit of open files (ulimit -n) or give fewer --workers",
    errno.EEXIST: "give another name for the folder, or move this file elsewhere",
    errno.ENOTDIR: "give another name for the folder, or move the file in its path elsewhere",
    errno.EIO: "check the disk, or give a folder on another one",
}
"""What to do before running the command again, by errno."""
NO_INODES = "the disk has room but no inodes, of which each file takes one"


@contextmanager
def explain_system_errors(name: str) -> Iterator[None]:
    """Turn OSError and MemoryError in the block into NurieError; `name` is used if the error names no file."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of our output closed the pipe
            raise
        raise NurieError(explain_os_error(error, name)) from None
    except MemoryError:
        remedy = "close other programs, or give fewer --workers if there is that option, then run this command again"
        raise NurieError(f"{name}: memory ran out: {remedy}") from None


@contextmanager
def explain_stdout_errors() -> Iterator[None]:
    """Turn a failure to print in the block into NurieError, for example if standard output is a file on a full disk."""
    try:
        with explain_system_errors("standard output"):
            yield
    except NurieError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes again on exit and would print a traceback
        raise


def explain_os_error(error: OSError, name: str) -> str:
    """Return one line: which file, what is wrong, and what to do. `name` is used if the error names no file."""
    where, what = os.fsdecode(error.filename or name), error.strerror or str(error)
    remedy = OS_ERROR_REMEDIES.get(error.errno or 0)
    if error.errno == errno.ENOSPC and (what == NO_INODES or _is_out_of_inodes(Path(where))):
        what, remedy = NO_INODES, "delete files there or give a folder on another disk"
    return f"{where}: {what}: {remedy}, then run this command again" if remedy else f"{where}: {what}"


def _is_out_of_inodes(path: Path) -> bool:
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    filesystem = os.statvfs(existing)
    return filesystem.f_files > 0 and filesystem.f_favail == 0


@contextmanager
def note_inode_shortage() -> Iterator[None]:
    """Mark a disk-full error that is really a lack of inodes, before cleaning up frees some."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC and error.filename and _is_out_of_inodes(Path(os.fsdecode(error.filename))):
            error.strerror = NO_INODES
        raise


@contextmanager
def name_file_in_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name `path` in an OSError raised while writing it, and mark a lack of inodes as note_inode_shortage does."""
    with note_inode_shortage():
        try:
            yield
        except OSError as error:
            if error.errno is not None:
                error.filename = os.fspath(path)
            raise
