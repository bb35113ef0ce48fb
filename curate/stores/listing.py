"""What a dataset or shard folder says it holds, and the journal of a copy that was interrupted."""

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
    """The content of `dataset.json` or of a shard folder's `index.json`: all files with their digests."""

    file_name: str
    content: bytes
    digests: Mapping[str, str]
    """SHA-256 by path."""

    @property
    def digest(self) -> str:
        """SHA-256 of `content`: equal for equal folders."""
        return hashlib.sha256(self.content).hexdigest()


def read_listing(folder: Path) -> Listing | None:
    """The listing of a finished dataset or shard folder, local or in a store; None if it is neither.

    Raises NurieError if the folder is not finished or its listing is damaged.
    """
    name = next((name for name in (ledger.LEDGER_FILE, INDEX_FILE) if storage.exists(folder / name)), None)
    if name is None:
        return None
    content = storage.read_bytes(folder / name)
    with tempfile.TemporaryDirectory() as temporary:  # the functions that check a listing read local files
        copy = Path(temporary)
        (copy / name).write_bytes(content)
        with _errors_naming(folder, copy):
            if name == INDEX_FILE:
                return Listing(name, content, {path: file.sha256 for path, file in read_index(copy).files.items()})
            state = ledger.peek_ledger(copy)
    if "counts" not in state:
        raise DatasetError(f"{folder} is not finished: run `curate extract` again")
    return Listing(name, content, state["parts"])


def unrecognized_folder_error(folder: Path) -> DatasetError:
    """The error for a folder without a listing."""
    problem = f"holds neither {ledger.LEDGER_FILE} nor {INDEX_FILE}"
    return DatasetError(f"{folder} is neither a dataset nor a shard folder ({problem}): give one that `curate` made")


@contextmanager
def _errors_naming(folder: Path, copy: Path) -> Iterator[None]:
    """Make errors name the folder, not the temporary copy of its listing."""
    try:
        yield
    except NurieError as error:
        raise type(error)(str(error).replace(str(copy), str(folder))) from None


def read_journal(target: Path) -> tuple[str, Mapping[str, str]]:
    """The journal of an interrupted copy: the digest of the listing that was copied, and digests by path.

    The digest of a file is empty until the file is complete. Raises DamagedError if the journal is damaged.
    """
    with suppress(ValueError, RecursionError, TypeError, KeyError, AttributeError):
        journal = json.loads(storage.read_bytes(target / COPY_JOURNAL))
        digest, files = journal["listing"], journal["files"]
        if all(isinstance(text, str) for text in (digest, *files.values())) and all(map(is_safe_relative_path, files)):
            return digest, files
    raise DamagedError(f"{target / COPY_JOURNAL} is damaged: delete {target}, and copy again")
