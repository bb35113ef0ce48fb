"""One source file -> its record and its pair."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any, cast

import cv2
import numpy as np

from curate import storage
from curate.dataset import opt_out
from curate.dataset.opt_out import OptOut
from curate.dataset.rows import RecordRow
from curate.extraction.options import ExtractOptions
from curate.images import hed, lineart, monochrome, resample
from curate.images.decode import PictureHeader, Rgb, TooLargeError, decode
from curate.images.lanczos import resize_lanczos
from curate.images.png import encode_png
from curate.images.square import content_box, letterbox
from curate.signatures import alignment, phash
from curate.sources.scan import SourceFile
from curate.system.errors import DecodeError, NurieError, SidecarError
from curate.system.files import canonical_json
from curate.tags import sidecar
from curate.tags.normalize import tags_of_folders, unique_tags
from curate.tags.sidecar import Sidecar

FAINT_GRAY_LEVEL = 128  # ink lighter than this is faint
NOBODY_OPTED_OUT = OptOut()

RecordAndPair = tuple[RecordRow, dict[str, Any] | None]
"""A file's record, and its pair unless the record was dropped."""


def parse_line_methods(text: str) -> tuple[str, ...]:
    """Read `dilate,xdog`. Raises NurieError for a method there is not, MissingExtraError for one not installed."""
    methods = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := [name for name in methods if name not in lineart.LINE_METHODS]:
        raise NurieError(f"no line-art method {unknown[0]!r}: there are {', '.join(lineart.LINE_METHODS)}")
    if "hed" in methods:
        hed.check_installed()
    return methods


def extract_file(
    file: SourceFile, options: ExtractOptions, table_sidecar: Sidecar | None = None, removed: OptOut = NOBODY_OPTED_OUT
) -> tuple[RecordRow, dict[str, Any] | None]:
    """One file, and what tables told of it -> its record, and its pair unless it was dropped.

    Never raises for what a file holds; MemoryError if it takes more memory than there is, NurieError if the store it
    lies in does not answer.
    """
    try:
        return _read(file, options, table_sidecar, removed)
    except cv2.error as error:
        if error.code != cv2.Error.StsNoMem:
            raise
        raise MemoryError(str(error)) from None


def unreadable_record(
    file: SourceFile, options: ExtractOptions, told: Sidecar | None, removed: OptOut, error: str
) -> tuple[RecordRow, None]:
    """As read_file, of one that cannot be read for an `error` that only who tried can tell; it is not opened."""
    try:
        length = file.real_path.stat().st_size if file.size is None else file.size
    except OSError:
        length = None
    row = _record_before_reading(file, options, told) | {
        "bytes": length,
        "id": None,
        "dropped": "unreadable",
        "error": error,
    }
    return opt_out.blank_record(row) if removed.has_opted_out(row) else row, None


def _record_before_reading(file: SourceFile, options: ExtractOptions, told: Sidecar | None) -> RecordRow:
    """What is known of a file before it is opened."""
    row: RecordRow = {"source": file.source, "path": file.path, "path_raw": file.path_raw}
    return row | {"dropped": None, "error": None, **_sidecar_columns(file, options, told)}


def _read(
    file: SourceFile, options: ExtractOptions, told: Sidecar | None, removed: OptOut
) -> tuple[RecordRow, dict[str, Any] | None]:
    row = _record_before_reading(file, options, told)
    try:
        data = storage.read_bytes(file.real_path, listed_size=file.size)
        row |= {"bytes": len(data), "id": hashlib.sha256(data).hexdigest()[:32]}
        if removed.has_opted_out(row):
            return opt_out.blank_record(row), None
        picture = decode(data, options.max_pixels)
    except TooLargeError as error:
        return row | _header_columns(error.header) | {"dropped": "too_large"}, None
    except MemoryError:
        raise
    except (OSError, DecodeError) as error:
        row |= {"id": None, "dropped": "unreadable", "error": _error_text(error)}
        return opt_out.blank_record(row) if removed.has_opted_out(row) else row, None
    height, width = picture.rgb.shape[:2]
    row |= _header_columns(picture.header) | {"height": height, "width": width}
    color, box = letterbox(picture.rgb, options.size), content_box(height, width, options.size)
    gray = monochrome.classify(picture.rgb, color[box.rows, box.columns])
    if gray:
        row["tags"] = row["own_tags"] = unique_tags((*row["tags"], f"meta:{gray}"))
    if reason := _drop_reason(height, width, gray, options):
        return row | {"dropped": reason}, None
    seen = lineart.limit_size(picture.rgb)
    drawn = {method: letterbox(lineart.LINE_METHODS[method](seen), options.size, box) for method in options.lines}
    found, compared = _signatures(picture.rgb)
    row |= found | {"emptiness": phash.emptiness(color[box.rows, box.columns])}
    row |= _line_quality(drawn[options.lines[0]])
    pixels = {"color": encode_png(color), **{f"line_{method}": encode_png(line) for method, line in drawn.items()}}
    place = [box.top, box.left, box.height, box.width]
    return row, {"id": row["id"], **pixels, **compared, "content_box": place}


def _header_columns(header: PictureHeader) -> RecordRow:
    return cast("RecordRow", asdict(header))


def _drop_reason(height: int, width: int, gray: str | None, options: ExtractOptions) -> str | None:
    """Why a picture that was read is no good for training, if so."""
    if min(height, width) < options.min_side:
        return "too_small"
    if options.max_aspect and max(height, width) > options.max_aspect * min(height, width):
        return "too_long"
    return "monochrome" if gray and not options.keep_monochrome else None


def _error_text(error: Exception) -> str:
    """Without the file's full path, which differs from machine to machine, as text that Parquet can hold."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{type(error).__name__}: {text}".encode("utf-8", "backslashreplace").decode()


def _sidecar_columns(file: SourceFile, options: ExtractOptions, told: Sidecar | None) -> RecordRow:
    """What sidecars, then tables, then folders say of a file."""
    found: list[Sidecar] = []
    error = None
    for path in file.sidecars:
        try:
            found.append(sidecar.read_sidecar(path.name, storage.read_bytes(path, sidecar.MAX_SIDECAR_BYTES)))
        except (OSError, SidecarError) as fault:
            error = _error_text(fault)
    by_folder = Sidecar(tags=tags_of_folders(file.path)) if options.folder_tags else None
    merged = sidecar.merge_sidecars([*found, *(one for one in (told, by_folder) if one is not None)])
    extra = canonical_json(merged.extra).decode() if merged.extra else None
    return {
        "tags": merged.tags,
        "own_tags": merged.tags,
        "rating": merged.rating,
        "score": merged.score,
        "license": merged.license,
        "artist": merged.artist,
        "extra": extra,
        "error": error,
    }


def _signatures(rgb: Rgb) -> tuple[RecordRow, dict[str, bytes]]:
    """The columns that dedupe searches, and the small pictures that it looks at."""
    luma = resample.pillow_luma(rgb)
    drawn = phash.drawn_slices(luma)
    height, width = luma[drawn].shape
    plan, view = phash.normalized_luma(luma[drawn]), alignment.thumbnail(rgb[drawn])
    in_plan, in_view = (content_box(height, width, side) for side in (len(plan), len(view)))
    sketch = phash.ink_mask(plan)
    columns: RecordRow = {
        "phash": phash.phash_from_luma32(resize_lanczos(luma)),
        "search_hashes": phash.search_hashes(plan[in_plan.rows, in_plan.columns], view),
        "line_hash": phash.robust_phash(sketch),
        "outline_hash": phash.outline_hash(plan, in_plan),
        "edge_hash": phash.edge_hash(view),
        "color_grid": phash.color_grid(view[in_view.rows, in_view.columns]),
    }
    return columns, {"sketch": encode_png(sketch, bilevel=True), "view": encode_png(view)}


def _line_quality(line: lineart.Gray) -> RecordRow:
    """Ink share; faint share of the ink; share of ink pixels with at most one inked neighbour (stroke ends, specks)."""
    inked = line < 255 - phash.EMPTY_TOLERANCE
    ink = inked.astype(np.uint8)
    neighbours = cv2.filter2D(ink, cv2.CV_8U, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT) - ink
    total, faint, ends = (
        int(np.count_nonzero(one)) for one in (inked, inked & (line >= FAINT_GRAY_LEVEL), inked & (neighbours <= 1))
    )
    return {"line_ink": total / line.size, "line_faint": faint / max(1, total), "line_gaps": ends / max(1, total)}
