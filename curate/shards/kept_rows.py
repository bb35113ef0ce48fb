"""A manifest's kept rows as columns, in the order of their ids: ten million of ten tags take a gigabyte, not tens.

Ids are sixteen bytes, texts that many rows share are numbers; rows become dictionaries a chunk at a time.
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
ROWS_PER_CHUNK = 1 << 14  # rows that are Python's at a time
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KeptRows:
    """Kept rows in the order of their ids, so that neither a manifest's parts nor a filter's order matter."""

    ids: PackedIds
    """(rows,) of 16 bytes, ascending."""
    column_rows: npt.NDArray[np.int32]
    """(rows,) where each row lies in `columns`, which are as they were read: sorting them would hold them twice."""
    columns: Mapping[str, pa.Array]
    """`family` and `group` as `packed` makes them, NUMBERED as numbers (`tags`: a list of them a row)."""
    texts: Mapping[str, Sequence[str | None]]
    """What the numbers of each NUMBERED column stand for."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def splits(self) -> npt.NDArray[np.int8]:
        """(rows,) numbers in SPLITS."""
        numbers = np.array([SPLITS.index(str(name)) for name in self.texts["split"]], np.int8)
        rows: npt.NDArray[np.int32] = self.columns["split"].to_numpy()[self.column_rows]
        return numbers[rows]

    def row_numbers(self, ids: pa.Array) -> Int64Array:
        """(ids,) row of each id, -1 where it is not kept. Raises DamagedError for what is no id."""
        tight = pack_ids(ids)
        if not are_ids_packed(tight):
            raise DamagedError("what should be ids of pictures is none: see `curate verify`")
        wanted = to_numpy_ids(tight)
        rows = np.minimum(self.ids.searchsorted(wanted), len(self) - 1)
        return np.where(self.ids[rows] == wanted, rows, -1)

    def hex_id(self, row: int) -> str:
        """The id of a row, in hex digits."""
        return self.ids[row : row + 1].tobytes().hex()

    def families_and_groups(self, rows: Int64Array) -> tuple[pa.Array, pa.Array]:
        """Families and groups of rows, as text; empty where they have none."""
        family, group = (pc.fill_null(unpack_ids(self._take(name, rows)), "") for name in GROUPING_COLUMNS)
        return family, group

    def tag_numbers(self, rows: Int64Array, vocabulary: Int64Array) -> pa.Array:
        """The tags of rows as lists, ascending, of numbers in a vocabulary.

        vocabulary: (texts of tags,) number of each, -1 for one that is left out.
        """
        row, tags = _flat(self._take("tags", rows))
        number = vocabulary[tags]
        row, number = row[number >= 0], number[number >= 0]
        ends = np.bincount(row, minlength=len(rows)).cumsum()
        offsets = np.concatenate([[0], ends]).astype(np.int32)
        return pa.ListArray.from_arrays(offsets, number[np.lexsort((number, row))])

    def tag_counts(self) -> list[dict[str, int]]:
        """Rows that carry each tag, a dictionary a split."""
        total = len(self.texts["tags"])
        counts = np.zeros(len(SPLITS) * total, np.int64)
        for start in range(0, len(self), ROWS_PER_CHUNK):
            row, tags = _flat(self._take("tags", slice(start, start + ROWS_PER_CHUNK)))
            pairs = np.sort(row * total + tags)
            row, tags = np.divmod(pairs[np.diff(pairs, prepend=-1) > 0], max(total, 1))  # once, if a row repeats a tag
            counts += np.bincount(self.splits[start + row] * np.int64(total) + tags, minlength=len(counts))
        names = [str(text) for text in self.texts["tags"]]
        return [
            {name: count for name, count in zip(names, one, strict=True) if count}
            for one in counts.reshape(len(SPLITS), total).tolist()
        ]

    def text_counts(self, column: str) -> dict[str, int]:
        """Rows of each text of `license` or `artist`, by text; null counts as empty."""
        counted: Counter[str] = Counter()
        for text, rows in zip(self.texts[column], np.bincount(self.columns[column].to_numpy()).tolist(), strict=True):
            counted[text or ""] += rows
        return dict(sorted(counted.items()))

    def digest(self) -> str:
        """Equal to `options_hash({"rows": [every row as a dictionary of COLUMNS]})`, and never holds them all."""
        digest = hashlib.sha256(b'{"rows": [')
        quoted = {name: pa.array(map(_quoted, texts), pa.string()) for name, texts in self.texts.items()}
        for start in range(0, len(self), ROWS_PER_CHUNK):
            told = ", ".join(self._json(slice(start, start + ROWS_PER_CHUNK), quoted).to_pylist())
            digest.update((", " * bool(start) + told).encode())
        digest.update(b"]}")
        return digest.hexdigest()

    def _take(self, name: str, rows: Int64Array | slice) -> pa.Array:
        return self.columns[name].take(pa.array(self.column_rows[rows]))

    def _json(self, rows: slice, quoted: Mapping[str, pa.Array]) -> pa.Array:
        """Some rows, each as `canonical_json` has it, in a tenth of its time."""
        columns = {name: self._take(name, rows) for name in self.columns}
        columns["id"] = ids_from_bytes(self.ids[rows].tobytes())
        told = {name: quoted[name].take(columns[name]) for name in ENCODED_COLUMNS if name != "tags"}
        for name in ("id", *GROUPING_COLUMNS):
            texts = unpack_ids(columns[name])  # no id has what JSON escapes
            whole = _join_texts('"', texts, '"') if are_ids_packed(columns[name]) else map(_quoted, texts.to_pylist())
            told[name] = pa.array(whole, pa.string())
        ends = np.concatenate([[0], pc.list_value_length(columns["tags"]).to_numpy().cumsum()]).astype(np.int32)
        tags = pa.ListArray.from_arrays(ends, quoted["tags"].take(pc.list_flatten(columns["tags"])))
        told["tags"] = _join_texts("[", pc.binary_join(tags, ", "), "]")
        told["dropped"] = "null"
        pieces = [piece for name in sorted(told) for piece in (f', "{name}": ', told[name])]
        return _join_texts("{", pieces[0].removeprefix(", "), *pieces[1:], "}")


def read(dataset: Path, manifest: Path | None, rules: TagRules | None = None) -> tuple[KeptRows, dict[str, Any]]:
    """The kept rows of a dataset's manifest, or of `chosen`, a filtered one, tags by `rules`; counts of rows by fate.

    Raises DatasetError, naming the file, if they make no shards.
    """
    what = manifest or dataset / "manifest"
    fates: Counter[str | None] = Counter()
    texts: dict[str, dict[str | None, int]] = {name: {} for name in ENCODED_COLUMNS}
    gathered: dict[str, list[pa.Array]] = defaultdict(list)
    for table in _tables(dataset, manifest):
        fates.update(table["dropped"].to_pylist())
        rows = table.filter(pc.is_null(table["dropped"]))
        _check(rows, what, dataset)
        for name in ("id", *GROUPING_COLUMNS):
            gathered[name].append(pack_ids(rows[name].combine_chunks()))
        rows = _ruled(rows, rules) if rules else rows
        for name in ENCODED_COLUMNS:
            gathered[name].append(_encode_texts(rows[name].combine_chunks(), texts[name]))
    if not fates[None]:
        raise DatasetError(f"{what} keeps no picture: run `curate why`, or filter less")
    ids = to_numpy_ids(_concatenated(gathered.pop("id")))
    order = ids.argsort().astype(np.int32)
    columns = {name: _concatenated(gathered.pop(name)) for name in (*GROUPING_COLUMNS, *ENCODED_COLUMNS)}
    kept = KeptRows(ids[order], order, columns, {name: list(known) for name, known in texts.items()})
    if (kept.ids[1:] == kept.ids[:-1]).any():
        raise DatasetError(f"{what} keeps a picture twice: drop repeated ids, or run `curate dedupe` again")
    dropped = {reason: count for reason, count in fates.items() if reason is not None}
    return kept, {"in": fates.total(), "kept": fates[None], "dropped": dict(sorted(dropped.items()))}


def _tables(dataset: Path, chosen: Path | None) -> Iterator[pa.Table]:
    """The rows of a manifest, some parts at once."""
    tables = (
        filtered_manifest.iter_tables(chosen, MANIFEST_COLUMNS)
        if chosen
        else parquet.iter_parts(dataset / "manifest", MANIFEST_COLUMNS)
    )
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= ROWS_PER_CHUNK:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _check(rows: pa.Table, what: Path, dataset: Path) -> None:
    """Raise DatasetError where a row of one table makes no record."""
    if not set(rows["split"].unique().to_pylist()) <= set(SPLITS):
        raise DatasetError(f"{what} has no splits: run `curate dedupe {dataset}` first")
    if rows["id"].null_count:
        raise DatasetError(f"{what} keeps a file that could not be read: leave `dropped` as it is")
    if strange := rows["id"].filter(pc.invert(pc.match_substring_regex(rows["id"], ID_PATTERN))).to_pylist():
        raise DatasetError(f"{what} keeps {strange[0]!r}, which is no picture's id: choose from the dataset's manifest")
    for tag in pc.list_flatten(rows["tags"]).unique().to_pylist():
        if tag is None or tag.splitlines() != [tag]:
            row = next(row for row in rows.to_pylist() if tag in (row["tags"] or ()))
            raise DatasetError(f"{what} gives {row['id']} the tag {tag!r}: a tag is one line of text")


def _ruled(rows: pa.Table, rules: TagRules) -> pa.Table:
    tags = [rules.apply(row or ()) for row in rows["tags"].to_pylist()]
    return rows.set_column(rows.schema.get_field_index("tags"), "tags", pa.array(tags, pa.list_(pa.string())))


def _join_texts(*texts: Any) -> pa.Array:
    return pc.binary_join_element_wise(*texts, "")


def _quoted(text: str | None) -> str:
    return canonical_json(text).decode()


def _concatenated(arrays: list[pa.Array]) -> pa.Array:
    if len({array.type for array in arrays}) > 1:  # families of some rows are ids, those of others are not
        arrays = [unpack_ids(array) for array in arrays]
    return pa.concat_arrays(arrays)


def _encode_texts(column: pa.Array, known: dict[str | None, int]) -> pa.Array:
    """Numbers of texts, and of lists of them, by the order in which `known` meets them; a null list is empty."""
    if pa.types.is_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
        return pa.ListArray.from_arrays(offsets, _encode_texts(pc.list_flatten(column), known))
    encoded = column.dictionary_encode(null_encoding="encode")
    numbers = [known.setdefault(text, len(known)) for text in encoded.dictionary.to_pylist()]
    return pa.array(np.array(numbers, np.int32)[encoded.indices.to_numpy()])


def _flat(lists: pa.Array) -> tuple[Int64Array, Int64Array]:
    """(row, value) of every value in lists."""
    row, values = pc.list_parent_indices(lists), pc.list_flatten(lists)
    return row.to_numpy().astype(np.int64), values.to_numpy().astype(np.int64)
