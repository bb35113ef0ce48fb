"""What a place says that it holds: a whole dataset or shard folder, or what a copy that was broken off noted."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from curate.contract import INDEX, read_index
from curate.dataset import ledger
from curate.system import storage
from curate.system.errors import DamagedError, DatasetError, NurieError
from curate.system.paths import is_below

JOURNAL = ".copying.json"


@dataclass(frozen=True)
class Listing:
    """What a whole dataset or shard folder says that it holds."""

    name: str
    """The file that says it."""
    told: bytes
    """Its bytes."""
    files: Mapping[str, str]
    """SHA-256 by path."""

    @property
    def digest(self) -> str:
        """Of all that it says."""
        return hashlib.sha256(self.told).hexdigest()


def listed(place: Path) -> Listing | None:
    """What a place says it holds, if that is a dataset or shard folder. Raises NurieError for one not finished."""
    name = next((name for name in (ledger.STATE, INDEX) if storage.there(place / name)), None)
    if name is None:
        return None
    told = storage.read(place / name)
    with tempfile.TemporaryDirectory() as folder:  # where what reads and checks it finds it
        here = Path(folder)
        (here / name).write_bytes(told)
        with _of(place, here):
            if name == INDEX:
                return Listing(name, told, {path: file.sha256 for path, file in read_index(here).files.items()})
            state = ledger.peek_state(here)
    if "counts" not in state:
        raise DatasetError(f"{place} is not finished: run `curate extract` again")
    return Listing(name, told, state["parts"])


def neither(place: Path) -> DatasetError:
    """What is wrong with a place that is no such folder."""
    told = f"holds neither {ledger.STATE} nor {INDEX}"
    return DatasetError(f"{place} is neither a dataset nor a shard folder ({told}): give one that `curate` made")


@contextmanager
def _of(place: Path, here: Path) -> Iterator[None]:
    """Errors tell of the place, not of where its listing was looked at."""
    try:
        yield
    except NurieError as error:
        raise type(error)(str(error).replace(str(here), str(place))) from None


def noted(target: Path) -> tuple[str, Mapping[str, str]]:
    """Digest of the listing that a copy was to have, and files by path, with a digest once they are whole.

    Raises DamagedError for a journal that is none.
    """
    with suppress(ValueError, RecursionError, TypeError, KeyError, AttributeError):
        told = json.loads(storage.read(target / JOURNAL))
        wanted, files = told["listing"], told["files"]
        if all(isinstance(one, str) for one in (wanted, *files.values())) and all(map(is_below, files)):
            return wanted, files
    raise DamagedError(f"{target / JOURNAL} is damaged: delete {target}, and copy again")
