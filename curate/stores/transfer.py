"""A dataset or shard folder -> the same in another place, a folder or a store that fsspec reaches; and back.

Files go first, each by its SHA-256, and what lists them last: until that is there, nobody takes the place for whole.
Before it is begun, what the place holds already is noted in a file beside it, so that a copy of more copies what is
new, and one that was killed goes on.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from curate import storage, terminal
from curate.contract import INDEX_FILE
from curate.dataset import ledger
from curate.stores.listing import COPY_JOURNAL, Listing, read_journal, read_listing, unrecognized_folder_error
from curate.system import lock
from curate.system.errors import DamagedError, NurieError
from curate.system.files import atomic_write, canonical_json
from curate.system.hashing import READ_BUFFER_BYTES, sha256_file

OWN_LEFTOVERS = {lock.LOCK_FILE, f".{COPY_JOURNAL}.tmp", storage.STAGING_FOLDER}  # what a run that was killed leaves
TRANSFER_THREADS = 8  # files on their way at once: a store answers each in tens of milliseconds
JOURNAL_INTERVAL_S = 10.0  # s of work that a kill may cost
JOURNAL_COST_FACTOR = 20  # times longer than to note takes, if that is more: a million files' take 100 MB


def copy_folder(source: Path, target: Path, *, replace: bool = False) -> dict[str, Any]:
    """Copy a whole dataset or shard folder; either may lie in a store (`places.parse`), one of them has to be here.

    What `target` has already is left. Where it is, or was to be, the copy of something else, that is brought up to this
    one by `replace`: what only that had is deleted. Returns counts. Raises NurieError if `source` is neither, `target`
    holds anything else, another run is writing one of them, or a store does not answer; DamagedError, with the copy not
    whole, for a file that is not what the listing says.
    """
    if storage.is_remote(source) and storage.is_remote(target):
        raise NurieError(f"{source} and {target} are both addresses: copy to a folder of this host first")
    if not storage.is_remote(source):
        lock.check_free(source)
        _check_not_nested(source, target)
    listing = read_listing(source)
    if listing is None and storage.exists(source / COPY_JOURNAL):
        raise NurieError(f"{source} is a copy that was broken off: copy to it again first")
    if listing is None:
        raise unrecognized_folder_error(source)
    sizes = storage.file_sizes(source, listing.digests)
    if lost := [name for name in listing.digests if name not in sizes]:
        raise DamagedError(f"{source / lost[0]} is missing: see `curate verify`")
    with _target_locked(target):
        found = read_listing(target)
        held = _files_copied_before(target, found, listing, replace=replace)
        there = storage.file_sizes(target, held)
        whole = {name for name in held.keys() & there.keys() & sizes.keys() if there[name] == sizes[name]}
        due = {name: one for name, one in listing.digests.items() if name not in whole or held[name] != one}
        if due or found != listing:
            _transfer(source, target, listing, due, sizes, [name for name in held if name not in listing.digests])
        else:
            storage.delete_file(target / COPY_JOURNAL)  # of a run that was killed once it had listed all
    return {"files": len(listing.digests), "copied": len(due), "bytes": sum(sizes[name] for name in due)}


def _check_not_nested(source: Path, target: Path) -> None:
    """A folder inside another would be a stranger there, which `verify` and some stages do not suffer."""
    if storage.is_remote(target):
        return
    here, there = source.resolve(), target.resolve()
    if here != there and (here.is_relative_to(there) or there.is_relative_to(here)):
        raise NurieError(f"of {source} and {target} one lies inside the other: give a folder elsewhere")


@contextmanager
def _target_locked(target: Path) -> Iterator[None]:
    """A folder of this host is held against other runs; a store has no such locks."""
    if storage.is_remote(target):
        yield
        return
    target.mkdir(parents=True, exist_ok=True)
    with lock.exclusive(target):
        yield


def _files_copied_before(target: Path, found: Listing | None, listing: Listing, *, replace: bool) -> Mapping[str, str]:
    """What an earlier copy left in a place, by what it lists or noted: digests by path, empty for what is to go."""
    if found is not None:  # a journal beside it is of a run killed before or after its work
        wanted, files = found.digest, found.digests
    elif storage.exists(target / COPY_JOURNAL):
        wanted, files = read_journal(target)
    else:
        there = storage.list_folder(target) if storage.exists(target) else []
        if strangers := [one.name for one in there if one.name not in OWN_LEFTOVERS]:
            raise NurieError(f"{target} holds other files ({strangers[0]}): give a new or empty place")
        return {}
    if wanted != listing.digest and not replace:
        raise NurieError(f"{target} holds something else, or an older copy: give another place, or --replace it")
    return files


def _transfer(
    source: Path, target: Path, listing: Listing, due: Mapping[str, str], sizes: Mapping[str, int], stale: Sequence[str]
) -> None:
    """Note what stays, take away what lists it, copy what is due, delete what is no more, and list it again."""
    done = {name: digest for name, digest in listing.digests.items() if name not in due}
    unknown = dict.fromkeys([*stale, *due], "")

    def note() -> None:
        # what has no digest may be there, and no run takes it for copied: one of something else deletes it
        files = {**unknown, **done}
        storage.write_bytes(target / COPY_JOURNAL, canonical_json({"listing": listing.digest, "files": files}))

    every = max(JOURNAL_INTERVAL_S, JOURNAL_COST_FACTOR * _seconds_taken(note))
    for name in (ledger.LEDGER_FILE, INDEX_FILE):
        storage.delete_file(target / name)
    send = partial(_upload if storage.is_remote(target) else _download, source, target)
    began = time.monotonic()
    with terminal.ByteProgressBar("copy", sum(sizes[name] for name in due)) as bar, _thread_map() as (each, going):
        for name in each(partial(send, going), due.items()):
            done[name] = due[name]
            bar.advance_bytes(sizes[name])
            if time.monotonic() - began > every:
                every = max(JOURNAL_INTERVAL_S, JOURNAL_COST_FACTOR * _seconds_taken(note))
                began = time.monotonic()
        for _ in each(partial(_delete, target), ((name,) for name in stale)):
            pass
    if not storage.is_remote(target):
        _delete_empty(target, stale)
    storage.write_bytes(target / listing.file_name, listing.content)
    storage.delete_file(target / COPY_JOURNAL)


def _seconds_taken(call: Callable[[], None]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


ThreadMap = Callable[[Callable[..., str], Iterable[tuple[str, ...]]], Iterator[str]]
CheckRunning = Callable[[int], None]


class _StoppedError(Exception):
    """Another thread failed, or the command was stopped."""


@contextmanager
def _thread_map() -> Iterator[tuple[ThreadMap, CheckRunning]]:
    """What calls a function in threads, and what raises in them once the block has failed: nobody waits for them then.

    Results come as they are done. Of a million calls only a few are handed over at a time, as each takes memory.
    """
    failed = threading.Event()

    def each(call: Callable[..., str], given: Iterable[tuple[str, ...]]) -> Iterator[str]:
        left, waiting = iter(given), set[Future[str]]()
        while True:
            waiting |= {pool.submit(call, *one) for one in islice(left, 4 * TRANSFER_THREADS - len(waiting))}
            if not waiting:
                return
            ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for one in sorted(ended, key=lambda one: one.exception() is not None):  # first what has come to something
                yield one.result()

    def going(_bytes: int) -> None:
        if failed.is_set():
            raise _StoppedError

    with ThreadPoolExecutor(TRANSFER_THREADS) as pool:
        try:
            yield each, going
        except BaseException:
            failed.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _delete(target: Path, name: str) -> str:
    storage.delete_file(target / name)
    return name


def _delete_empty(target: Path, names: Iterable[str]) -> None:
    """Delete the folders that deleted files have left empty: in shards they would be strangers."""
    folders = {folder for name in names for folder in PurePosixPath(name).parents if folder.parts}
    for folder in sorted(folders, reverse=True):
        with suppress(OSError):
            (target / folder).rmdir()


def _download(source: Path, target: Path, going: CheckRunning, name: str, digest: str) -> str:
    """Bring a file here, under its name only once it is whole and what it should be."""
    found = hashlib.sha256()
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    with storage.open_file(source / name) as data, atomic_write(target / name) as file:
        while piece := data.read(READ_BUFFER_BYTES):
            going(len(piece))
            found.update(piece)
            file.write(piece)
        if found.hexdigest() != digest:
            raise _wrong_bytes_error(source / name)
    return name


def _upload(source: Path, target: Path, going: CheckRunning, name: str, digest: str) -> str:
    """Send a file, which is read twice: to see that it is what it should be, and to be sent."""
    path = source / name
    before = path.stat()
    if sha256_file(path, going) != digest:
        raise _wrong_bytes_error(path)
    storage.upload(path, target / name, going)
    after = path.stat()
    if any(getattr(before, one) != getattr(after, one) for one in ("st_dev", "st_ino", "st_size", "st_mtime_ns")):
        raise DamagedError(f"{path} was changed while it was sent: run this command again once nothing writes it")
    return name


def _wrong_bytes_error(path: Path) -> DamagedError:
    remedy = "delete it there, and copy it there again" if storage.is_remote(path) else "see `curate verify`"
    return DamagedError(f"{path} has other bytes than its listing says: {remedy}")
