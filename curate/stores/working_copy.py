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

from curate.dataset import ledger
from curate.stores.listing import JOURNAL, Listing, listed, noted
from curate.stores.transfer import OURS, copy
from curate.stores.worker_folder import STORES
from curate.system import storage
from curate.system.errors import DamagedError, DatasetError, NurieError
from curate.system.files import read_json, write_json
from curate.workers import progress

WORK = "NURIE_WORK"
"""Environment variable: the folder that the copies are below."""
DEFAULT = "~/.cache/nurie"
ORIGIN = "origin.json"  # beside a copy: its address, and which state of the store it was last the same as


@dataclass(frozen=True)
class _Copy:
    place: Path
    """In the store."""
    folder: Path
    """Of this host."""

    @property
    def origin(self) -> dict[str, str]:
        """What was noted; nothing if nothing was."""
        path = self.folder.parent / ORIGIN
        told: dict[str, str] = read_json(path) if path.exists() else {}
        return told

    def note(self, **told: str) -> None:
        """Digests of listings: the one that both had when they were last the `same`, and the one `sent` last."""
        write_json(self.folder.parent / ORIGIN, {**self.origin, "address": str(self.place), **told})

    @property
    def held(self) -> str | None:
        """Digest of the listing that the folder has; "" if what it holds is not whole, None if that is nothing."""
        if not self.folder.exists() or (self.folder / JOURNAL).exists():  # half of what a store holds is nothing yet
            return None
        try:
            found = listed(self.folder)
        except DatasetError:
            return ""
        if found is None:
            return "" if any(path.name not in OURS for path in self.folder.iterdir()) else None
        return found.digest if found.name != ledger.STATE or _whole(self.folder, found) else ""

    @property
    def under_way(self) -> bool:
        """Whether a copy to the store was broken off, or is being made. Raises NurieError if it is not from here."""
        if listed(self.place) is not None or not storage.there(self.place / JOURNAL):
            return False
        if noted(self.place)[0] != self.origin.get("sent") or self.held is None:
            told = f"{self.place} is a copy that was broken off, or is under way"
            raise NurieError(f"{told}: wait for what sends it, or run that again where it ran")
        return True


def _whole(dataset: Path, listing: Listing) -> bool:
    """Whether a dataset is as a stage ends with, not as one that was killed leaves it: no file more or less."""
    folders = (*ledger.FOLDERS, *ledger.LASTING, ledger.TAG_TABLE)
    made = {"manifest", ledger.TAG_TABLE} <= {name.partition("/")[0] for name in listing.files}
    return made and ledger.whole(dataset, {"parts": listing.files}, folders, bytewise=False)


class Away:
    """The copies of one command, or of a recipe's."""

    def __init__(self) -> None:
        self._copies: dict[str, _Copy] = {}

    def folder(self, address: str) -> Path:
        """The folder to work in for an address, as its store holds it now or as it was left on this host.

        Raises NurieError if both changed since they were last the same, the store holds something else there or does
        not answer; and as `places.parse` does.
        """
        place = storage.parse(address)
        if not storage.remote(place):
            return place
        if str(place) not in self._copies:
            found = _Copy(place, _root() / sha256(str(place).encode()).hexdigest()[:12] / (place.name or "data"))
            found.folder.parent.mkdir(parents=True, exist_ok=True)
            _bring(found)
            progress.say(f"{place} is worked on in {found.folder}")
            self._copies[str(place)] = found
            STORES.set({**STORES.get(), found.folder: place})
        return self._copies[str(place)].folder

    def told(self, error: NurieError) -> str:
        """What an error says: by the address where a copy holds nothing; and how damage to one is mended."""
        message = str(error)
        for one in self._copies.values():
            if isinstance(error, DamagedError) and f"{one.folder}/" in message:
                message += f"; or delete {one.folder}, and it is brought anew from {one.place}"
            if not one.folder.exists() or not any(one.folder.iterdir()):
                message = message.replace(str(one.folder), str(one.place))
        return message

    def send(self) -> None:
        """Bring the stores up to what was made. Raises NurieError where a store has changed meanwhile."""
        for one in self._copies.values():
            _send(one)


def _root() -> Path:
    return Path(os.environ.get(WORK) or DEFAULT).expanduser().absolute()


def _bring(one: _Copy) -> None:
    """Make the copy what the store holds, unless it is that, or goes on from there."""
    there, held, same = listed(one.place), one.held, one.origin.get("same")
    if there is not None:
        if held is not None and same == there.digest:
            return
        if held not in {None, same, there.digest}:
            raise _parted(one)
        copy(one.place, one.folder, replace=True)
        one.note(same=there.digest)
    elif not one.under_way:
        if storage.there(one.place) and (strangers := _strangers(one.place)):
            raise NurieError(f"{one.place} holds other files ({strangers[0]}): give a new or empty place")
        if same is not None:
            told = f"{one.place} is empty, and {one.folder} is what it held"
            raise NurieError(f"{told}: `curate copy` that back, or delete {one.folder.parent} to begin anew")


def _strangers(place: Path) -> list[str]:
    return [one.name for one in storage.entries(place) if one.name != storage.STAGING]


def _send(one: _Copy) -> None:
    if not (held := one.held):
        return
    there = listed(one.place)
    if (there.digest if there else None) not in {held, one.origin.get("same")} and not one.under_way:
        raise _parted(one)
    if there is None or there.digest != held:
        one.note(sent=held)
        copy(one.folder, one.place, replace=True)
    one.note(same=held)


def _parted(one: _Copy) -> NurieError:
    told = f"{one.place} has changed since {one.folder} was the same, which has changed, too"
    return NurieError(f"{told}: delete that, or `curate copy` it elsewhere first, and run this again")
