"""The rows of one shard -> its files, a function a format: TFRecord, WebDataset's tar, Hugging Face's imagefolder.

Every function takes (target, rows) and returns the files it wrote, named from the shard folder. Rows are turned to
records one by one, so memory stays that of the rows.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from curate import storage
from curate.contract import METADATA_FILE, ShardFile, shard_name
from curate.dataset import parquet
from curate.dataset.schema import with_options_hash
from curate.shards import tar_format, tfrecord
from curate.system.errors import DamagedError, name_file_in_errors
from curate.system.files import canonical_json

PairRow = dict[str, Any]
ShardFiles = dict[str, ShardFile]

MAX_FILES_PER_FOLDER = 1000  # most files a folder of pictures holds: more are slow to list, on disk and on a hub


LISTING_SCHEMA = pa.schema(
    [("id", pa.string()), ("family", pa.string()), ("offset", pa.int64()), ("length", pa.int64())]
)
LISTINGS_FOLDER = "__listings__"
"""Folder of the tables of tar shards. Hugging Face's datasets passes over such a name; beside the archives it would
take the tables for the data."""


@dataclass(frozen=True)
class ShardTarget:
    """Where one shard goes, and what its rows do not say."""

    folder: Path
    scratch: Path
    """On the disk of `folder`; what is left in it when a shard is written is for `gather`."""
    split: str
    name: str
    encoding: str
    vocabulary: tuple[str, ...]
    options_hash: str


def format_shard_name(form: str, split: str, number: int, total: int) -> str:
    """Name of shard `number` (from 0) of `total`: a file, or for an imagefolder a folder."""
    suffix = {"tfrecord": "tfrecord", "webdataset": "tar"}.get(form)
    return shard_name(split, number, total, suffix) if suffix else f"{split}/{number:05d}"


def index_entry(path: Path, split: str, records: int) -> ShardFile:
    """A written file's entry in the index."""
    return ShardFile(split, records, storage.file_size(path), storage.file_sha256(path))


def merge_listings(folder: Path, scratch: Path, split: str) -> ShardFiles:
    """The listings that an imagefolder's shards left become their split's metadata, which its readers want in one."""
    listings = sorted(scratch.glob(f"listing-{split}-*.parquet"))
    if not listings:
        return {}
    path = folder / split / METADATA_FILE
    os.sync()  # once before the index says that all is there: an fsync for each of a million pictures would take hours
    records = parquet.merge_files(path, listings)
    return {f"{split}/{METADATA_FILE}": index_entry(path, split, records)}


def _tfrecord(target: ShardTarget, rows: Sequence[PairRow]) -> ShardFiles:
    shard, sizes = _write(target, map(tfrecord.frame_record, serialize_examples(rows, target.encoding)), len(rows))
    lengths = [size - tfrecord.HEADER_BYTES - tfrecord.FOOTER_BYTES for size in sizes]
    offsets = [span.offset for span in tfrecord.record_spans(lengths)]
    return {target.name: shard, **_write_listing(target, rows, offsets, lengths)}


def _webdataset(target: ShardTarget, rows: Sequence[PairRow]) -> ShardFiles:
    samples = (tar_format.archive_members(_sample(row, target.vocabulary)) for row in rows)
    shard, sizes = _write(target, tar_format.iter_archive(samples), len(rows))
    offsets = list(accumulate(sizes, initial=0))[: len(rows)]
    storage.make_folder(target.folder / LISTINGS_FOLDER)
    return {target.name: shard, **_write_listing(target, rows, offsets, sizes[: len(rows)], f"{LISTINGS_FOLDER}/")}


def _write(target: ShardTarget, pieces: Iterable[bytes], records: int) -> tuple[ShardFile, list[int]]:
    """Write the pieces of a shard; its entry in the index, for which it is not read again, and each piece's length."""
    sizes, digest = [], hashlib.sha256()
    with storage.open_atomic(target.folder / target.name) as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
            sizes.append(len(piece))
    return ShardFile(target.split, records, sum(sizes), digest.hexdigest()), sizes


def _write_listing(
    target: ShardTarget, rows: Sequence[PairRow], offsets: list[int], lengths: list[int], below: str = ""
) -> ShardFiles:
    """The table, in the folder `below` of the shards, of where each record lies in a shard; its entry in the index."""
    name = f"{below}{target.name.rpartition('.')[0]}.parquet"
    columns = [[row["id"] for row in rows], [row["family"] for row in rows], offsets, lengths]
    schema = with_options_hash(LISTING_SCHEMA, target.options_hash)
    parquet.write_table(target.folder / name, pa.Table.from_arrays(list(map(pa.array, columns)), schema=schema))
    return {name: index_entry(target.folder / name, target.split, len(rows))}


def _imagefolder(target: ShardTarget, rows: Sequence[PairRow]) -> ShardFiles:
    """Pictures below a folder that takes its name when it is whole; the rows of metadata that name them."""
    names = [name for name in rows[0] if _is_picture_column(name)]
    made = target.scratch / target.name.replace("/", "-")
    files: ShardFiles = {}
    listing = []
    for number, row in enumerate(rows):
        below = f"{number // (MAX_FILES_PER_FOLDER // len(names)):03d}"
        places = {name: f"{below}/{row['id']}.{name}.png" for name in names}
        for name, place in places.items():
            with name_file_in_errors(target.folder / target.name / place):
                (made / below).mkdir(parents=True, exist_ok=True)
                (made / place).write_bytes(row[name])
            files[f"{target.name}/{place}"] = _picture(target.split, row[name])
        listing.append(_metadata(row, target, places))
    (target.folder / target.split).mkdir(exist_ok=True)
    made.rename(target.folder / target.name)
    schema = with_options_hash(_metadata_schema(names), target.options_hash)
    parquet.write_rows(target.scratch / f"listing-{made.name}.parquet", listing, schema)
    return files


def _metadata(row: PairRow, target: ShardTarget, places: Mapping[str, str]) -> PairRow:
    """A row of metadata; paths are from the split's folder, as the reader wants them."""
    within = target.name.removeprefix(f"{target.split}/")
    named = {_path_column(name): f"{within}/{place}" for name, place in places.items()}
    return {**named, **_pair_metadata(row, target.vocabulary)}


def _metadata_schema(names: list[str]) -> pa.Schema:
    """`file_name` leads: the reader of datasets 5.2 gives that column to whichever picture it meets first."""
    texts = [*sorted(map(_path_column, names)), "id", "family", "group"]
    return pa.schema(
        [
            *((name, pa.string()) for name in texts),
            ("tags", pa.list_(pa.string())),
            ("content_box", pa.list_(pa.int32())),
        ]
    )


def _path_column(name: str) -> str:
    """Column of a picture's path: the reader makes `image` of `file_name`, and X of `X_file_name`."""
    return "file_name" if name == "color" else f"{name}_file_name"


def _picture(split: str, data: bytes) -> ShardFile:
    return ShardFile(split, 1, len(data), hashlib.sha256(data).hexdigest())


def _sample(row: PairRow, vocabulary: tuple[str, ...]) -> dict[str, bytes]:
    """A pair's files in an archive: the id, to the first dot, is what a reader joins them by."""
    pictures = {f"{row['id']}.{name}.png": row[name] for name in row if _is_picture_column(name)}
    return {**pictures, f"{row['id']}.json": canonical_json(_pair_metadata(row, vocabulary))}


def _pair_metadata(row: PairRow, vocabulary: tuple[str, ...]) -> PairRow:
    """What is told of a pair beside its pictures; the tags by name."""
    texts = {name: row[name] for name in ("id", "family", "group")}
    return {**texts, "tags": [vocabulary[tag] for tag in row["tags"]], "content_box": row["content_box"]}


def serialize_examples(rows: Sequence[PairRow], encoding: str) -> Iterator[bytes]:
    """Each row as a serialised tf.train.Example. Raises DamagedError for a PNG that is none, if `raw`."""
    pictures = [name for name in rows[0] if _is_picture_column(name)]
    for row in rows:
        pixels = {name: _decode_pixels(row[name]) if encoding == "raw" else row[name] for name in pictures}
        texts = {name: row[name].encode() for name in ("id", "family", "group")}
        yield tfrecord.serialize_example({**texts, **pixels, "content_box": row["content_box"], "tags": row["tags"]})


def _decode_pixels(png_bytes: bytes) -> bytes:
    """PNG -> pixels in rows, RGB or gray. Raises DamagedError if it cannot be read."""
    decoded = cv2.imdecode(np.frombuffer(png_bytes, np.uint8), cv2.IMREAD_UNCHANGED) if png_bytes else None
    if decoded is None:
        raise DamagedError("a pair's PNG cannot be read: run `curate verify` on the dataset, and extract it again")
    pixels = np.asarray(decoded, np.uint8)
    return (pixels[..., ::-1] if pixels.ndim > 2 else pixels).tobytes()


def _is_picture_column(name: str) -> bool:
    return name == "color" or name.startswith("line_")


SHARD_WRITERS: dict[str, Callable[[ShardTarget, Sequence[PairRow]], ShardFiles]] = {
    "tfrecord": _tfrecord,
    "webdataset": _webdataset,
    "imagefolder": _imagefolder,
}
