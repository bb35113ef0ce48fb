"""What a place says that it holds: a whole dataset or shard folder, or what a copy that was broken off noted."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from curate import storage
from curate.contract import INDEX_FILE, read_index
from curate.dataset import ledger
from curate.system.errors import DamagedError, DatasetError, NurieError
from curate.system.paths import is_safe_relative_path

COPY_JOURNAL = ".copying.json"


@dataclass(frozen=True)
class Listing:
    """What a whole dataset or shard folder says that it holds."""

    file_name: str
    """The file that says it."""
    content: bytes
    """Its bytes."""
    digests: Mapping[str, str]
    """SHA-256 by path."""

    @property
    def digest(self) -> str:
        """Of all that it says."""
        return hashlib.sha256(self.content).hexdigest()


def read_listing(place: Path) -> Listing | None:
    """What a place says it holds, if that is a dataset or shard folder. Raises NurieError for one not finished."""
    name = next((name for name in (ledger.LEDGER_FILE, INDEX_FILE) if storage.exists(place / name)), None)
    if name is None:
        return None
    told = storage.read_bytes(place / name)
    with tempfile.TemporaryDirectory() as folder:  # where what reads and checks it finds it
        here = Path(folder)
        (here / name).write_bytes(told)
        with _errors_naming(place, here):
            if name == INDEX_FILE:
                return Listing(name, told, {path: file.sha256 for path, file in read_index(here).files.items()})
            state = ledger.peek_ledger(here)
    if "counts" not in state:
        raise DatasetError(f"{place} is not finished: run `curate extract` again")
    return Listing(name, told, state["parts"])


def unrecognized_folder_error(place: Path) -> DatasetError:
    """What is wrong with a place that is no such folder."""
    told = f"holds neither {ledger.LEDGER_FILE} nor {INDEX_FILE}"
    return DatasetError(f"{place} is neither a dataset nor a shard folder ({told}): give one that `curate` made")


@contextmanager
def _errors_naming(place: Path, here: Path) -> Iterator[None]:
    """Errors tell of the place, not of where its listing was looked at."""
    try:
        yield
    except NurieError as error:
        raise type(error)(str(error).replace(str(here), str(place))) from None


def read_journal(target: Path) -> tuple[str, Mapping[str, str]]:
    """Digest of the listing that a copy was to have, and files by path, with a digest once they are whole.

    Raises DamagedError for a journal that is none.
    """
    with suppress(ValueError, RecursionError, TypeError, KeyError, AttributeError):
        told = json.loads(storage.read_bytes(target / COPY_JOURNAL))
        wanted, files = told["listing"], told["files"]
        if all(isinstance(one, str) for one in (wanted, *files.values())) and all(map(is_safe_relative_path, files)):
            return wanted, files
    raise DamagedError(f"{target / COPY_JOURNAL} is damaged: delete {target}, and copy again")
