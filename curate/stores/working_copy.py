"""Datasets and shards that lie in a store, worked on here: brought before a command, and sent back after it.

What stages promise rests on renames and locks, of which stores have none. So a stage works on a copy in a folder of
this host, and the store holds what is whole: what was there before, or what there is after, as `copy` sends it. A
command that is killed or fails sends nothing; the next one on this host goes on with the copy as it is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from curate import storage, terminal
from curate.dataset import ledger
from curate.stores.listing import COPY_JOURNAL, Listing, read_journal, read_listing
from curate.stores.transfer import OWN_LEFTOVERS, copy_folder
from curate.stores.worker_folder import STORE_BY_FOLDER
from curate.system.errors import DamagedError, DatasetError, NurieError
from curate.system.files import read_json, write_json

WORK_FOLDER_VARIABLE = "NURIE_WORK"
"""Environment variable: the folder that the copies are below."""
DEFAULT_WORK_FOLDER = "~/.cache/nurie"
ORIGIN_FILE = "origin.json"  # beside a copy: its address, and which state of the store it was last the same as


@dataclass(frozen=True)
class _WorkingCopy:
    store_path: Path
    """In the store."""
    folder: Path
    """Of this host."""

    @property
    def origin(self) -> dict[str, str]:
        """What was noted; nothing if nothing was."""
        path = self.folder.parent / ORIGIN_FILE
        told: dict[str, str] = read_json(path) if path.exists() else {}
        return told

    def update_origin(self, **told: str) -> None:
        """Digests of listings: the one that both had when they were last the `same`, and the one `sent` last."""
        write_json(self.folder.parent / ORIGIN_FILE, {**self.origin, "address": str(self.store_path), **told})

    @property
    def content_digest(self) -> str | None:
        """Digest of the listing that the folder has; "" if what it holds is not whole, None if that is nothing."""
        if (
            not self.folder.exists() or (self.folder / COPY_JOURNAL).exists()
        ):  # half of what a store holds is nothing yet
            return None
        try:
            found = read_listing(self.folder)
        except DatasetError:
            return ""
        if found is None:
            return "" if any(path.name not in OWN_LEFTOVERS for path in self.folder.iterdir()) else None
        return found.digest if found.file_name != ledger.LEDGER_FILE or _is_finished(self.folder, found) else ""

    @property
    def is_upload_unfinished(self) -> bool:
        """Whether a copy to the store was broken off, or is being made. Raises NurieError if it is not from here."""
        if read_listing(self.store_path) is not None or not storage.exists(self.store_path / COPY_JOURNAL):
            return False
        if read_journal(self.store_path)[0] != self.origin.get("sent") or self.content_digest is None:
            told = f"{self.store_path} is a copy that was broken off, or is under way"
            raise NurieError(f"{told}: wait for what sends it, or run that again where it ran")
        return True


def _is_finished(dataset: Path, listing: Listing) -> bool:
    """Whether a dataset is as a stage ends with, not as one that was killed leaves it: no file more or less."""
    folders = (*ledger.STAGE_FOLDERS, *ledger.PERMANENT_FOLDERS, ledger.TAG_TABLE)
    made = {"manifest", ledger.TAG_TABLE} <= {name.partition("/")[0] for name in listing.digests}
    return made and ledger.is_intact(dataset, listing.digests, folders, bytewise=False)


class WorkingCopies:
    """The copies of one command, or of a recipe's."""

    def __init__(self) -> None:
        self._copies: dict[str, _WorkingCopy] = {}

    def folder_for(self, address: str) -> Path:
        """The folder to work in for an address, as its store holds it now or as it was left on this host.

        Raises NurieError if both changed since they were last the same, the store holds something else there or does
        not answer; and as `places.parse` does.
        """
        place = storage.parse_address(address)
        if not storage.is_remote(place):
            return place
        if str(place) not in self._copies:
            found = _WorkingCopy(
                place, _work_folder() / sha256(str(place).encode()).hexdigest()[:12] / (place.name or "data")
            )
            found.folder.parent.mkdir(parents=True, exist_ok=True)
            _update_from_store(found)
            terminal.print_status(f"{place} is worked on in {found.folder}")
            self._copies[str(place)] = found
            STORE_BY_FOLDER.set({**STORE_BY_FOLDER.get(), found.folder: place})
        return self._copies[str(place)].folder

    def explain_error(self, error: NurieError) -> str:
        """What an error says: by the address where a copy holds nothing; and how damage to one is mended."""
        message = str(error)
        for one in self._copies.values():
            if isinstance(error, DamagedError) and f"{one.folder}/" in message:
                message += f"; or delete {one.folder}, and it is brought anew from {one.store_path}"
            if not one.folder.exists() or not any(one.folder.iterdir()):
                message = message.replace(str(one.folder), str(one.store_path))
        return message

    def send_back(self) -> None:
        """Bring the stores up to what was made. Raises NurieError where a store has changed meanwhile."""
        for one in self._copies.values():
            _send_to_store(one)


def _work_folder() -> Path:
    return Path(os.environ.get(WORK_FOLDER_VARIABLE) or DEFAULT_WORK_FOLDER).expanduser().absolute()


def _update_from_store(one: _WorkingCopy) -> None:
    """Make the copy what the store holds, unless it is that, or goes on from there."""
    there, held, same = read_listing(one.store_path), one.content_digest, one.origin.get("same")
    if there is not None:
        if held is not None and same == there.digest:
            return
        if held not in {None, same, there.digest}:
            raise _diverged_error(one)
        copy_folder(one.store_path, one.folder, replace=True)
        one.update_origin(same=there.digest)
    elif not one.is_upload_unfinished:
        if storage.exists(one.store_path) and (strangers := _other_files(one.store_path)):
            raise NurieError(f"{one.store_path} holds other files ({strangers[0]}): give a new or empty place")
        if same is not None:
            told = f"{one.store_path} is empty, and {one.folder} is what it held"
            raise NurieError(f"{told}: `curate copy` that back, or delete {one.folder.parent} to begin anew")


def _other_files(place: Path) -> list[str]:
    return [one.name for one in storage.list_folder(place) if one.name != storage.STAGING_FOLDER]


def _send_to_store(one: _WorkingCopy) -> None:
    if not (held := one.content_digest):
        return
    there = read_listing(one.store_path)
    if (there.digest if there else None) not in {held, one.origin.get("same")} and not one.is_upload_unfinished:
        raise _diverged_error(one)
    if there is None or there.digest != held:
        one.update_origin(sent=held)
        copy_folder(one.folder, one.store_path, replace=True)
    one.update_origin(same=held)


def _diverged_error(one: _WorkingCopy) -> NurieError:
    told = f"{one.store_path} has changed since {one.folder} was the same, which has changed, too"
    return NurieError(f"{told}: delete that, or `curate copy` it elsewhere first, and run this again")
