"""Datasets and shards that lie in a store, worked on here: brought before a command, and sent back after it.

What stages promise rests on renames and locks, of which stores have none. So a stage works on a copy in a folder of
this host, and the store holds what is whole: what was there before, or what there is after, as `copy` sends it. A
command that is killed or fails sends nothing; the next one on this host goes on with the copy as it is.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from curate import places, progress
from curate.copy import OURS, copy
from curate.durable import read_json, write_json
from curate.errors import DatasetError, NurieError
from curate.exchange import STORES
from curate.listing import JOURNAL, listed

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
    def last(self) -> str | None:
        """Digest of the listing that both had when they were last the same; None if they never were."""
        origin = self.folder.parent / ORIGIN
        return str(read_json(origin)["listing"]) if origin.exists() else None

    def same(self, digest: str) -> None:
        """Note that both have this listing."""
        write_json(self.folder.parent / ORIGIN, {"address": str(self.place), "listing": digest})

    @property
    def held(self) -> str | None:
        """Digest of the listing that the folder has; "" if what it holds is not finished, None if that is nothing."""
        if not self.folder.exists() or (self.folder / JOURNAL).exists():  # half of what a store holds is nothing yet
            return None
        try:
            found = listed(self.folder)
        except DatasetError:
            return ""
        if found is not None:
            return found.digest
        return "" if any(path.name not in OURS for path in self.folder.iterdir()) else None


class Away:
    """The copies of one command, or of a recipe's."""

    def __init__(self) -> None:
        self._copies: dict[str, _Copy] = {}

    def folder(self, address: str) -> Path:
        """The folder to work in for an address, as its store holds it now or as it was left on this host.

        Raises NurieError if both changed since they were last the same, the store holds something else there or does
        not answer; and as `places.parse` does.
        """
        place = places.parse(address)
        if not places.remote(place):
            return place
        if str(place) not in self._copies:
            found = _Copy(place, _root() / sha256(str(place).encode()).hexdigest()[:12] / (place.name or "data"))
            found.folder.parent.mkdir(parents=True, exist_ok=True)
            _bring(found)
            progress.say(f"{place} is worked on in {found.folder}")
            self._copies[str(place)] = found
            STORES.set({**STORES.get(), found.folder: place})
        return self._copies[str(place)].folder

    def send(self) -> None:
        """Bring the stores up to what was made. Raises NurieError where a store has changed meanwhile."""
        for one in self._copies.values():
            _send(one)


def _root() -> Path:
    return Path(os.environ.get(WORK) or DEFAULT).expanduser().absolute()


def _bring(one: _Copy) -> None:
    """Make the copy what the store holds, unless it is that, or goes on from there."""
    there, held, last = listed(one.place), one.held, one.last
    if there is not None:
        if held is not None and last == there.digest:
            _send(one)  # what was not, as its command was killed
            return
        if held not in {None, last, there.digest}:
            raise _parted(one)
        copy(one.place, one.folder, replace=True)
        one.same(there.digest)
    elif places.there(one.place / JOURNAL):
        if held is None:
            raise NurieError(f"{one.place} is a copy that was broken off: run what sent it again, where it ran")
    else:
        _begin(one, held, last)


def _begin(one: _Copy, held: str | None, last: str | None) -> None:
    """Nothing is there, or nothing any more: then what was the same goes too."""
    if places.there(one.place) and (
        strangers := [one.name for one in places.entries(one.place) if one.name != places.STAGING]
    ):
        raise NurieError(f"{one.place} holds other files ({strangers[0]}): give a new or empty place")
    if last is not None:
        if held not in {None, last}:
            raise _parted(one)
        shutil.rmtree(one.folder, ignore_errors=True)
        (one.folder.parent / ORIGIN).unlink()


def _send(one: _Copy) -> None:
    if not (held := one.held):
        return
    there = listed(one.place)
    found = there.digest if there else None
    if found not in {held, one.last} and not (found is None and places.there(one.place / JOURNAL)):
        raise _parted(one)
    if found != held:
        copy(one.folder, one.place, replace=True)
    one.same(held)


def _parted(one: _Copy) -> NurieError:
    told = f"{one.place} has changed since {one.folder} was the same, which has changed, too"
    return NurieError(f"{told}: delete that, or `curate copy` it elsewhere first, and run this again")
