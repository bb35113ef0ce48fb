"""One set of file operations for local folders and for object stores, for example s3://bucket/art.

A missing file raises FileNotFoundError and costs only that file. A store that does not answer or denies access raises
NurieError and ends the run, which continues when it is started again. The store's files stay as they are.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from curate.system.errors import MissingExtraError, NurieError, SourceError
from curate.system.files import atomic_write
from curate.system.hashing import READ_BUFFER_BYTES

MAX_FILE_BYTES = 2 << 30  # larger files are not read; 200 megapixels of uncompressed 16-bit RGBA are smaller
STAGING_FOLDER = ".staging"
"""Folder below a dataset or shards in a store, through which the workers of a run exchange files."""
NOT_REGULAR = "not a regular file"
# not signs of a failing store; other errors may be, and every store has classes of its own
PASSED_ON = (AssertionError, AttributeError, MemoryError, NameError, TypeError)


@dataclass(frozen=True)
class FolderEntry:
    """A file or folder in a folder. Only folders are marked as links; `size` is in bytes, None if not listed."""

    name: str
    is_folder: bool
    is_link: bool
    size: int | None


def parse_address(address: str) -> Path:
    """Return a Path for a local folder or a file:// address, otherwise a universal_pathlib.UPath.

    Raises MissingExtraError without the extra, and SourceError for an address that no installed package can read.
    """
    if "://" not in address:
        return Path(address)
    try:
        from upath import UPath  # noqa: PLC0415  # an extra
    except ImportError:
        raise MissingExtraError(f"reading {address}", "s3") from None
    if "//" in address.partition("://")[2].strip("/"):  # UPath and stores disagree about its meaning
        raise SourceError(f"{address} contains a folder without a name: write / once")
    try:
        place = UPath(address, use_listings_cache=False)
        place.fs  # noqa: B018  # created at first access
    except (ImportError, ValueError) as error:
        raise SourceError(
            f"{address} cannot be read ({error}): install what reads it, or mount it as a folder"
        ) from None
    return Path(place.path) if place.protocol in {"file", "local"} else cast("Path", place)


def is_remote(path: Path) -> bool:
    """Whether a path is in a store."""
    return not isinstance(cast("object", path), Path)


@contextmanager
def _store_errors_explained(path: Path, done: str = "read") -> Iterator[None]:
    """Turn errors of a failing store into NurieError. Does nothing for local paths.

    When reading, FileNotFoundError and IsADirectoryError pass, as for a local folder.
    """
    try:
        yield
    except PASSED_ON:
        raise
    except Exception as error:
        missing = done == "read" and isinstance(error, FileNotFoundError | IsADirectoryError)
        if missing or not is_remote(path):
            raise
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        remedy = "check that its store answers, then run this command again, which goes on"
        raise NurieError(f"{path} cannot be {done} now ({reason}): {remedy}") from None


def is_folder(path: Path) -> bool:
    """Whether the path is a folder."""
    with _store_errors_explained(path):
        return path.is_dir()


def exists(path: Path) -> bool:
    """Whether the path exists; so does a broken link."""
    if not is_remote(path):
        return os.path.lexists(path)
    with _store_errors_explained(path):
        return path.exists()


def is_regular_file(path: Path) -> bool:
    """Whether a listed name is a regular file. Opening a FIFO would wait for ever."""
    return is_remote(path) or path.is_file()


def list_folder(folder: Path) -> list[FolderEntry]:
    """Return the entries of a folder, sorted by the bytes of their names. Raises NurieError if its store fails."""
    entries = _list_remote(folder) if is_remote(folder) else _list_local(folder)
    return sorted(entries, key=lambda entry: os.fsencode(entry.name))


def _list_local(folder: Path) -> list[FolderEntry]:
    with os.scandir(folder) as listing:
        entries = [(entry, _is_folder(entry)) for entry in listing]
    return [FolderEntry(entry.name, is_dir, is_dir and entry.is_symlink(), None) for entry, is_dir in entries]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder. A link to itself counts as an unreadable file."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _list_remote(folder: Any) -> list[FolderEntry]:
    with _store_errors_explained(folder):
        listing = folder.fs.ls(folder.path, detail=True)
    entries = [(str(entry["name"]).strip("/"), entry) for entry in listing]
    return [
        FolderEntry(path.rpartition("/")[2], entry["type"] == "directory", is_link=False, size=entry.get("size"))
        for path, entry in entries
        if path and path != folder.path.strip("/")  # a store may list a marker of the folder itself
    ]


def read_bytes(path: Path, max_bytes: int = MAX_FILE_BYTES, listed_size: int | None = None) -> bytes:
    """Return a file's bytes. Raises OSError if it is unreadable or too large, NurieError if its store fails.

    `listed_size` is the size in bytes from the store's listing, if known: a file that is too large is not fetched.
    """
    if is_remote(path):
        with _store_errors_explained(path):
            data = path.read_bytes() if (listed_size or 0) <= max_bytes else b""
    else:
        with _open_regular(path) as file:
            listed_size = os.fstat(file.fileno()).st_size  # the file may grow while it is read
            data = file.read(listed_size + 1) if listed_size <= max_bytes else b""
    if max(listed_size or 0, len(data)) > max_bytes:
        raise OSError(f"the file has more than {max_bytes:,} bytes: no more is read of one")
    return data


def file_sizes(folder: Path, names: Collection[str]) -> dict[str, int]:
    """Return the size in bytes of each named file that exists below a folder. Raises like read_bytes."""
    if not is_remote(folder):
        return {name: (folder / name).stat().st_size for name in names if (folder / name).is_file()}
    place: Any = folder
    prefix = len(place.path.strip("/")) + 1
    with _store_errors_explained(folder), suppress(FileNotFoundError):
        listing = place.fs.find(place.path, detail=True)
        by_name = {str(path).strip("/")[prefix:]: (path, info.get("size")) for path, info in listing.items()}
        listed = {name: by_name[name] for name in names if name in by_name}
        # the listing of a web server has no sizes
        return {name: place.fs.size(path) if size is None else size for name, (path, size) in listed.items()}
    return {}


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a small file atomically. Raises NurieError if its store fails, OSError if the disk does."""
    if not is_remote(path):
        with atomic_write(path) as file:
            file.write(data)
        return
    with _store_errors_explained(path, "written"):
        path.write_bytes(data)


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that is written like atomic_write does; to a store, in one piece when the block succeeds."""
    if not is_remote(path):
        with atomic_write(path) as file:
            yield file
        return
    buffer = io.BytesIO()
    yield buffer
    write_bytes(path, buffer.getbuffer())


def download(source: Path, path: Path) -> None:
    """Copy a store's file to a local path. Raises like open_file, and OSError if the disk fails."""
    with open_file(source) as data, atomic_write(path) as file:
        shutil.copyfileobj(data, file, READ_BUFFER_BYTES)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex. Raises like open_file."""
    with open_file(path) as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def file_size(path: Path) -> int:
    """Return the size of a file in bytes. Raises like open_file."""
    if not is_remote(path):
        return path.stat().st_size
    place: Any = path
    with _store_errors_explained(path):
        return int(place.fs.size(place.path))


def make_folder(folder: Path) -> None:
    """Make a local folder unless it exists; stores have no folders."""
    if not is_remote(folder):
        folder.mkdir(exist_ok=True)


def delete_folder(folder: Path) -> None:
    """Delete a folder and its contents: locally as far as possible, in a store completely, else NurieError."""
    if not is_remote(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    place: Any = folder
    with _store_errors_explained(folder, "deleted"), suppress(FileNotFoundError):
        place.fs.rm(place.path, recursive=True)


def upload(source: Path, path: Path, on_bytes: Callable[[int], None]) -> None:
    """Copy a local file to a store; `on_bytes` gets the bytes sent so far. Raises NurieError if either fails."""
    from fsspec.callbacks import Callback  # noqa: PLC0415  # an extra

    place: Any = path
    with _store_errors_explained(path, "written"):
        callback = Callback(hooks={"sent": lambda _size, value: on_bytes(value)})
        place.fs.put_file(str(source), place.path, callback=callback)


def delete_file(path: Path) -> None:
    """Delete a file if it exists. Raises like write_bytes."""
    with _store_errors_explained(path, "deleted"), suppress(FileNotFoundError):
        path.unlink()


def open_file(path: Path) -> io.BufferedReader:
    """Open a file for reading and seeking. Raises like read_bytes, also while reading."""
    if not is_remote(path):
        return _open_regular(path)
    with _store_errors_explained(path):
        return io.BufferedReader(_StoreStream(path, path.open("rb")))


def _open_regular(path: Path) -> io.BufferedReader:
    """Open a local file; never a device, and without waiting should a FIFO replace the file at the last moment."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(NOT_REGULAR)
    file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: PTH123, SIM115  # the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(NOT_REGULAR)
    return file


class _StoreStream(io.RawIOBase):
    """A file in a store; its read errors become NurieError."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _store_errors_explained(self._path):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()
