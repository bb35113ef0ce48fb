"""Write one shard in one of three formats: TFRecord, WebDataset's tar archives, Hugging Face's imagefolder.

Each writer takes a target and the shard's pairs, and returns the files it wrote by their paths in the shard folder.
Pairs are serialised one at a time, so a writer needs little memory beyond the pairs themselves.
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

ShardFiles = dict[str, ShardFile]
"""Index entries by path in the shard folder."""

MAX_FILES_PER_FOLDER = 1000  # of an imagefolder: larger folders are slow to list, on a disk and on a hub
LISTING_SCHEMA = pa.schema(
    [("id", pa.string()), ("family", pa.string()), ("offset", pa.int64()), ("length", pa.int64())]
)
LISTINGS_FOLDER = "__listings__"
"""Folder of the listings of tar shards. Hugging Face's datasets skips such a name; listings beside the archives would
be taken for the data."""


@dataclass(frozen=True)
class PairRecord:
    """One pair as it goes into a shard."""

    id: str
    family: str
    group: str
    tags: Sequence[int]
    """Numbers in the vocabulary, ascending."""
    content_box: Sequence[int]
    """Top, left, height, width of the picture inside the square, px."""
    pictures: Mapping[str, bytes]
    """PNG by column: `color`, then `line_METHOD` for each style."""


@dataclass(frozen=True)
class ShardTarget:
    """Where one shard goes, and what all its pairs share."""

    folder: Path
    scratch: Path
    """A folder on the same disk as `folder`. `merge_listings` reads what an imagefolder's writer leaves here."""
    split: str
    name: str
    encoding: str
    vocabulary: tuple[str, ...]
    options_hash: str


def format_shard_name(format_name: str, split: str, number: int, total: int) -> str:
    """Name of shard `number` (from 0) of `total`: a file; a folder for an imagefolder."""
    suffix = {"tfrecord": "tfrecord", "webdataset": "tar"}.get(format_name)
    return shard_name(split, number, total, suffix) if suffix else f"{split}/{number:05d}"


def index_entry(path: Path, split: str, records: int) -> ShardFile:
    """The index entry of a file on the disk."""
    return ShardFile(split, records, storage.file_size(path), storage.file_sha256(path))


def merge_listings(folder: Path, scratch: Path, split: str) -> ShardFiles:
    """Merge the listings of an imagefolder's shards into the one metadata file of their split that readers expect."""
    listings = sorted(scratch.glob(f"listing-{split}-*.parquet"))
    if not listings:
        return {}
    path = folder / split / METADATA_FILE
    os.sync()  # once for all pictures, before the index lists them: an fsync each would take hours for a million
    records = parquet.merge_files(path, listings)
    return {f"{split}/{METADATA_FILE}": index_entry(path, split, records)}


def _write_tfrecord(target: ShardTarget, pairs: Sequence[PairRecord]) -> ShardFiles:
    records = map(tfrecord.frame_record, serialize_examples(pairs, target.encoding))
    shard, sizes = _write_pieces(target, records, len(pairs))
    lengths = [size - tfrecord.HEADER_BYTES - tfrecord.FOOTER_BYTES for size in sizes]
    offsets = [span.offset for span in tfrecord.record_spans(lengths)]
    return {target.name: shard, **_write_listing(target, pairs, offsets, lengths)}


def _write_webdataset(target: ShardTarget, pairs: Sequence[PairRecord]) -> ShardFiles:
    samples = (tar_format.archive_members(_sample_files(pair, target.vocabulary)) for pair in pairs)
    shard, sizes = _write_pieces(target, tar_format.iter_archive(samples), len(pairs))
    lengths = sizes[: len(pairs)]  # the last piece is the archive's ending
    offsets = list(accumulate(lengths, initial=0))[: len(pairs)]
    storage.make_folder(target.folder / LISTINGS_FOLDER)
    return {target.name: shard, **_write_listing(target, pairs, offsets, lengths, f"{LISTINGS_FOLDER}/")}


def _write_pieces(target: ShardTarget, pieces: Iterable[bytes], records: int) -> tuple[ShardFile, list[int]]:
    """Write a shard piece by piece. Returns its index entry, hashed on the way, and the length of each piece."""
    sizes, digest = [], hashlib.sha256()
    with storage.open_atomic(target.folder / target.name) as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
            sizes.append(len(piece))
    return ShardFile(target.split, records, sum(sizes), digest.hexdigest()), sizes


def _write_listing(
    target: ShardTarget, pairs: Sequence[PairRecord], offsets: list[int], lengths: list[int], prefix: str = ""
) -> ShardFiles:
    """Write the table of where each record lies in the shard. Its path is `prefix` and the shard's name."""
    name = f"{prefix}{target.name.rpartition('.')[0]}.parquet"
    columns = [[pair.id for pair in pairs], [pair.family for pair in pairs], offsets, lengths]
    schema = with_options_hash(LISTING_SCHEMA, target.options_hash)
    parquet.write_table(target.folder / name, pa.Table.from_arrays(list(map(pa.array, columns)), schema=schema))
    return {name: index_entry(target.folder / name, target.split, len(pairs))}


def _write_imagefolder(target: ShardTarget, pairs: Sequence[PairRecord]) -> ShardFiles:
    """Write a PNG per picture and the shard's listing. The folder gets its final name when it is complete."""
    names = list(pairs[0].pictures)
    unfinished = target.scratch / target.name.replace("/", "-")
    files: ShardFiles = {}
    listing = []
    for number, pair in enumerate(pairs):
        subfolder = f"{number // (MAX_FILES_PER_FOLDER // len(names)):03d}"
        paths = {name: f"{subfolder}/{pair.id}.{name}.png" for name in names}
        for name, path in paths.items():
            data = pair.pictures[name]
            with name_file_in_errors(target.folder / target.name / path):
                (unfinished / subfolder).mkdir(parents=True, exist_ok=True)
                (unfinished / path).write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
            files[f"{target.name}/{path}"] = ShardFile(target.split, 1, len(data), digest)
        listing.append(_metadata_row(pair, target, paths))
    (target.folder / target.split).mkdir(exist_ok=True)
    unfinished.rename(target.folder / target.name)
    schema = with_options_hash(_metadata_schema(names), target.options_hash)
    parquet.write_rows(target.scratch / f"listing-{unfinished.name}.parquet", listing, schema)
    return files


def _metadata_row(pair: PairRecord, target: ShardTarget, paths: Mapping[str, str]) -> dict[str, Any]:
    """A row of `metadata.parquet`; its paths are relative to the split's folder, as readers want them."""
    shard_folder = target.name.removeprefix(f"{target.split}/")
    path_columns = {_path_column(name): f"{shard_folder}/{path}" for name, path in paths.items()}
    return {**path_columns, **_pair_metadata(pair, target.vocabulary)}


def _metadata_schema(names: list[str]) -> pa.Schema:
    """`file_name` sorts first: the reader of datasets 5.2 gives that column to the first picture it meets."""
    texts = [*sorted(map(_path_column, names)), "id", "family", "group"]
    lists = [("tags", pa.list_(pa.string())), ("content_box", pa.list_(pa.int32()))]
    return pa.schema([*((name, pa.string()) for name in texts), *lists])


def _path_column(name: str) -> str:
    """Column of a picture's path: readers turn `file_name` into `image`, and `X_file_name` into `X`."""
    return "file_name" if name == "color" else f"{name}_file_name"


def _sample_files(pair: PairRecord, vocabulary: tuple[str, ...]) -> dict[str, bytes]:
    """A pair's files in an archive. Readers group files by the part of the name before the first dot: the id."""
    pictures = {f"{pair.id}.{name}.png": data for name, data in pair.pictures.items()}
    return {**pictures, f"{pair.id}.json": canonical_json(_pair_metadata(pair, vocabulary))}


def _pair_metadata(pair: PairRecord, vocabulary: tuple[str, ...]) -> dict[str, Any]:
    """What is stored beside a pair's pictures, with tags as text."""
    texts = {"id": pair.id, "family": pair.family, "group": pair.group}
    return {**texts, "tags": [vocabulary[tag] for tag in pair.tags], "content_box": pair.content_box}


def serialize_examples(pairs: Iterable[PairRecord], encoding: str) -> Iterator[bytes]:
    """Yield each pair as a serialised tf.train.Example. `raw` raises DamagedError for a PNG that does not decode."""
    for pair in pairs:
        pictures = pair.pictures
        if encoding == "raw":
            pictures = {name: _decode_pixels(data) for name, data in pictures.items()}
        texts = {"id": pair.id.encode(), "family": pair.family.encode(), "group": pair.group.encode()}
        yield tfrecord.serialize_example({**texts, **pictures, "content_box": pair.content_box, "tags": pair.tags})


def _decode_pixels(png_bytes: bytes) -> bytes:
    """Pixels of a PNG row by row, RGB or gray. Raises DamagedError if it cannot be read."""
    decoded = cv2.imdecode(np.frombuffer(png_bytes, np.uint8), cv2.IMREAD_UNCHANGED) if png_bytes else None
    if decoded is None:
        raise DamagedError("a pair's PNG cannot be read: run `curate verify` on the dataset, and extract it again")
    pixels = np.asarray(decoded, np.uint8)
    return (pixels[..., ::-1] if pixels.ndim > 2 else pixels).tobytes()


SHARD_WRITERS: dict[str, Callable[[ShardTarget, Sequence[PairRecord]], ShardFiles]] = {
    "tfrecord": _write_tfrecord,
    "webdataset": _write_webdataset,
    "imagefolder": _write_imagefolder,
}
