"""Working copies: local folders that stand for datasets and shards in a store while a command works on them.

Stages rely on renames and locks, which stores do not have. So a command that is given an address downloads what the
store holds, works on the local copy, and uploads the result at the end. The store holds either the state before or the
state after a command. A command that is killed or fails uploads nothing; the next one on this host goes on with the
copy as it is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from curate import storage, terminal
from curate.dataset import ledger
from curate.stores.listing import COPY_JOURNAL, Listing, read_journal, read_listing
from curate.stores.transfer import LEFTOVERS, copy_folder
from curate.stores.worker_folder import STORE_BY_FOLDER
from curate.system.errors import DamagedError, DatasetError, NurieError
from curate.system.files import read_json, write_json

WORK_FOLDER_VARIABLE = "NURIE_WORK"
"""Environment variable: the folder for working copies."""
DEFAULT_WORK_FOLDER = "~/.cache/nurie"
ORIGIN_FILE = "origin.json"  # beside a working copy: its address and the digests of `update_origin`


@dataclass(frozen=True)
class _WorkingCopy:
    store_path: Path
    folder: Path
    """The local copy."""

    @property
    def origin(self) -> dict[str, str]:
        """What `update_origin` noted; empty if it never did."""
        path = self.folder.parent / ORIGIN_FILE
        origin: dict[str, str] = read_json(path) if path.exists() else {}
        return origin

    def update_origin(self, **digests: str) -> None:
        """Note digests of listings: `same` when both sides are equal, `sent` before an upload begins."""
        write_json(self.folder.parent / ORIGIN_FILE, {**self.origin, "address": str(self.store_path), **digests})

    @property
    def content_digest(self) -> str | None:
        """Digest of the copy's listing; None if the copy is empty or half downloaded, "" if its work is unfinished."""
        if not self.folder.exists() or (self.folder / COPY_JOURNAL).exists():
            return None
        try:
            listing = read_listing(self.folder)
        except DatasetError:
            return ""
        if listing is None:
            return "" if any(path.name not in LEFTOVERS for path in self.folder.iterdir()) else None
        is_dataset = listing.file_name == ledger.LEDGER_FILE
        return "" if is_dataset and not _is_finished(self.folder, listing) else listing.digest

    @property
    def is_upload_unfinished(self) -> bool:
        """Whether an upload of this copy was interrupted. Raises NurieError if another host's upload was, or runs."""
        if read_listing(self.store_path) is not None or not storage.exists(self.store_path / COPY_JOURNAL):
            return False
        if read_journal(self.store_path)[0] != self.origin.get("sent") or self.content_digest is None:
            problem = "holds an upload from elsewhere that is under way or was interrupted"
            raise NurieError(f"{self.store_path} {problem}: wait for it, or run its command again where it ran")
        return True


def _is_finished(dataset: Path, listing: Listing) -> bool:
    """Whether a dataset has exactly the files of its ledger; one that a killed stage left has more or fewer."""
    folders = (*ledger.STAGE_FOLDERS, *ledger.PERMANENT_FOLDERS, ledger.TAG_TABLE)
    has_manifest = {"manifest", ledger.TAG_TABLE} <= {name.partition("/")[0] for name in listing.digests}
    return has_manifest and ledger.is_intact(dataset, listing.digests, folders, bytewise=False)


class WorkingCopies:
    """The working copies of one command, or of one run of a recipe."""

    def __init__(self) -> None:
        self._copies: dict[str, _WorkingCopy] = {}

    def folder_for(self, address: str) -> Path:
        """The local folder to use for an address, up to date with the store; for a local path, the path itself.

        Raises NurieError if the copy and the store both changed since they were equal, or the store holds other files
        or does not answer; else as `storage.parse_address` does.
        """
        path = storage.parse_address(address)
        if not storage.is_remote(path):
            return path
        if str(path) not in self._copies:
            copy_name = sha256(str(path).encode()).hexdigest()[:12]
            copy = _WorkingCopy(path, _work_folder() / copy_name / (path.name or "data"))
            copy.folder.parent.mkdir(parents=True, exist_ok=True)
            _update_from_store(copy)
            terminal.print_status(f"{path} is worked on in {copy.folder}")
            self._copies[str(path)] = copy
            STORE_BY_FOLDER.set({**STORE_BY_FOLDER.get(), copy.folder: path})
        return self._copies[str(path)].folder

    def explain_error(self, error: NurieError) -> str:
        """The error's message, with the address in place of an empty copy, and a remedy for a damaged copy."""
        message = str(error)
        for copy in self._copies.values():
            if isinstance(error, DamagedError) and f"{copy.folder}/" in message:
                message += f"; or delete {copy.folder}, and it is downloaded again from {copy.store_path}"
            if not copy.folder.exists() or not any(copy.folder.iterdir()):
                message = message.replace(str(copy.folder), str(copy.store_path))
        return message

    def send_back(self) -> None:
        """Upload what the command changed. Raises NurieError if a store has changed in the meantime."""
        for copy in self._copies.values():
            _send_to_store(copy)


def _work_folder() -> Path:
    return Path(os.environ.get(WORK_FOLDER_VARIABLE) or DEFAULT_WORK_FOLDER).expanduser().absolute()


def _update_from_store(copy: _WorkingCopy) -> None:
    """Download what the store holds, unless the copy is equal to it or goes on from it."""
    listing, local_digest, same = read_listing(copy.store_path), copy.content_digest, copy.origin.get("same")
    if listing is not None:
        if local_digest is not None and same == listing.digest:
            return
        if local_digest not in {None, same, listing.digest}:
            raise _diverged_error(copy)
        copy_folder(copy.store_path, copy.folder, replace=True)
        copy.update_origin(same=listing.digest)
    elif not copy.is_upload_unfinished:
        if storage.exists(copy.store_path) and (names := _foreign_names(copy.store_path)):
            raise NurieError(f"{copy.store_path} holds other files ({names[0]}): give a new or empty place")
        if same is not None:
            problem = f"{copy.store_path} was emptied, and {copy.folder} holds what was there"
            raise NurieError(f"{problem}: `curate copy` it back, or delete {copy.folder.parent} to start over")


def _foreign_names(store_path: Path) -> list[str]:
    return [entry.name for entry in storage.list_folder(store_path) if entry.name != storage.STAGING_FOLDER]


def _send_to_store(copy: _WorkingCopy) -> None:
    if not (local_digest := copy.content_digest):
        return
    listing = read_listing(copy.store_path)
    store_digest = listing.digest if listing else None
    if store_digest not in {local_digest, copy.origin.get("same")} and not copy.is_upload_unfinished:
        raise _diverged_error(copy)
    if store_digest != local_digest:
        copy.update_origin(sent=local_digest)
        copy_folder(copy.folder, copy.store_path, replace=True)
    copy.update_origin(same=local_digest)


def _diverged_error(copy: _WorkingCopy) -> NurieError:
    problem = f"both {copy.store_path} and its working copy {copy.folder} have changed"
    return NurieError(f"{problem}: delete the copy, or `curate copy` it elsewhere, then run this command again")
