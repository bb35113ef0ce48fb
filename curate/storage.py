"""Where pictures lie, and copies of what is made of them: folders of this host, or of a store, as s3://bucket/art.

A file that is not there costs that one file. A store that does not answer, or lets nobody in, costs the run, which goes
on later: its files are as good as before.
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
from curate.system.hashing import READ_BUFFER_BYTES, sha256_file

MAX_FILE_BYTES = 2 << 30  # bytes of a file that is read: 200 megapixels of 16-bit RGBA, not packed, are less
STAGING_FOLDER = ".staging"
"""Below a dataset or shards in a store: what passes between the workers of a run, and nobody else reads."""
NOT_REGULAR = "not a regular file"


@dataclass(frozen=True)
class FolderEntry:
    """What a folder holds. `link` is of folders alone; `size`, in bytes, of files whose listing tells it."""

    name: str
    is_folder: bool
    is_link: bool
    size: int | None


def parse_address(address: str) -> Path:
    """A local folder, as of file:// too, or a universal_pathlib.UPath, which is walked and read in the same way.

    Raises MissingExtraError, or SourceError for an address of a kind that nothing here can read.
    """
    if "://" not in address:
        return Path(address)
    try:
        from upath import UPath  # noqa: PLC0415  # an extra
    except ImportError:
        raise MissingExtraError(f"reading {address}", "s3") from None
    if "//" in address.partition("://")[2].strip("/"):  # UPath and stores do not agree on what that is
        raise SourceError(f"{address} names a folder without a name: write / once")
    try:
        place = UPath(address, use_listings_cache=False)
        place.fs  # noqa: B018  # it is made when first asked for
    except (ImportError, ValueError) as error:
        raise SourceError(
            f"{address} cannot be read ({error}): install what reads it, or mount it as a folder"
        ) from None
    return Path(place.path) if place.protocol in {"file", "local"} else cast("Path", place)


def is_remote(path: Path) -> bool:
    """Whether it lies in a store."""
    return not isinstance(cast("object", path), Path)


@contextmanager
def _store_errors_explained(path: Path, done: str = "read") -> Iterator[None]:
    """Of a store that fails: a NurieError. What is not there is FileNotFoundError, as of a local folder."""
    try:
        yield
    except Exception as error:  # each store has errors of its own
        if done == "read" and isinstance(error, FileNotFoundError | IsADirectoryError):
            raise
        told = f"{path} cannot be {done} now ({type(error).__name__}: {next(iter(str(error).splitlines()), '')})"
        raise NurieError(f"{told}: see that its store answers, then run this command again, which goes on") from None


def is_folder(path: Path) -> bool:
    """Whether there is a folder."""
    if not is_remote(path):
        return path.is_dir()
    with _store_errors_explained(path):
        return path.is_dir()


def exists(path: Path) -> bool:
    """Whether a name is there, be it a link to nowhere."""
    if not is_remote(path):
        return os.path.lexists(path)
    with _store_errors_explained(path):
        return path.exists()


def is_regular_file(path: Path) -> bool:
    """Whether a name found in a folder is a file that can be read to its end; opening a FIFO would wait for ever."""
    return is_remote(path) or path.is_file()


def list_folder(folder: Path) -> list[FolderEntry]:
    """What a folder holds, by the names' bytes. Raises NurieError if its store fails."""
    found = _list_remote(folder) if is_remote(folder) else _list_local(folder)
    return sorted(found, key=lambda entry: os.fsencode(entry.name))


def _list_local(folder: Path) -> list[FolderEntry]:
    with os.scandir(folder) as found:
        folders = [(one, _is_folder(one)) for one in found]
    return [FolderEntry(one.name, folder, folder and one.is_symlink(), None) for one, folder in folders]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A link that leads to itself is a file that cannot be read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _list_remote(folder: Any) -> list[FolderEntry]:
    with _store_errors_explained(folder):
        found = folder.fs.ls(folder.path, detail=True)
    named = ((str(one["name"]).rstrip("/").rpartition("/")[2], one) for one in found)
    here = folder.path.rstrip("/")
    # a store may list a mark of the folder itself
    return [
        FolderEntry(name, one["type"] == "directory", is_link=False, size=one.get("size"))
        for name, one in named
        if name and str(one["name"]).strip("/") != here.strip("/")
    ]


def read_bytes(path: Path, max_bytes: int = MAX_FILE_BYTES, listed_size: int | None = None) -> bytes:
    """A file's bytes. Raises OSError where it has none, or more than `most`, NurieError if its store fails.

    `size` in bytes, where the store's listing told it: a larger one is not fetched.
    """
    if is_remote(path):
        with _store_errors_explained(path):
            data = path.read_bytes() if (listed_size or 0) <= max_bytes else b""
    else:
        with _open_regular(path) as file:
            listed_size = os.fstat(file.fileno()).st_size
            data = (
                file.read(listed_size + 1) if listed_size <= max_bytes else b""
            )  # no more, should it grow while it is read
    if max(listed_size or 0, len(data)) > max_bytes:
        raise OSError(f"the file has more than {max_bytes:,} bytes: no more is read of one")
    return data


def file_sizes(folder: Path, names: Collection[str]) -> dict[str, int]:
    """Bytes of each of some files below a folder that is there, be it by a link. Raises as `read` does."""
    if not is_remote(folder):
        return {name: (folder / name).stat().st_size for name in names if (folder / name).is_file()}
    place: Any = folder
    below = len(place.path.strip("/")) + 1
    with _store_errors_explained(folder), suppress(FileNotFoundError):
        found = place.fs.find(place.path, detail=True)
        told = {str(name).strip("/")[below:]: (name, one.get("size")) for name, one in found.items()}
        asked = {name: told[name] for name in names if name in told}
        # a web server's listing tells no sizes
        return {name: place.fs.size(at) if size is None else size for name, (at, size) in asked.items()}
    return {}


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a small file, whole or not at all. Raises NurieError if its store fails, OSError as a disk does."""
    if not is_remote(path):
        with atomic_write(path) as file:
            file.write(data)
        return
    with _store_errors_explained(path, "written"):
        path.write_bytes(data)


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """As atomic_write; in a store, whose files are whole or not at all, once the block has ended well."""
    if not is_remote(path):
        with atomic_write(path) as file:
            yield file
        return
    held = io.BytesIO()
    yield held
    write_bytes(path, held.getbuffer())


def download(source: Path, path: Path) -> None:
    """Copy a store's file to this host. Raises as `opened` does, and OSError as a disk does."""
    with open_file(source) as data, atomic_write(path) as file:
        shutil.copyfileobj(data, file, READ_BUFFER_BYTES)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex. Raises as `opened` does."""
    if not is_remote(path):
        return sha256_file(path)
    with open_file(path) as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def file_size(path: Path) -> int:
    """Bytes of a file. Raises as `opened` does."""
    if not is_remote(path):
        return path.stat().st_size
    place: Any = path
    with _store_errors_explained(path):
        return int(place.fs.size(place.path))


def make_folder(folder: Path) -> None:
    """Make a folder, unless it is there; a store has files alone."""
    if not is_remote(folder):
        folder.mkdir(exist_ok=True)


def delete_folder(folder: Path) -> None:
    """Delete a folder with all that it holds, as far as that can be; in a store, or NurieError is raised."""
    if not is_remote(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    place: Any = folder
    with _store_errors_explained(folder, "deleted"), suppress(FileNotFoundError):
        place.fs.rm(place.path, recursive=True)


def upload(source: Path, path: Path, on_bytes: Callable[[int], None]) -> None:
    """Send a file of this host to a store. Raises NurieError if that fails, or `tell`, which hears of what is sent."""
    from fsspec.callbacks import Callback  # noqa: PLC0415  # of an extra

    place: Any = path
    with _store_errors_explained(path, "written"):
        callback = Callback(hooks={"tell": lambda _size, value: on_bytes(value)})
        place.fs.put_file(str(source), place.path, callback=callback)


def delete_file(path: Path) -> None:
    """Delete a file, if it is there. Raises as `write` does."""
    if not is_remote(path):
        path.unlink(missing_ok=True)
        return
    with _store_errors_explained(path, "deleted"), suppress(FileNotFoundError):
        path.unlink()


def open_file(path: Path) -> io.BufferedReader:
    """A file to read in pieces, from any place in it. Raises as `read` does, in reading too."""
    if not is_remote(path):
        return _open_regular(path)
    with _store_errors_explained(path):
        return io.BufferedReader(_StoreStream(path, path.open("rb")))


def _open_regular(path: Path) -> io.BufferedReader:
    """A device is not opened, nor waited for where a FIFO takes a file's place at the last moment."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(NOT_REGULAR)
    file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: PTH123, SIM115  # given away
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(NOT_REGULAR)
    return file


class _StoreStream(io.RawIOBase):
    """A store's file, whose errors are ours."""

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
