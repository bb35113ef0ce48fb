"""Every reader of foreign files as a function (bytes, Place) -> fate, a word for what became of the input.

A NurieError is a fate too, named by its class. Every other exception is a fault, as is a result that is inconsistent:
the readers assert that it is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.audit import explain_picture, tag_counts, verify
from curate.contract import INDEX_FILE, find_file_faults, read_index, read_vocabulary
from curate.dataset import ledger, parquet
from curate.dataset.schema import MANIFEST_SCHEMA, pairs_schema
from curate.extraction import extract, record
from curate.extraction.options import ExtractOptions
from curate.images import decode
from curate.shards import kept_rows, shard
from curate.sources import table_lookup
from curate.sources.scan import Source, SourceFile, scan_sources
from curate.system.errors import NurieError
from curate.system.files import SEAL_KEY, canonical_json
from curate.tags import aliases, metadata_tables, sidecar
from tests.faults.hostile import valid_files

MAX_PIXELS = 1 << 20  # small, because files that claim large pictures are decoded thousands of times


@dataclass(frozen=True)
class Place:
    """The folders of a reader."""

    corpus: Path
    """Valid folders, which it must not change."""
    scratch: Path
    """The only folder that it may write to."""


ReadFunction = Callable[[bytes, Place], str]


@dataclass(frozen=True)
class Reader:
    """A reader of one kind of file."""

    read: ReadFunction
    valid_inputs: Callable[[Place], list[bytes]]
    kind: str
    """Format of the inputs, a key of `mutations.SHAPES`."""
    tensorflow: bool = False
    weight: float = 4
    """Inputs per batch, relative to other readers; 0: not fuzzed."""
    packages: Sequence[str] = ()
    """Modules with branches that guide atheris; empty: not guided."""


def fate(reader: Reader, data: bytes, place: Place) -> str:
    """Fate of an input. Raises every exception that is not a one-line NurieError."""
    try:
        return reader.read(data, place)
    except NurieError as error:
        name, message = type(error).__name__, str(error)
    assert "\n" not in message, f"{name} of several lines"
    return name


def _read_picture(data: bytes, _: Place) -> str:
    picture = decode.decode(data, MAX_PIXELS)
    assert picture.rgb.shape[2:] == (3,)
    assert picture.rgb.dtype == np.uint8
    return "picture"


def _read_full_size_picture(data: bytes, _: Place) -> str:
    """Decode a picture with the default limits of `extract`."""
    decode.decode(data)
    return "picture"


def _read_record(data: bytes, place: Place) -> str:
    """Extract a file; its record and pair must fit the Parquet schemas."""
    path = place.scratch / "a.png"
    path.write_bytes(data)
    options = ExtractOptions(lines=("dilate",), size=16, max_pixels=MAX_PIXELS)
    row, pair = record.extract_file(SourceFile("art", "a.png", None, path, ()), options)
    assert (pair is None) == (row["dropped"] is not None)
    assert (row["dropped"] == "unreadable") == (row["error"] is not None) == (row["id"] is None)
    MANIFEST_SCHEMA.empty_table().from_pylist([row], schema=MANIFEST_SCHEMA)
    pa.Table.from_pylist([pair.to_columns()] if pair else [], schema=pairs_schema(options.lines))
    return row["dropped"] or "kept"


def _read_sidecar(name: str, data: bytes, _: Place) -> str:
    _assert_storable(sidecar.read_sidecar(name, data))
    return "parsed"


def _assert_storable(parsed: sidecar.Sidecar) -> None:
    row = {
        "tags": parsed.tags,
        "rating": parsed.rating,
        "score": parsed.score,
        "license": parsed.license,
        "artist": parsed.artist,
    }
    row["extra"] = canonical_json(parsed.extra).decode()
    pa.Table.from_pylist([row], schema=pa.schema([MANIFEST_SCHEMA.field(name) for name in row]))
    assert all(tag and "\n" not in tag for tag in parsed.tags)


def _look_up_in_table(name: str, data: bytes, place: Place) -> str:
    """Look up pictures in a table beside them. No entry may be lost; a file that is no table must be a row itself."""
    root = place.scratch / "art"
    if not root.exists():
        root.mkdir()
        (root / "b").mkdir()
        for picture in ("a.png", "7.png", f"{'0' * 32}.png", "b/c.png"):
            (root / picture).write_bytes(b"")
    (root / name).write_bytes(data)
    files = list(scan_sources([Source("art", root)]))
    rows = [file.path for file in files if file.path == name]
    lookup = table_lookup.TableLookup()
    try:
        matches = [match for file in files if (match := lookup.look_up(file)) is not None]
        entry_count = lookup._index.execute("SELECT count(*) FROM entries").fetchone()[0]
        assert rows or entry_count + lookup.error_count >= _count_entries(root / name), "entries of a table are lost"
    finally:
        lookup.close()
        (root / name).unlink()
    for match in matches:
        _assert_storable(match)
    return "row" if rows else "matched" if matches else "errors counted" if lookup.error_count else "no match"


def _count_entries(path: Path) -> int:
    """Number of entries of a table, as far as it can be read."""
    count = 0
    with contextlib.suppress(*metadata_tables.TABLE_ERRORS):
        for _ in metadata_tables.read_entries(path):
            count += 1
    return count


def _read_aliases(data: bytes, place: Place) -> str:
    path = place.scratch / "aliases"
    path.write_bytes(data)
    aliases.read_aliases(path)
    return "read"


def _read_implications(data: bytes, place: Place) -> str:
    path = place.scratch / "implications"
    path.write_bytes(data)
    aliases.read_implications(path)
    return "read"


def _dataset_copy(place: Place) -> Path:
    copy = place.scratch / "dataset"
    if not copy.exists():
        shutil.copytree(valid_files.dataset_and_shards(place.corpus / "data") / "dataset", copy)
    return copy


def _with_file(copy: Path, name: str, data: bytes, check: Callable[[Path], str]) -> str:
    """Call `check` while the file `name` of the folder holds `data`."""
    original = (copy / name).read_bytes()
    try:
        (copy / name).write_bytes(data)
        return check(copy)
    finally:
        (copy / name).write_bytes(original)


def _without_seal(data: bytes) -> bytes:
    """JSON without its seal, which an attacker could recompute."""
    return json.dumps({name: value for name, value in json.loads(data).items() if name != SEAL_KEY}, indent=1).encode()


def _faults_with_correct_digest(dataset: Path, name: str, data: bytes) -> list[str]:
    """Faults that `verify` finds in a file whose digest in the ledger is correct, so that only the content counts."""
    state = json.loads((dataset / ledger.LEDGER_FILE).read_bytes())
    state["parts"][name] = hashlib.sha256(data).hexdigest()
    return _with_file(
        dataset,
        ledger.LEDGER_FILE,
        _without_seal(json.dumps(state).encode()),
        lambda copy: "|".join(verify.verify(copy)),
    ).split("|")


def _read_part(name: str, data: bytes, place: Place) -> str:
    """Read a part of a dataset with all its readers."""

    def check(copy: Path) -> str:
        faults = _faults_with_correct_digest(copy, name, data)
        assert all("\n" not in fault for fault in faults)
        table = parquet.read_table(copy / name)
        if name.startswith("manifest/"):
            kept_rows.read(copy, None)
            tag_counts.count_tags(copy, 10, aliases.TagRules())
            for key in table["path"].to_pylist()[:2]:
                explain_picture.why(copy, key or "")
        elif name.startswith("records/"):
            extract.forecast_extract([], copy, ExtractOptions(lines=("dilate",), size=16))
        else:
            shard.shard(copy, place.scratch / "shards", shard.ShardOptions(min_count=1, encoding="raw"), workers=1)
        return "faults reported" if faults != [""] else "read"

    try:
        return _with_file(_dataset_copy(place), name, data, check)
    finally:
        shutil.rmtree(place.scratch / "shards", ignore_errors=True)


def _read_selection(data: bytes, place: Place) -> str:
    path = place.scratch / "chosen.parquet"
    path.write_bytes(data)
    rows, counts = kept_rows.read(_dataset_copy(place), path)
    assert counts["in"] == counts["kept"] + sum(counts["dropped"].values())
    rows.digest(), rows.tag_counts()
    return "read"


def _read_ledger(data: bytes, place: Place) -> str:
    def check(copy: Path) -> str:
        extract.forecast_extract([], copy, ExtractOptions(lines=("dilate",), size=16))
        return "faults reported" if verify.verify(copy) else "read"

    return _with_file(_dataset_copy(place), ledger.LEDGER_FILE, data, check)


def _shards_copy(place: Place) -> Path:
    copy = place.scratch / "packed"
    if not copy.exists():
        shutil.copytree(valid_files.dataset_and_shards(place.corpus / "data") / "shards", copy)
    return copy


def _read_index(data: bytes, place: Place) -> str:
    def check(copy: Path) -> str:
        index = read_index(copy)
        find_file_faults(copy, index)
        for split in ("train", "validation", "test"):
            index.shard_names(split)
        faults = verify.verify(copy)
        explain_picture.why(_dataset_copy(place), "0.png", shards=copy)
        shard.find_finished_index(copy, {})
        return "faults reported" if faults else "read"

    return _with_file(_shards_copy(place), INDEX_FILE, data, check)


def _read_vocabulary(data: bytes, place: Place) -> str:
    def check(copy: Path) -> str:
        read_vocabulary(copy)
        return "faults reported" if verify.verify(copy) else "read"

    return _with_file(_shards_copy(place), "tags.txt", data, check)


def _read_for_training(name: str, data: bytes, place: Place) -> str:
    """Read a file of a shard folder as training does without checking digests (`--trust`)."""
    from train.data import pairs, unpack
    from train.data.batches import content_mask

    def check(copy: Path) -> str:
        training_pairs = pairs.Pairs(copy, "train")
        pairs.line_style_indices(training_pairs.index, ())
        assert len(training_pairs.ids) == len(training_pairs.families) == len(training_pairs)
        for number in range(len(training_pairs)):
            pair = unpack.unpack_pair(training_pairs.read_record(number), 0, training_pairs.index)
            content_mask(pair.content_box, training_pairs.index.size)
            np.zeros(len(training_pairs.vocabulary), np.float32)[list(pair.tag_indices)] = 1
        return "read"

    index = json.loads(_without_seal((_shards_copy(place) / INDEX_FILE).read_bytes()))
    if name == INDEX_FILE:
        return _with_file(_shards_copy(place), name, data, check)
    index["files"][name] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    vouched = json.dumps(index).encode()
    return _with_file(_shards_copy(place), INDEX_FILE, vouched, lambda copy: _with_file(copy, name, data, check))


def _read_drawing(data: bytes, place: Place) -> str:
    from train.coloring.drawing import fit_to_square, read_drawing

    path = place.scratch / "line.png"
    path.write_bytes(data)
    drawing = read_drawing(path)
    fit_to_square(drawing.gray, 16)
    return "drawing"


def _load_run(name: str, data: bytes, place: Place) -> str:
    from train.model import trained_model

    copy = place.scratch / "run"
    if not copy.exists():
        shutil.copytree(valid_files.run_folder(place.corpus / "run", place.corpus / "data") / "run", copy)
        config = json.loads(_without_seal((copy / "config.json").read_bytes()))
        (copy / "config.json").write_text(
            json.dumps({key: value for key, value in config.items() if key != "vocabulary"})
        )

    def check(run: Path) -> str:
        trained_model.load_trained(run)
        return "loaded"

    return _with_file(copy, name, data, check)


def _read_snapshot(data: bytes, place: Place) -> str:
    from train.model import snapshots

    path = place.scratch / "000000004.npz"
    path.write_bytes(data)
    snapshots.read_snapshot(path)
    return "read"


def _file_of_data(name: str) -> Callable[[Place], list[bytes]]:
    return lambda place: [
        _without_any_seal(name, (valid_files.dataset_and_shards(place.corpus / "data") / name).read_bytes())
    ]


def _file_of_run(name: str) -> Callable[[Place], list[bytes]]:
    return lambda place: [
        _without_any_seal(
            name, (valid_files.run_folder(place.corpus / "run", place.corpus / "data") / "run" / name).read_bytes()
        )
    ]


def _without_any_seal(name: str, data: bytes) -> bytes:
    return _without_seal(data) if name.endswith(".json") else data


def _pictures(name: str) -> Callable[[Place], list[bytes]]:
    return lambda _: valid_files.pictures()[name]


def _texts(name: str) -> Callable[[Place], list[bytes]]:
    return lambda _: valid_files.texts()[name]


def _any_picture(_: Place) -> list[bytes]:
    return [picture for name, pictures in valid_files.pictures().items() if name != "svg" for picture in pictures]


def _selection(place: Place) -> list[bytes]:
    table = pq.read_table(
        valid_files.dataset_and_shards(place.corpus / "data") / "dataset/manifest/part-00000.parquet"
    ).slice(0, 2)
    file = io.BytesIO()
    pq.write_table(table, file, compression="none", write_statistics=False, use_dictionary=False)
    return [file.getvalue()]


_TABLES = {
    "posts.jsonl": "lines",
    "posts.json": "json",
    "metadata.jsonl": "lines",
    "metadata.csv": "csv",
    "meta_cap.json": "json",
    "posts.parquet": "parquet",
}
_SIDECAR_READERS = ("curate.tags.sidecar", "curate.tags.normalize")
_TABLE_READERS = ("curate.tags.metadata_tables", "curate.sources.table_lookup", "json", "csv")
READERS: dict[str, Reader] = {
    **{
        name: Reader(
            _read_picture,
            _pictures(name),
            name,
            weight=1 if name == "svg" else 8,
            packages=("curate.images.decode", "curate.images.svg", "PIL"),
        )
        for name in ("png", "apng", "jpeg", "webp", "gif", "bmp", "tiff", "avif", "svg")
    },
    "bomb": Reader(_read_full_size_picture, _any_picture, "png", weight=0),
    "record": Reader(_read_record, _any_picture, "png", weight=2),
    "sidecar-json": Reader(
        partial(_read_sidecar, "a.json"),
        _texts("a.png.json"),
        "json",
        weight=8,
        packages=("curate.tags.sidecar", "curate.tags.normalize", "json"),
    ),
    "sidecar-txt": Reader(
        partial(_read_sidecar, "a.txt"),
        _texts("a.png.txt"),
        "lines",
        packages=("curate.tags.sidecar", "curate.tags.normalize"),
    ),
    **{
        f"table-{name}": Reader(
            partial(_look_up_in_table, name),
            _texts(name),
            kind,
            packages=_TABLE_READERS,
        )
        for name, kind in _TABLES.items()
    },
    "aliases": Reader(_read_aliases, _texts("aliases"), "lines", weight=1),
    "implications": Reader(_read_implications, _texts("implications"), "lines", weight=1),
    **{
        f"part-{name}": Reader(
            partial(_read_part, f"{name}/part-00000.parquet"),
            _file_of_data(f"dataset/{name}/part-00000.parquet"),
            "parquet",
            weight=weight,
        )
        for name, weight in (("manifest", 2), ("records", 1), ("pairs", 1))
    },
    "chosen": Reader(_read_selection, _selection, "parquet"),
    "state": Reader(_read_ledger, _file_of_data("dataset/dataset.json"), "json", weight=3),
    "index": Reader(_read_index, _file_of_data("shards/index.json"), "json", weight=3, packages=("curate.contract",)),
    "vocabulary": Reader(_read_vocabulary, _file_of_data("shards/tags.txt"), "lines", weight=1),
    "drawing": Reader(_read_drawing, _any_picture, "png"),
    "listing": Reader(
        partial(_read_for_training, "train-00000-of-00002.parquet"),
        _file_of_data("shards/train-00000-of-00002.parquet"),
        "parquet",
        tensorflow=True,
    ),
    "pairs": Reader(
        partial(_read_for_training, "train-00000-of-00002.tfrecord"),
        _file_of_data("shards/train-00000-of-00002.tfrecord"),
        "example",
        tensorflow=True,
    ),
    "trained-index": Reader(
        partial(_read_for_training, "index.json"), _file_of_data("shards/index.json"), "json", tensorflow=True
    ),
    "config": Reader(
        partial(_load_run, "config.json"), _file_of_run("config.json"), "json", tensorflow=True, weight=0.2
    ),
    "run-vocabulary": Reader(
        partial(_load_run, "vocabulary.txt"), _file_of_run("vocabulary.txt"), "lines", tensorflow=True, weight=0.2
    ),
    "model": Reader(partial(_load_run, "model.keras"), _file_of_run("model.keras"), "zip", tensorflow=True, weight=0.2),
    "snapshot": Reader(_read_snapshot, _file_of_run("snapshots/000000004.npz"), "zip", tensorflow=True),
}
