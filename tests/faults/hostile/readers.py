"""Every reader of files that a stranger may have made, each as a function (bytes, Place) -> what became of them.

A reader returns the fate of its input; a NurieError is one, too, and told by its class. Whatever else it raises is a
fault, and so is a fate that does not hold together, which it asserts.
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
from tests.faults.hostile import sound

MOST = 1 << 20  # pixels: what a small file claims is decoded thousands of times


@dataclass(frozen=True)
class Place:
    """Where a reader works."""

    corpus: Path
    """Sound folders, not to be changed."""
    scratch: Path
    """Its own, the only place that may be written to."""


Read = Callable[[bytes, Place], str]


@dataclass(frozen=True)
class Reader:
    """One way in."""

    read: Read
    sound: Callable[[Place], list[bytes]]
    """Sound inputs."""
    kind: str
    """What their structure is: see `mutations.SHAPES`."""
    tensorflow: bool = False
    weight: float = 4
    """How many inputs it gets beside the others."""
    packages: Sequence[str] = ()
    """Modules whose branches guide atheris."""


def fate(reader: Reader, data: bytes, place: Place) -> str:
    """What became of an input. Raises what no command tells in a line."""
    try:
        return reader.read(data, place)
    except NurieError as error:
        told = error
    assert "\n" not in str(told), f"{type(told).__name__} of several lines"
    return type(told).__name__


def _picture(data: bytes, _: Place) -> str:
    picture = decode.decode(data, MOST)
    assert picture.rgb.shape[2:] == (3,)
    assert picture.rgb.dtype == np.uint8
    return "picture"


def _bomb(data: bytes, _: Place) -> str:
    """A picture as `extract` takes it, with its own bounds."""
    decode.decode(data)
    return "picture"


def _record(data: bytes, place: Place) -> str:
    """A file, its record and its pair as Parquet holds them."""
    path = place.scratch / "a.png"
    path.write_bytes(data)
    options = ExtractOptions(lines=("dilate",), size=16, max_pixels=MOST)
    row, pair = record.extract_file(SourceFile("art", "a.png", None, path, ()), options)
    assert (pair is None) == (row["dropped"] is not None)
    assert (row["dropped"] == "unreadable") == (row["error"] is not None) == (row["id"] is None)
    MANIFEST_SCHEMA.empty_table().from_pylist([row], schema=MANIFEST_SCHEMA)
    pa.Table.from_pylist([pair.to_columns()] if pair else [], schema=pairs_schema(options.lines))
    return row["dropped"] or "kept"


def _sidecar(name: str, data: bytes, _: Place) -> str:
    _storable(sidecar.read_sidecar(name, data))
    return "told"


def _storable(told: sidecar.Sidecar) -> None:
    row = {
        "tags": told.tags,
        "rating": told.rating,
        "score": told.score,
        "license": told.license,
        "artist": told.artist,
    }
    row["extra"] = canonical_json(told.extra).decode()
    pa.Table.from_pylist([row], schema=pa.schema([MANIFEST_SCHEMA.field(name) for name in row]))
    assert all(tag and "\n" not in tag for tag in told.tags)


def _table(name: str, data: bytes, place: Place) -> str:
    """A table above pictures of every name that it may know; a file that is no table is a row like others."""
    root = place.scratch / "art"
    if not root.exists():
        root.mkdir()
        (root / "b").mkdir()
        for one in ("a.png", "7.png", f"{'0' * 32}.png", "b/c.png"):
            (root / one).write_bytes(b"")
    (root / name).write_bytes(data)
    files = list(scan_sources([Source("art", root)]))
    rows = [file.path for file in files if file.path == name]
    joined = table_lookup.TableLookup()
    try:
        told = [found for file in files if (found := joined.look_up(file)) is not None]
        known = joined._index.execute("SELECT count(*) FROM entries").fetchone()[0]
        assert rows or known + joined.error_count >= _entries(root / name), "entries of a table are lost"
    finally:
        joined.close()
        (root / name).unlink()
    for found in told:
        _storable(found)
    return "row" if rows else "told" if told else "counted" if joined.error_count else "of others"


def _entries(path: Path) -> int:
    """How many entries a table has, as far as it can be read."""
    found = 0
    with contextlib.suppress(*metadata_tables.TABLE_ERRORS):
        for _ in metadata_tables.read_entries(path):
            found += 1
    return found


def _aliases(data: bytes, place: Place) -> str:
    path = place.scratch / "aliases"
    path.write_bytes(data)
    aliases.read_aliases(path)
    return "read"


def _implications(data: bytes, place: Place) -> str:
    path = place.scratch / "implications"
    path.write_bytes(data)
    aliases.read_implications(path)
    return "read"


def _dataset(place: Place) -> Path:
    copy = place.scratch / "dataset"
    if not copy.exists():
        shutil.copytree(sound.data(place.corpus / "data") / "dataset", copy)
    return copy


def _within(copy: Path, name: str, data: bytes, check: Callable[[Path], str]) -> str:
    """`check` the folder while `data` stands in the place of one of its files."""
    held = (copy / name).read_bytes()
    try:
        (copy / name).write_bytes(data)
        return check(copy)
    finally:
        (copy / name).write_bytes(held)


def _unsealed(data: bytes) -> bytes:
    """JSON without its seal, which a stranger could make as well."""
    return json.dumps({name: one for name, one in json.loads(data).items() if name != SEAL_KEY}, indent=1).encode()


def _vouched(dataset: Path, name: str, data: bytes) -> list[str]:
    """What `verify` says of a file whose digest is as its ledger has it: only its contents can tell."""
    state = json.loads((dataset / ledger.LEDGER_FILE).read_bytes())
    state["parts"][name] = hashlib.sha256(data).hexdigest()
    return _within(
        dataset, ledger.LEDGER_FILE, _unsealed(json.dumps(state).encode()), lambda copy: "|".join(verify.verify(copy))
    ).split("|")


def _part(name: str, data: bytes, place: Place) -> str:
    """A part of a dataset, read by all that read it."""

    def check(copy: Path) -> str:
        faults = _vouched(copy, name, data)
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
        return "faults told" if faults != [""] else "read"

    try:
        return _within(_dataset(place), name, data, check)
    finally:
        shutil.rmtree(place.scratch / "shards", ignore_errors=True)


def _chosen(data: bytes, place: Place) -> str:
    path = place.scratch / "chosen.parquet"
    path.write_bytes(data)
    rows, counted = kept_rows.read(_dataset(place), path)
    assert counted["in"] == counted["kept"] + sum(counted["dropped"].values())
    rows.digest(), rows.tag_counts()
    return "read"


def _state(data: bytes, place: Place) -> str:
    def check(copy: Path) -> str:
        extract.forecast_extract([], copy, ExtractOptions(lines=("dilate",), size=16))
        return "faults told" if verify.verify(copy) else "read"

    return _within(_dataset(place), ledger.LEDGER_FILE, data, check)


def _shards(place: Place) -> Path:
    copy = place.scratch / "packed"
    if not copy.exists():
        shutil.copytree(sound.data(place.corpus / "data") / "shards", copy)
    return copy


def _index(data: bytes, place: Place) -> str:
    def check(copy: Path) -> str:
        index = read_index(copy)
        find_file_faults(copy, index)
        for split in ("train", "validation", "test"):
            index.shard_names(split)
        told = verify.verify(copy)
        explain_picture.why(_dataset(place), "0.png", shards=copy)
        shard.find_finished_index(copy, {})
        return "faults told" if told else "read"

    return _within(_shards(place), INDEX_FILE, data, check)


def _vocabulary(data: bytes, place: Place) -> str:
    def check(copy: Path) -> str:
        read_vocabulary(copy)
        return "faults told" if verify.verify(copy) else "read"

    return _within(_shards(place), "tags.txt", data, check)


def _trained_on(name: str, data: bytes, place: Place) -> str:
    """A file of a shard folder, trained on unseen (`--trust`)."""
    from train.data import pairs, unpack
    from train.data.batches import content_mask

    def check(copy: Path) -> str:
        found = pairs.Pairs(copy, "train")
        pairs.line_style_indices(found.index, ())
        assert len(found.ids) == len(found.families) == len(found)
        for number in range(len(found)):
            pair = unpack.unpack_pair(found.read_record(number), 0, found.index)
            content_mask(pair.content_box, found.index.size)
            np.zeros(len(found.vocabulary), np.float32)[list(pair.tag_indices)] = 1
        return "read"

    index = json.loads(_unsealed((_shards(place) / INDEX_FILE).read_bytes()))
    if name == INDEX_FILE:
        return _within(_shards(place), name, data, check)
    index["files"][name] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    vouched = json.dumps(index).encode()
    return _within(_shards(place), INDEX_FILE, vouched, lambda copy: _within(copy, name, data, check))


def _drawing(data: bytes, place: Place) -> str:
    from train.coloring.drawing import fit_to_square, read_drawing

    path = place.scratch / "line.png"
    path.write_bytes(data)
    drawing = read_drawing(path)
    fit_to_square(drawing.gray, 16)
    return "drawing"


def _run(name: str, data: bytes, place: Place) -> str:
    from train.model import trained_model

    copy = place.scratch / "run"
    if not copy.exists():
        shutil.copytree(sound.run(place.corpus / "run", place.corpus / "data") / "run", copy)
        told = json.loads(_unsealed((copy / "config.json").read_bytes()))
        (copy / "config.json").write_text(json.dumps({key: one for key, one in told.items() if key != "vocabulary"}))

    def check(run: Path) -> str:
        trained_model.load_trained(run)
        return "loaded"

    return _within(copy, name, data, check)


def _snapshot(data: bytes, place: Place) -> str:
    from train.model import snapshots

    path = place.scratch / "000000004.npz"
    path.write_bytes(data)
    snapshots.read_snapshot(path)
    return "read"


def _held(name: str) -> Callable[[Place], list[bytes]]:
    return lambda place: [_bare(name, (sound.data(place.corpus / "data") / name).read_bytes())]


def _of_run(name: str) -> Callable[[Place], list[bytes]]:
    return lambda place: [
        _bare(name, (sound.run(place.corpus / "run", place.corpus / "data") / "run" / name).read_bytes())
    ]


def _bare(name: str, data: bytes) -> bytes:
    return _unsealed(data) if name.endswith(".json") else data


def _pictures(name: str) -> Callable[[Place], list[bytes]]:
    return lambda _: sound.pictures()[name]


def _texts(name: str) -> Callable[[Place], list[bytes]]:
    return lambda _: sound.texts()[name]


def _any_picture(_: Place) -> list[bytes]:
    return [one for name, found in sound.pictures().items() if name != "svg" for one in found]


def _chosen_manifest(place: Place) -> list[bytes]:
    table = pq.read_table(sound.data(place.corpus / "data") / "dataset/manifest/part-00000.parquet").slice(0, 2)
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
            _picture,
            _pictures(name),
            name,
            weight=1 if name == "svg" else 8,
            packages=("curate.images.decode", "curate.images.svg", "PIL"),
        )
        for name in ("png", "apng", "jpeg", "webp", "gif", "bmp", "tiff", "avif", "svg")
    },
    "bomb": Reader(_bomb, _any_picture, "png", weight=0),
    "record": Reader(_record, _any_picture, "png", weight=2),
    "sidecar-json": Reader(
        partial(_sidecar, "a.json"),
        _texts("a.png.json"),
        "json",
        weight=8,
        packages=("curate.tags.sidecar", "curate.tags.normalize", "json"),
    ),
    "sidecar-txt": Reader(
        partial(_sidecar, "a.txt"),
        _texts("a.png.txt"),
        "lines",
        packages=("curate.tags.sidecar", "curate.tags.normalize"),
    ),
    **{
        f"table-{name}": Reader(
            partial(_table, name),
            _texts(name),
            kind,
            packages=_TABLE_READERS,
        )
        for name, kind in _TABLES.items()
    },
    "aliases": Reader(_aliases, _texts("aliases"), "lines", weight=1),
    "implications": Reader(_implications, _texts("implications"), "lines", weight=1),
    **{
        f"part-{name}": Reader(
            partial(_part, f"{name}/part-00000.parquet"),
            _held(f"dataset/{name}/part-00000.parquet"),
            "parquet",
            weight=weight,
        )
        for name, weight in (("manifest", 2), ("records", 1), ("pairs", 1))
    },
    "chosen": Reader(_chosen, _chosen_manifest, "parquet"),
    "state": Reader(_state, _held("dataset/dataset.json"), "json", weight=3),
    "index": Reader(_index, _held("shards/index.json"), "json", weight=3, packages=("curate.contract",)),
    "vocabulary": Reader(_vocabulary, _held("shards/tags.txt"), "lines", weight=1),
    "drawing": Reader(_drawing, _any_picture, "png"),
    "listing": Reader(
        partial(_trained_on, "train-00000-of-00002.parquet"),
        _held("shards/train-00000-of-00002.parquet"),
        "parquet",
        tensorflow=True,
    ),
    "pairs": Reader(
        partial(_trained_on, "train-00000-of-00002.tfrecord"),
        _held("shards/train-00000-of-00002.tfrecord"),
        "example",
        tensorflow=True,
    ),
    "trained-index": Reader(partial(_trained_on, "index.json"), _held("shards/index.json"), "json", tensorflow=True),
    "config": Reader(partial(_run, "config.json"), _of_run("config.json"), "json", tensorflow=True, weight=0.2),
    "run-vocabulary": Reader(
        partial(_run, "vocabulary.txt"), _of_run("vocabulary.txt"), "lines", tensorflow=True, weight=0.2
    ),
    "model": Reader(partial(_run, "model.keras"), _of_run("model.keras"), "zip", tensorflow=True, weight=0.2),
    "snapshot": Reader(_snapshot, _of_run("snapshots/000000004.npz"), "zip", tensorflow=True),
}
