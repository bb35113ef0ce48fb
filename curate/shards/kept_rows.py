"""The kept rows of a manifest as columns, in the order of their ids.

Ten million rows of ten tags each take one gigabyte this way, not tens. Ids are 16 bytes each, and texts that many rows
share are numbers. Rows become Python objects only a chunk at a time.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contract import SPLITS
from curate.dataset import filtered_manifest, parquet
from curate.dataset.ids import (
    ID_PATTERN,
    PackedIds,
    are_ids_packed,
    ids_from_bytes,
    pack_ids,
    to_numpy_ids,
    unpack_ids,
)
from curate.system.errors import DamagedError, DatasetError
from curate.system.files import canonical_json
from curate.tags.aliases import TagRules

MANIFEST_COLUMNS = ("id", "tags", "family", "group", "split", "dropped", "license", "artist")
ENCODED_COLUMNS = ("tags", "split", "license", "artist")
GROUPING_COLUMNS = ("family", "group")
ROWS_PER_CHUNK = 1 << 14  # rows that are Python objects at a time
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KeptRows:
    """Kept rows in the order of their ids: the order of the manifest's parts or of a filter makes no difference."""

    ids: PackedIds
    """(rows,) of 16 bytes each, ascending."""
    column_rows: npt.NDArray[np.int32]
    """(rows,) position of each row in `columns`, which stay in reading order: sorting them would hold them twice."""
    columns: Mapping[str, pa.Array]
    """GROUPING_COLUMNS as `pack_ids` returns them, ENCODED_COLUMNS as numbers (`tags`: a list of numbers per row)."""
    texts: Mapping[str, Sequence[str | None]]
    """What the numbers of each of ENCODED_COLUMNS stand for."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def splits(self) -> npt.NDArray[np.int8]:
        """(rows,) position of each row's split in SPLITS."""
        numbers = np.array([SPLITS.index(str(name)) for name in self.texts["split"]], np.int8)
        rows: npt.NDArray[np.int32] = self.columns["split"].to_numpy()[self.column_rows]
        return numbers[rows]

    def row_numbers(self, ids: pa.Array) -> Int64Array:
        """(ids,) row of each id, -1 where it is not kept. Raises DamagedError for a text that is not an id."""
        packed = pack_ids(ids)
        if not are_ids_packed(packed):
            raise DamagedError("a column of picture ids holds something else: run `curate verify` on the dataset")
        wanted = to_numpy_ids(packed)
        rows = np.minimum(self.ids.searchsorted(wanted), len(self) - 1)
        return np.where(self.ids[rows] == wanted, rows, -1)

    def hex_id(self, row: int) -> str:
        """The id of a row in hex digits."""
        return self.ids[row : row + 1].tobytes().hex()

    def families_and_groups(self, rows: Int64Array) -> tuple[pa.Array, pa.Array]:
        """Families and groups of rows as text, empty where a row has none."""
        family, group = (pc.fill_null(unpack_ids(self._take(name, rows)), "") for name in GROUPING_COLUMNS)
        return family, group

    def tag_numbers(self, rows: Int64Array, vocabulary: Int64Array) -> pa.Array:
        """The tags of each row as an ascending list of numbers in a vocabulary.

        vocabulary: (tag texts,) number of each text of `texts["tags"]`, -1 for a tag that is left out.
        """
        row, tags = _flatten_lists(self._take("tags", rows))
        number = vocabulary[tags]
        row, number = row[number >= 0], number[number >= 0]
        ends = np.bincount(row, minlength=len(rows)).cumsum()
        offsets = np.concatenate([[0], ends]).astype(np.int32)
        return pa.ListArray.from_arrays(offsets, number[np.lexsort((number, row))])

    def tag_counts(self) -> list[dict[str, int]]:
        """How many rows carry each tag: a dictionary per split, in the order of SPLITS."""
        total = len(self.texts["tags"])
        counts = np.zeros(len(SPLITS) * total, np.int64)
        for chunk in self._chunks():
            row, tags = _flatten_lists(self._take("tags", chunk))
            keys = np.sort(row * total + tags)
            distinct = keys[np.diff(keys, prepend=-1) > 0]  # a row may repeat a tag
            row, tags = np.divmod(distinct, max(total, 1))
            counts += np.bincount(self.splits[chunk.start + row] * np.int64(total) + tags, minlength=len(counts))
        names = [str(text) for text in self.texts["tags"]]
        return [
            {name: count for name, count in zip(names, split_counts, strict=True) if count}
            for split_counts in counts.reshape(len(SPLITS), total).tolist()
        ]

    def text_counts(self, column: str) -> dict[str, int]:
        """How many rows have each text of `license` or `artist`; null counts as empty."""
        counts: Counter[str] = Counter()
        for text, rows in zip(self.texts[column], np.bincount(self.columns[column].to_numpy()).tolist(), strict=True):
            counts[text or ""] += rows
        return dict(sorted(counts.items()))

    def digest(self) -> str:
        """The `options_hash` of {"rows": every row as a dictionary of MANIFEST_COLUMNS}, computed a chunk at a time."""
        digest = hashlib.sha256(b'{"rows": [')
        for chunk in self._chunks():
            rows_json = canonical_json(self._to_dicts(chunk))[1:-1]  # without the brackets of the list
            digest.update(b", " * bool(chunk.start) + rows_json)
        digest.update(b"]}")
        return digest.hexdigest()

    def _chunks(self) -> Iterator[slice]:
        return (slice(start, start + ROWS_PER_CHUNK) for start in range(0, len(self), ROWS_PER_CHUNK))

    def _take(self, name: str, rows: Int64Array | slice) -> pa.Array:
        return self.columns[name].take(pa.array(self.column_rows[rows]))

    def _to_dicts(self, rows: slice) -> list[dict[str, Any]]:
        columns = {name: unpack_ids(self._take(name, rows)).to_pylist() for name in GROUPING_COLUMNS}
        columns["id"] = unpack_ids(ids_from_bytes(self.ids[rows].tobytes())).to_pylist()
        for name, texts in self.texts.items():
            numbers = self._take(name, rows).to_pylist()
            columns[name] = [[texts[tag] for tag in row] if name == "tags" else texts[row] for row in numbers]
        return [
            {**dict(zip(columns, row, strict=True)), "dropped": None} for row in zip(*columns.values(), strict=True)
        ]


def read(dataset: Path, manifest: Path | None, rules: TagRules | None = None) -> tuple[KeptRows, dict[str, Any]]:
    """Read the kept rows of a manifest, with `rules` applied to their tags, and count all its rows by fate.

    manifest: a filtered manifest; None is the dataset's own. Raises DatasetError, naming the file, if no shards can be
    made of it.
    """
    name = manifest or dataset / "manifest"
    fates: Counter[str | None] = Counter()
    texts: dict[str, dict[str | None, int]] = {column: {} for column in ENCODED_COLUMNS}
    arrays: dict[str, list[pa.Array]] = defaultdict(list)
    for table in _tables(dataset, manifest):
        fates.update(table["dropped"].to_pylist())
        rows = table.filter(pc.is_null(table["dropped"]))
        _check_rows(rows, name, dataset)
        for column in ("id", *GROUPING_COLUMNS):
            arrays[column].append(pack_ids(rows[column].combine_chunks()))
        rows = _apply_rules(rows, rules) if rules else rows
        for column in ENCODED_COLUMNS:
            arrays[column].append(_encode_texts(rows[column].combine_chunks(), texts[column]))
    if not fates[None]:
        raise DatasetError(f"{name} keeps no picture: see `curate why`, or filter less")
    kept = _sort_rows(arrays, {column: list(known) for column, known in texts.items()})
    if (kept.ids[1:] == kept.ids[:-1]).any():
        raise DatasetError(f"{name} keeps a picture twice: drop repeated ids, or run `curate dedupe` again")
    dropped = {reason: count for reason, count in fates.items() if reason is not None}
    return kept, {"in": fates.total(), "kept": fates[None], "dropped": dict(sorted(dropped.items()))}


def _sort_rows(arrays: dict[str, list[pa.Array]], texts: Mapping[str, Sequence[str | None]]) -> KeptRows:
    """Columns read part by part, as KeptRows; empties `arrays` on the way, to hold each column only once."""
    ids = to_numpy_ids(_concatenate(arrays.pop("id")))
    order = ids.argsort().astype(np.int32)
    columns = {name: _concatenate(arrays.pop(name)) for name in (*GROUPING_COLUMNS, *ENCODED_COLUMNS)}
    return KeptRows(ids[order], order, columns, texts)


def _tables(dataset: Path, manifest: Path | None) -> Iterator[pa.Table]:
    """The rows of a manifest, small parts joined into tables of at least ROWS_PER_CHUNK rows."""
    tables = (
        filtered_manifest.iter_tables(manifest, MANIFEST_COLUMNS)
        if manifest
        else parquet.iter_parts(dataset / "manifest", MANIFEST_COLUMNS)
    )
    pending: list[pa.Table] = []
    for table in tables:
        pending.append(table)
        if sum(map(len, pending)) >= ROWS_PER_CHUNK:
            yield pa.concat_tables(pending)
            pending = []
    if pending:
        yield pa.concat_tables(pending)


def _check_rows(rows: pa.Table, name: Path, dataset: Path) -> None:
    """Raise DatasetError if a row cannot become a record of a shard."""
    if not set(rows["split"].unique().to_pylist()) <= set(SPLITS):
        raise DatasetError(f"{name} has no splits: run `curate dedupe {dataset}` first")
    if rows["id"].null_count:
        raise DatasetError(f"{name} keeps a file that could not be read: leave `dropped` as it is")
    if invalid := rows["id"].filter(pc.invert(pc.match_substring_regex(rows["id"], ID_PATTERN))).to_pylist():
        raise DatasetError(f"{name} keeps {invalid[0]!r}, which is not a picture's id: filter the dataset's manifest")
    for tag in pc.list_flatten(rows["tags"]).unique().to_pylist():
        if tag is None or tag.splitlines() != [tag]:
            row = next(row for row in rows.to_pylist() if tag in (row["tags"] or ()))
            raise DatasetError(f"{name} gives {row['id']} the tag {tag!r}: a tag is one line of text")


def _apply_rules(rows: pa.Table, rules: TagRules) -> pa.Table:
    tags = [rules.apply(row or ()) for row in rows["tags"].to_pylist()]
    return rows.set_column(rows.schema.get_field_index("tags"), "tags", pa.array(tags, pa.list_(pa.string())))


def _concatenate(arrays: list[pa.Array]) -> pa.Array:
    if len({array.type for array in arrays}) > 1:  # some parts have ids here, others hold other text too
        arrays = [unpack_ids(array) for array in arrays]
    return pa.concat_arrays(arrays)


def _encode_texts(column: pa.Array, known: dict[str | None, int]) -> pa.Array:
    """Texts, or lists of texts, as numbers in the order in which `known` met them; a null list is empty."""
    if pa.types.is_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
        return pa.ListArray.from_arrays(offsets, _encode_texts(pc.list_flatten(column), known))
    encoded = column.dictionary_encode(null_encoding="encode")
    numbers = [known.setdefault(text, len(known)) for text in encoded.dictionary.to_pylist()]
    return pa.array(np.array(numbers, np.int32)[encoded.indices.to_numpy()])


def _flatten_lists(lists: pa.Array) -> tuple[Int64Array, Int64Array]:
    """(row, value) of every value in the lists."""
    row, values = pc.list_parent_indices(lists), pc.list_flatten(lists)
    return row.to_numpy().astype(np.int64), values.to_numpy().astype(np.int64)
