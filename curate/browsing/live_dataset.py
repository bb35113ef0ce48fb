"""A dataset that may change while people look at it: it is read again whenever dataset.json changes."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from curate.browsing.catalog import Catalog
from curate.browsing.stored_pictures import StoredPictures
from curate.dataset import decisions, ledger
from curate.dataset.rows import DecisionRow, DecisionRowWithState
from curate.system.errors import NurieError

Content = TypeVar("Content")


@dataclass(frozen=True)
class DecisionLog:
    """The decisions that people have made."""

    rows: Sequence[DecisionRowWithState]
    """All decisions in order."""
    kinds_by_id: dict[str, frozenset[str]]
    """Kinds of the decisions in force, by picture id."""
    tags_by_id: dict[str, tuple[str, ...]]
    """Tags that people gave, by picture id."""


@dataclass(frozen=True)
class DatasetView:
    """The state of a dataset at one moment."""

    catalog: Catalog
    pictures: StoredPictures
    decisions: DecisionLog
    pending: int
    """How many of the last decisions the manifest does not follow yet."""


class LiveDataset:
    """Gives access to the last finished state of a dataset, which other runs may write meanwhile."""

    def __init__(self, dataset: Path) -> None:
        ledger.read_ledger(dataset)
        self.dataset = dataset
        self._contents: dict[str, tuple[object, Any]] = {}
        self._last_view: tuple[object, DatasetView] | None = None
        self._lock, self._decide_lock = threading.Lock(), threading.Lock()

    def view(self) -> DatasetView:
        """The dataset as it is now. Raises the errors of `ledger.peek_ledger`."""
        with self._lock:
            stamp = self._ledger_stamp()
            if self._last_view is None or self._last_view[0] != stamp:
                self._last_view = (stamp, self._view())
            return self._last_view[1]

    def _ledger_stamp(self) -> object:
        """A value that changes whenever `dataset.json` is written, which every stage does when it ends."""
        try:
            status = (self.dataset / ledger.LEDGER_FILE).stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def _view(self) -> DatasetView:
        state = ledger.peek_ledger(self.dataset)
        catalog = self._cached(state, ("manifest", "edges"), lambda: Catalog(self.dataset))
        pictures = self._cached(state, ("pairs",), lambda: StoredPictures(self.dataset))
        log = self._cached(state, (ledger.DECISIONS_FOLDER,), self._read_decisions)
        followed = state.get("decisions", 0) if catalog.is_deduped else 0
        return DatasetView(catalog, pictures, log, max(0, len(log.rows) - followed))

    def decide(self, kind: str, pictures: Sequence[str], tags: Sequence[str] | None) -> DecisionRow:
        """Store a decision as `decisions.decide` does, but take pictures by id only: visitors cannot name paths."""
        if kind != decisions.UNDO:
            catalog = self.view().catalog
            if unknown := [key for key in pictures if not len(catalog.rows_of_id(key))]:
                raise NurieError(f"no picture has the id {unknown[0]!r}: load the page again")
        with self._decide_lock:  # the dataset's own lock would refuse a second visitor instead of waiting
            return decisions.decide(self.dataset, kind, pictures, tags)

    def _read_decisions(self) -> DecisionLog:
        rows = decisions.with_holds(decisions.read(self.dataset))
        kinds: dict[str, set[str]] = defaultdict(set)
        for row in decisions.rows_in_force(rows):
            for key in filter(None, (row["a"], row["b"])):
                kinds[key].add(row["kind"])
        kinds_by_id = {key: frozenset(names) for key, names in kinds.items()}
        return DecisionLog(rows, kinds_by_id, dict(decisions.resolve(rows).tags))

    def _cached(self, state: ledger.Ledger, folders: tuple[str, ...], make: Callable[[], Content]) -> Content:
        """What `make` returns for these folders of the dataset; called again when the digest of a part changes."""
        digests = [part for part in state["parts"].items() if part[0].partition("/")[0] in folders]
        name = "+".join(folders)
        if name not in self._contents or self._contents[name][0] != digests:
            self._contents[name] = (digests, make())
        content: Content = self._contents[name][1]
        return content
