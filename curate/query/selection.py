"""The stage `select`: a manifest -> a smaller manifest, filtered by tags and by a `--where` expression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import ledger, parquet
from curate.dataset.schema import MANIFEST_SCHEMA, with_options
from curate.query.expressions import where_mask
from curate.query.tag_index import RowMask
from curate.system.files import options_hash
from curate.tags.normalize import normalize_tag


def select(
    dataset: Path, out: Path, include: Sequence[str] = (), exclude: Sequence[str] = (), where: str | None = None
) -> dict[str, Any]:
    """Write the kept rows that have every `include` tag, no `exclude` tag, and satisfy `where`, to the file `out`.

    Returns counts: `in` = `kept` + dropped by reason (`not_selected`, beside the manifest's own reasons). Reads one
    part at a time. Raises NurieError if `where` is not an expression over the manifest's columns.
    """
    ledger.read_ledger(dataset, "manifest")
    metadata = selection_metadata(dataset, include, exclude, where)
    rows = kept = 0
    drops: Counter[str] = Counter()

    def selected() -> Iterator[pa.Table]:
        nonlocal rows, kept
        for table in parquet.iter_parts(dataset / "manifest"):
            mask = _selection_mask(table, include, exclude, where)
            counts = parquet.count_fates(table)
            drops.update(counts["dropped"])
            rows, kept = rows + counts["in"], kept + int(mask.sum())
            yield table.filter(pa.array(mask))

    parquet.write_table_stream(out, selected(), MANIFEST_SCHEMA.with_metadata(metadata))
    dropped = {**dict(sorted(drops.items())), "not_selected": rows - kept - drops.total()}
    return {"in": rows, "kept": kept, "dropped": dropped}


def selection_metadata(
    dataset: Path, include: Iterable[str], exclude: Iterable[str], where: str | None
) -> dict[bytes, bytes]:
    """The Parquet metadata that `select` writes: equal metadata means an equal result."""
    state = ledger.read_ledger(dataset)
    options = {
        "extract": state["options"],
        "dedupe": state.get("dedupe"),
        "select": {"include": _normalized(include), "exclude": _normalized(exclude), "where": where},
    }
    metadata: dict[bytes, bytes] = with_options(MANIFEST_SCHEMA, options).metadata
    inputs_hash = options_hash(ledger.file_digests(dataset, state, ("manifest",)))
    return metadata | {b"nurie.inputs_hash": inputs_hash.encode()}


def _selection_mask(table: pa.Table, include: Sequence[str], exclude: Sequence[str], where: str | None) -> RowMask:
    """Kept rows that match: (n,) bool."""
    mask = np.asarray(pc.is_null(table["dropped"])) & _tag_mask(table, include, exclude)
    return mask if where is None else mask & where_mask(table, where)


def _tag_mask(table: pa.Table, include: Iterable[str], exclude: Iterable[str]) -> RowMask:
    included, excluded = set(_normalized(include)), set(_normalized(exclude))
    rows = (frozenset(tags or ()) for tags in table["tags"].to_pylist())
    return np.fromiter((included <= tags and not excluded & tags for tags in rows), np.bool_, table.num_rows)


def _normalized(tags: Iterable[str]) -> list[str]:
    return sorted({normalize_tag(tag) for tag in tags})
