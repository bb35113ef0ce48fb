"""A dataset under review: read again when dataset.json says that it changed, with what people decided of it."""

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

Made = TypeVar("Made")


@dataclass(frozen=True)
class DecisionLog:
    """What people decided so far."""

    rows: Sequence[DecisionRowWithState]
    """Every decision, with `holds`."""
    kinds_by_id: dict[str, frozenset[str]]
    """Kinds of the decisions that hold, by the id of each picture."""
    tags_by_id: dict[str, tuple[str, ...]]
    """Those given by people, by id."""


@dataclass(frozen=True)
class DatasetView:
    """A dataset at one moment."""

    catalog: Catalog
    pictures: StoredPictures
    decisions: DecisionLog
    pending: int
    """Decisions that the manifest does not follow yet: as many of the last ones."""


class LiveDataset:
    """Others may write the dataset meanwhile: what is asked for is of its last finished state."""

    def __init__(self, dataset: Path) -> None:
        ledger.read_ledger(dataset)
        self.dataset = dataset
        self._made: dict[str, tuple[object, Any]] = {}
        self._seen: tuple[object, DatasetView] | None = None
        self._lock, self._decide_lock = threading.Lock(), threading.Lock()

    def view(self) -> DatasetView:
        """The dataset as it is now. Raises as `ledger.peek_state` does."""
        with self._lock:
            stamp = self._ledger_stamp()
            if self._seen is None or self._seen[0] != stamp:
                self._seen = (stamp, self._view())
            return self._seen[1]

    def _ledger_stamp(self) -> object:
        """Another one whenever `dataset.json` was written, as every stage does at its end."""
        try:
            told = (self.dataset / ledger.LEDGER_FILE).stat()
        except FileNotFoundError:
            return None
        return told.st_mtime_ns, told.st_ino, told.st_size

    def _view(self) -> DatasetView:
        state = ledger.peek_ledger(self.dataset)
        catalog = self._cached(state, ("manifest", "edges"), lambda: Catalog(self.dataset))
        gallery = self._cached(state, ("pairs",), lambda: StoredPictures(self.dataset))
        people = self._cached(state, (ledger.DECISIONS_FOLDER,), self._read_decisions)
        followed = state.get("decisions", 0) if catalog.is_deduped else 0
        return DatasetView(catalog, gallery, people, max(0, len(people.rows) - followed))

    def decide(self, kind: str, pictures: Sequence[str], tags: Sequence[str] | None) -> DecisionRow:
        """Note a decision, as `decisions.decide` does, of pictures by id alone: no visitor names a path."""
        if kind != decisions.UNDO:
            catalog = self.view().catalog
            if unknown := [key for key in pictures if not len(catalog.rows_of_id(key))]:
                raise NurieError(f"no picture has the id {unknown[0]!r}: load the page again")
        with self._decide_lock:  # of two visitors, or two keys, neither shall be told that another run is writing
            return decisions.decide(self.dataset, kind, pictures, tags)

    def _read_decisions(self) -> DecisionLog:
        rows = decisions.with_holds(decisions.read(self.dataset))
        held = decisions.rows_in_force(rows)
        kinds: dict[str, set[str]] = defaultdict(set)
        for row in held:
            for key in filter(None, (row["a"], row["b"])):
                kinds[key].add(row["kind"])
        return DecisionLog(
            rows, {key: frozenset(told) for key, told in kinds.items()}, dict(decisions.resolve(rows).tags)
        )

    def _cached(self, state: ledger.Ledger, folders: tuple[str, ...], make: Callable[[], Made]) -> Made:
        """What was made of some folders, made anew when one of their parts has another digest."""
        digests = [part for part in state["parts"].items() if part[0].partition("/")[0] in folders]
        name = "+".join(folders)
        if name not in self._made or self._made[name][0] != digests:
            self._made[name] = (digests, make())
        made: Made = self._made[name][1]
        return made
