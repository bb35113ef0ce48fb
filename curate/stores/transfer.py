"""Copy a dataset or shard folder to another folder, to a store such as S3, or back.

Files are copied first, each checked by its SHA-256, and the listing last: until it is there, nothing takes the copy for
complete. A journal in the target notes which files are complete, so that a killed copy goes on where it was, and a copy
over an older one transfers only what is new.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath

from curate import storage, terminal
from curate.contract import INDEX_FILE
from curate.dataset import ledger
from curate.stores.listing import COPY_JOURNAL, Listing, read_journal, read_listing, unrecognized_folder_error
from curate.system import lock
from curate.system.errors import DamagedError, NurieError
from curate.system.files import atomic_write, canonical_json
from curate.system.hashing import READ_BUFFER_BYTES, sha256_file

LEFTOVERS = {lock.LOCK_FILE, f".{COPY_JOURNAL}.tmp", storage.STAGING_FOLDER}  # what a killed run may leave
TRANSFER_THREADS = 8  # a store takes tens of milliseconds to answer a request
JOURNAL_INTERVAL_S = 10.0  # work that a kill may lose
JOURNAL_COST_FACTOR = 20  # the interval is this many times the time to write the journal (100 MB for a million files)

ThreadMap = Callable[[Callable[..., str], Iterable[tuple[str, ...]]], Iterator[str]]
CheckRunning = Callable[[int], None]
"""Takes a number of bytes, which it ignores, so that it can be the callback of a transfer."""


def copy_folder(source: Path, target: Path, *, replace: bool = False) -> dict[str, int]:
    """Copy a finished dataset or shard folder. One of the two paths may be in a store (`storage.parse_address`).

    Files that the target already has are not copied again. With `replace`, the target may hold something else or an
    older copy: it becomes a copy of `source`, and files that `source` does not have are deleted. Returns the number of
    `files`, and how many were `copied` now, with their `bytes`.

    Raises NurieError if `source` is not a finished folder, `target` holds other files, another run is writing one of
    them, or a store does not answer; DamagedError, leaving an incomplete copy, if a file differs from the listing.
    """
    listing = _source_listing(source, target)
    sizes = storage.file_sizes(source, listing.digests)
    if missing := [name for name in listing.digests if name not in sizes]:
        raise DamagedError(f"{source / missing[0]} is missing: see `curate verify`")
    with _target_locked(target):
        target_listing = read_listing(target)
        copied_before = _files_copied_before(target, target_listing, listing, replace=replace)
        target_sizes = storage.file_sizes(target, copied_before)
        due = {
            name: digest
            for name, digest in listing.digests.items()
            if copied_before.get(name) != digest or target_sizes.get(name) != sizes[name]
        }
        if due or target_listing != listing:
            stale = [name for name in copied_before if name not in listing.digests]
            _transfer(source, target, listing, {name: sizes[name] for name in due}, stale)
        else:
            storage.delete_file(target / COPY_JOURNAL)  # left by a run that was killed after it wrote the listing
    return {"files": len(listing.digests), "copied": len(due), "bytes": sum(sizes[name] for name in due)}


def _source_listing(source: Path, target: Path) -> Listing:
    """The listing of a folder that can be copied to `target`."""
    if storage.is_remote(source) and storage.is_remote(target):
        raise NurieError(f"{source} and {target} are both addresses: copy to a local folder first")
    if not storage.is_remote(source):
        lock.check_free(source)
        _check_not_nested(source, target)
    if listing := read_listing(source):
        return listing
    if storage.exists(source / COPY_JOURNAL):
        raise NurieError(f"{source} is an unfinished copy: copy to it again first")
    raise unrecognized_folder_error(source)


def _check_not_nested(source: Path, target: Path) -> None:
    """`verify` and some stages refuse a dataset with a foreign folder inside."""
    if storage.is_remote(target):
        return
    inner, outer = source.resolve(), target.resolve()
    if inner != outer and (inner.is_relative_to(outer) or outer.is_relative_to(inner)):
        raise NurieError(f"{source} and {target} overlap, one inside the other: give a folder elsewhere")


@contextmanager
def _target_locked(target: Path) -> Iterator[None]:
    """Lock a local target against other runs; stores have no locks."""
    if storage.is_remote(target):
        yield
        return
    target.mkdir(parents=True, exist_ok=True)
    with lock.exclusive(target):
        yield


def _files_copied_before(
    target: Path, target_listing: Listing | None, listing: Listing, *, replace: bool
) -> Mapping[str, str]:
    """Digests by path of what earlier copies left in the target; empty digests for incomplete files.

    Raises NurieError if the target holds something else and may not be replaced.
    """
    if target_listing is not None:  # a journal beside a listing says nothing: its run had not begun, or had finished
        digest, files = target_listing.digest, target_listing.digests
    elif storage.exists(target / COPY_JOURNAL):
        digest, files = read_journal(target)
    else:
        entries = storage.list_folder(target) if storage.exists(target) else []
        if strangers := [entry.name for entry in entries if entry.name not in LEFTOVERS]:
            raise NurieError(f"{target} holds other files ({strangers[0]}): give a new or empty place")
        return {}
    if digest != listing.digest and not replace:
        raise NurieError(f"{target} holds something else, or an older copy: give another place, or --replace it")
    return files


class _Journal:
    """The journal of a running copy: which files of the target are complete.

    All other files that may be there have an empty digest: no run takes them for copied, and `replace` deletes them.
    """

    def __init__(self, target: Path, listing: Listing, incomplete: Iterable[str]) -> None:
        self._path, self._listing = target / COPY_JOURNAL, listing
        self._files = {**listing.digests, **dict.fromkeys(incomplete, "")}
        self.write()

    def write(self) -> None:
        started = time.monotonic()
        storage.write_bytes(self._path, canonical_json({"listing": self._listing.digest, "files": self._files}))
        self._written = time.monotonic()
        self._interval = max(JOURNAL_INTERVAL_S, JOURNAL_COST_FACTOR * (self._written - started))

    def add(self, name: str) -> None:
        """Note a complete file; written to disk from time to time."""
        self._files[name] = self._listing.digests[name]
        if time.monotonic() - self._written > self._interval:
            self.write()


def _transfer(source: Path, target: Path, listing: Listing, due: Mapping[str, int], stale: Iterable[str]) -> None:
    """Copy the files `due` (sizes by path), delete the `stale` ones, and write the listing."""
    stale = list(stale)
    journal = _Journal(target, listing, [*stale, *due])
    for name in (ledger.LEDGER_FILE, INDEX_FILE):
        storage.delete_file(target / name)
    copy_file = partial(_upload if storage.is_remote(target) else _download, source, target)
    tasks = ((name, listing.digests[name]) for name in due)
    with terminal.ByteProgressBar("copy", sum(due.values())) as bar, _thread_map() as (thread_map, check_running):
        for name in thread_map(partial(copy_file, check_running), tasks):
            journal.add(name)
            bar.advance_bytes(due[name])
        for _ in thread_map(partial(_delete, target), ((name,) for name in stale)):
            pass
    if not storage.is_remote(target):
        _delete_empty_folders(target, stale)
    storage.write_bytes(target / listing.file_name, listing.content)
    storage.delete_file(target / COPY_JOURNAL)


class _StoppedError(Exception):
    """Raised in a thread after another one failed or the command was stopped."""


@contextmanager
def _thread_map() -> Iterator[tuple[ThreadMap, CheckRunning]]:
    """A `map` that calls a function in threads, and a check that raises in them once the block has failed.

    Results come as calls finish. Only a few calls are submitted at a time, since a million would take much memory. If
    the block fails, it does not wait for running calls, which end at their next check.
    """
    failed = threading.Event()

    def thread_map(call: Callable[..., str], arguments: Iterable[tuple[str, ...]]) -> Iterator[str]:
        remaining, waiting = iter(arguments), set[Future[str]]()
        while True:
            waiting |= {pool.submit(call, *given) for given in islice(remaining, 4 * TRANSFER_THREADS - len(waiting))}
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda future: future.exception() is not None):  # successes first
                yield future.result()

    def check_running(_bytes: int) -> None:
        if failed.is_set():
            raise _StoppedError

    with ThreadPoolExecutor(TRANSFER_THREADS) as pool:
        try:
            yield thread_map, check_running
        except BaseException:
            failed.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _delete(target: Path, name: str) -> str:
    storage.delete_file(target / name)
    return name


def _delete_empty_folders(target: Path, names: Iterable[str]) -> None:
    """Delete the folders that deleted files left empty: `verify` would report them in shards."""
    folders = {folder for name in names for folder in PurePosixPath(name).parents if folder.parts}
    for folder in sorted(folders, reverse=True):
        with suppress(OSError):
            (target / folder).rmdir()


def _download(source: Path, target: Path, check_running: CheckRunning, name: str, digest: str) -> str:
    """Copy a file to this host; it gets its name only when it is complete and its digest is right."""
    sha256 = hashlib.sha256()
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    with storage.open_file(source / name) as data, atomic_write(target / name) as file:
        while chunk := data.read(READ_BUFFER_BYTES):
            check_running(len(chunk))
            sha256.update(chunk)
            file.write(chunk)
        if sha256.hexdigest() != digest:
            raise _wrong_bytes_error(source / name)
    return name


def _upload(source: Path, target: Path, check_running: CheckRunning, name: str, digest: str) -> str:
    """Copy a file to a store. It is read twice: to check its digest, and to send it."""
    path = source / name
    before = path.stat()
    if sha256_file(path, check_running) != digest:
        raise _wrong_bytes_error(path)
    storage.upload(path, target / name, check_running)
    after = path.stat()
    if any(getattr(before, field) != getattr(after, field) for field in ("st_dev", "st_ino", "st_size", "st_mtime_ns")):
        raise DamagedError(f"{path} changed while it was sent: run this command again when nothing writes to it")
    return name


def _wrong_bytes_error(path: Path) -> DamagedError:
    remedy = "delete it there, and copy it there again" if storage.is_remote(path) else "see `curate verify`"
    return DamagedError(f"{path} has other bytes than its listing says: {remedy}")
