"""A dataset under review: read again when dataset.json says that it changed, with what people decided of it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from curate.browsing.catalog import Catalog
from curate.browsing.stored_pictures import Gallery
from curate.dataset import decisions, ledger
from curate.system.errors import NurieError

Made = TypeVar("Made")
Row = dict[str, Any]


@dataclass(frozen=True)
class People:
    """What people decided so far."""

    rows: Sequence[Row]
    """Every decision, with `holds`."""
    by_id: dict[str, frozenset[str]]
    """Kinds of the decisions that hold, by the id of each picture."""
    tags: dict[str, tuple[str, ...]]
    """Those given by people, by id."""


@dataclass(frozen=True)
class View:
    """A dataset at one moment."""

    catalog: Catalog
    gallery: Gallery
    people: People
    waiting: int
    """Decisions that the manifest does not follow yet: as many of the last ones."""


class Review:
    """Others may write the dataset meanwhile: what is asked for is of its last finished state."""

    def __init__(self, dataset: Path) -> None:
        ledger.read_state(dataset)
        self.dataset = dataset
        self._made: dict[str, tuple[object, Any]] = {}
        self._seen: tuple[object, View] | None = None
        self._lock, self._pen = threading.Lock(), threading.Lock()

    def view(self) -> View:
        """The dataset as it is now. Raises as `ledger.peek_state` does."""
        with self._lock:
            stamp = self._stamp()
            if self._seen is None or self._seen[0] != stamp:
                self._seen = (stamp, self._view())
            return self._seen[1]

    def _stamp(self) -> object:
        """Another one whenever `dataset.json` was written, as every stage does at its end."""
        try:
            told = (self.dataset / ledger.STATE).stat()
        except FileNotFoundError:
            return None
        return told.st_mtime_ns, told.st_ino, told.st_size

    def _view(self) -> View:
        state = ledger.peek_state(self.dataset)
        catalog = self._of(state, ("manifest", "edges"), lambda: Catalog(self.dataset))
        gallery = self._of(state, ("pairs",), lambda: Gallery(self.dataset))
        people = self._of(state, (ledger.DECISIONS,), self._people)
        followed = state.get("decisions", 0) if catalog.judged else 0
        return View(catalog, gallery, people, max(0, len(people.rows) - followed))

    def decide(self, kind: str, pictures: Sequence[str], tags: Sequence[str] | None) -> Row:
        """Note a decision, as `decisions.decide` does, of pictures by id alone: no visitor names a path."""
        if kind != decisions.UNDO:
            catalog = self.view().catalog
            if unknown := [key for key in pictures if not len(catalog.of(key))]:
                raise NurieError(f"no picture has the id {unknown[0]!r}: load the page again")
        with self._pen:  # of two visitors, or two keys, neither shall be told that another run is writing
            return decisions.decide(self.dataset, kind, pictures, tags)

    def _people(self) -> People:
        rows = decisions.marked(decisions.read(self.dataset))
        held = decisions.holding(rows)
        kinds: dict[str, set[str]] = defaultdict(set)
        for row in held:
            for key in filter(None, (row["a"], row["b"])):
                kinds[key].add(row["kind"])
        return People(rows, {key: frozenset(told) for key, told in kinds.items()}, dict(decisions.resolve(rows).tags))

    def _of(self, state: Row, folders: tuple[str, ...], make: Callable[[], Made]) -> Made:
        """What was made of some folders, made anew when one of their parts has another digest."""
        digests = [part for part in state["parts"].items() if part[0].partition("/")[0] in folders]
        name = "+".join(folders)
        if name not in self._made or self._made[name][0] != digests:
            self._made[name] = (digests, make())
        made: Made = self._made[name][1]
        return made
