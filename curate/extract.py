"""The stage that reads every file once: bytes -> record and pair, in parts that are committed in order.

Parts are committed strictly one after another, so that after a kill the files still to do are cut into the very same
parts as in an unbroken run.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate import engine, lineart, manifest, phash, progress, sidecar
from curate.contract import canonical_json, sync_folder
from curate.decode import Header, Picture, TooLargeError, decode
from curate.errors import DatasetError, DecodeError, NurieError, SidecarError
from curate.scan import Source, SourceFile, scan
from curate.square import content_box, square

PART = 512  # source files a part: small enough to lose little at a kill, large enough to keep folders short
FAINT = 128  # ink lighter than this is faint


@dataclass(frozen=True)
class Options:
    """What decides the bytes of records and pairs; a dataset keeps the options it was begun with."""

    lines: tuple[str, ...] = ("dilate", "xdog")
    """Line-art methods to store; the first is the default style."""
    size: int = 128
    """Side of the pairs, px."""
    max_pixels: int = 200_000_000
    """Larger pictures are dropped before they are decoded."""
    min_side: int = 0
    """Pictures with a shorter side are dropped, px."""


def parse_lines(text: str) -> tuple[str, ...]:
    """Read `dilate,xdog`. Raises NurieError for a method there is not."""
    methods = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := [name for name in methods if name not in lineart.METHODS]:
        raise NurieError(f"no line-art method {unknown[0]!r}: there are {', '.join(lineart.METHODS)}")
    return methods


@dataclass(frozen=True)
class Task:
    """One part to make."""

    number: int
    files: tuple[SourceFile, ...]
    dataset: Path
    options: Options


@dataclass(frozen=True)
class Part:
    """A staged part: its number, the ids of its pairs, and what became of its files."""

    number: int
    ids: tuple[str, ...]
    files: int
    dropped: int
    sidecar_errors: int


def extract(
    sources: Sequence[Source],
    dataset: Path,
    options: Options,
    *,
    workers: int = 1,
    limit: int | None = None,
    fresh: bool = False,
    part_size: int = PART,
) -> dict[str, Any]:
    """Make or go on with a dataset folder; files it already has are not read again.

    Returns counts of the whole dataset (`in`, `kept`, `dropped`) and `new`, the records added now. Raises DatasetError
    if the folder was begun with other options.
    """
    state = _open_dataset(dataset, sources, options, fresh)
    known, ids = _known(dataset)
    total = sum(1 for _ in islice(scan(sources), limit))
    fresh_files = (file for file in islice(scan(sources), limit) if (file.source, file.path) not in known)
    first = len(manifest.parts(dataset / "records"))
    tasks = _tasks(fresh_files, first, part_size, dataset, options)
    new = sidecar_errors = dropped = 0
    with progress.bar("extract", total) as bar:
        bar.advance(len(known))
        for part in engine.run(extract_part, tasks, workers):
            _commit(dataset, part, ids)
            new, dropped = new + part.files, dropped + part.dropped
            sidecar_errors += part.sidecar_errors
            bar.advance(part.files, dropped=dropped)
    return {**_finish(dataset, state, new), "new": new, "sidecar_errors": sidecar_errors}


def _open_dataset(dataset: Path, sources: Sequence[Source], options: Options, fresh: bool) -> dict[str, Any]:
    wanted = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(options).items()}
    if fresh and (dataset / manifest.STATE).exists():
        shutil.rmtree(dataset)
    if not (dataset / manifest.STATE).exists():
        if dataset.exists() and any(dataset.iterdir()):
            raise DatasetError(f"{dataset} holds other files: give a new or empty folder for the dataset")
        for folder in ("records", "pairs"):
            (dataset / folder).mkdir(parents=True, exist_ok=True)
        names = [source.name for source in sources]
        new: dict[str, Any] = {"version": manifest.SCHEMA_VERSION, "options": wanted, "sources": names}
        manifest.write_state(dataset, new)
        return new
    state = manifest.read_state(dataset)
    begun = state["options"]
    different = [name for name, value in wanted.items() if begun.get(name) != value]
    if different:
        was = ", ".join(f"{name}={begun.get(name)}" for name in different)
        raise DatasetError(f"{dataset} was begun with {was}: use the same options, or --fresh to start over")
    state["sources"] = list(dict.fromkeys([*state["sources"], *(source.name for source in sources)]))
    return state


def _known(dataset: Path) -> tuple[set[tuple[str, str]], set[str]]:
    """Keys of the files already recorded, and ids of the pairs already stored."""
    manifest.recover_manifest(dataset)
    table = manifest.read_parts(dataset / "records", ["source", "path"])
    keys = set(zip(table["source"].to_pylist(), table["path"].to_pylist(), strict=True))
    count = len(manifest.parts(dataset / "records"))
    ids: set[str] = set()
    for path in manifest.parts(dataset / "pairs")[:count]:  # a pairs part without its records is made again
        ids.update(manifest.read_table(path, ["id"])["id"].to_pylist())
    return keys, ids


def _tasks(files: Iterable[SourceFile], first: int, size: int, dataset: Path, options: Options) -> Iterator[Task]:
    files = iter(files)
    number = first
    while chunk := tuple(islice(files, size)):
        yield Task(number, chunk, dataset, options)
        number += 1


def _staged(folder: Path, number: int) -> Path:
    return folder / f".staged-{number:05d}.parquet"


def extract_part(task: Task) -> Part:
    """Read the files of a part and stage its records and pairs under hidden names."""
    results = [read_file(file, task.options) for file in task.files]
    rows = [row for row, _ in results]
    pairs = {pair["id"]: pair for _, pair in results if pair is not None}
    schema = manifest.pairs_schema(task.options.lines)
    manifest.write_rows(_staged(task.dataset / "pairs", task.number), list(pairs.values()), schema)
    manifest.write_rows(_staged(task.dataset / "records", task.number), rows, manifest.SCHEMA)
    dropped = sum(row["dropped"] is not None for row in rows)
    bad_sidecars = sum(row["error"] is not None and row["dropped"] is None for row in rows)
    return Part(task.number, tuple(pairs), len(rows), dropped, bad_sidecars)


def _commit(dataset: Path, part: Part, ids: set[str]) -> None:
    """Give a staged part its name: pairs before records, whose presence says that the part is done."""
    staged = _staged(dataset / "pairs", part.number)
    if repeated := ids.intersection(part.ids):
        table = manifest.read_table(staged)
        first_seen = pa.array([key not in repeated for key in table["id"].to_pylist()], pa.bool_())
        manifest.write_table(staged, table.filter(first_seen))
    ids.update(part.ids)
    for folder in (dataset / "pairs", dataset / "records"):
        _staged(folder, part.number).rename(manifest.part(folder, part.number))
        sync_folder(folder)


def _finish(dataset: Path, state: dict[str, Any], new: int) -> dict[str, Any]:
    """Before dedupe the manifest equals the records; new records put it back to that."""
    if new or not (dataset / "manifest").exists():
        manifest.replace_manifest(dataset, manifest.iter_parts(dataset / "records"))
        shutil.rmtree(dataset / "edges", ignore_errors=True)
    counted = manifest.counts(manifest.read_parts(dataset / "manifest", ["dropped"]))
    state["counts"] = counted
    manifest.write_state(dataset, state, rehash=("manifest",))
    return counted


def read_file(file: SourceFile, options: Options) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """One file -> its record, and its pair unless it was dropped. Never raises for what a file holds."""
    row: dict[str, Any] = {"source": file.source, "path": file.path, "path_raw": file.path_raw}
    row |= {"dropped": None, "error": None, **_sidecar(file)}
    try:
        data = _read(file.file)
        row |= {"bytes": len(data), "id": hashlib.sha256(data).hexdigest()[:32]}
        picture = decode(data, options.max_pixels)
    except TooLargeError as error:
        return row | _header(error.header) | {"dropped": "too_large"}, None
    except (OSError, DecodeError) as error:
        return row | {"id": None, "dropped": "unreadable", "error": _message(error)}, None
    height, width = picture.rgb.shape[:2]
    row |= _header(picture.header) | {"height": height, "width": width}
    if min(height, width) < options.min_side:
        return row | {"dropped": "too_small"}, None
    drawn = {method: square(lineart.METHODS[method](picture.rgb), options.size) for method in options.lines}
    sketch, found = _signatures(picture)
    row |= found | _line_quality(drawn[options.lines[0]])
    return row, _pair(row["id"], picture, drawn, sketch, options.size)


def _read(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a FIFO would wait for ever
        raise OSError("not a regular file")
    return path.read_bytes()


def _message(error: Exception) -> str:
    """Without the file's full path, which differs from machine to machine."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{type(error).__name__}: {text}"


def _sidecar(file: SourceFile) -> dict[str, Any]:
    found, error = [], None
    for path in file.sidecars:
        try:
            found.append(sidecar.read_sidecar(path.name, _read(path)))
        except (OSError, SidecarError) as fault:
            error = _message(fault)
    merged = sidecar.merge(found)
    extra = canonical_json(merged.extra).decode() if merged.extra else None
    known = {"rating": merged.rating, "score": merged.score, "license": merged.license, "artist": merged.artist}
    return {"tags": merged.tags, "own_tags": merged.tags, "extra": extra, "error": error, **known}


def _header(header: Header) -> dict[str, Any]:
    return asdict(header)


def _signatures(picture: Picture) -> tuple[lineart.Gray, dict[str, Any]]:
    """The ink mask, and the columns dedupe compares."""
    trimmed = phash.trim(picture.rgb)
    sketch = phash.sketch(trimmed)
    return sketch, {
        "phash": phash.phash(picture.rgb),
        "search_hashes": [phash.phash(trimmed)],
        "line_hash": phash.phash_gray(sketch),
        "outline_hash": phash.outline_hash(trimmed),
        "color_grid": phash.color_grid(trimmed),
        "emptiness": phash.emptiness(picture.rgb),
    }


def _line_quality(line: lineart.Gray) -> dict[str, float]:
    """Ink share; faint share of the ink; share of ink pixels with at most one inked neighbour (stroke ends, specks)."""
    ink = (line < 255 - phash.EMPTY_TOLERANCE).astype(np.uint8)
    neighbours = cv2.filter2D(ink, cv2.CV_8U, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT) - ink
    total = max(1, int(ink.sum()))
    faint = int((ink.astype(bool) & (line >= FAINT)).sum())
    ends = int((ink.astype(bool) & (neighbours <= 1)).sum())
    return {"line_ink": float(ink.mean()), "line_faint": faint / total, "line_gaps": ends / total}


def _pair(
    key: str, picture: Picture, drawn: dict[str, npt.NDArray[np.uint8]], sketch: lineart.Gray, size: int
) -> dict[str, Any]:
    box = content_box(picture.rgb.shape[0], picture.rgb.shape[1], size)
    color = np.asarray(cv2.cvtColor(square(picture.rgb, size), cv2.COLOR_RGB2BGR), np.uint8)
    pixels = {"color": png(color), **{f"line_{method}": png(line) for method, line in drawn.items()}}
    mask = png(sketch, bilevel=True)
    return {"id": key, **pixels, "sketch": mask, "content_box": [box.top, box.left, box.height, box.width]}


def png(pixels: npt.NDArray[np.uint8], *, bilevel: bool = False) -> bytes:
    """PNG bytes of a BGR or gray picture; one bit a pixel if `bilevel`."""
    flags = [cv2.IMWRITE_PNG_BILEVEL, 1] if bilevel else []
    done, encoded = cv2.imencode(".png", pixels, flags)
    if not done:
        raise MemoryError("OpenCV could not encode a PNG")
    return encoded.tobytes()
