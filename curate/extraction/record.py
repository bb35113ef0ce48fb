"""One source file -> its record and its pair."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import cast

import cv2
import numpy as np

from curate import storage
from curate.dataset import opt_out
from curate.dataset.opt_out import OptOut
from curate.dataset.rows import PairRow, RecordRow
from curate.extraction.options import ExtractOptions
from curate.images import hed, lineart, monochrome, resample
from curate.images.array_types import Gray, Rgb
from curate.images.decode import PictureHeader, TooLargeError, decode
from curate.images.lanczos import resize_lanczos
from curate.images.png import encode_png
from curate.images.square import content_box, letterbox
from curate.signatures import alignment, phash
from curate.signatures.color_grid import EMPTY_TOLERANCE, color_grid, emptiness
from curate.signatures.strokes import ink_mask, normalized_luma
from curate.signatures.trimming import drawn_slices
from curate.sources.scan import SourceFile
from curate.system.errors import DecodeError, NurieError, SidecarError
from curate.system.files import canonical_json
from curate.tags import sidecar
from curate.tags.normalize import tags_of_folders, unique_tags
from curate.tags.sidecar import Sidecar

FAINT_GRAY_LEVEL = 128  # ink lighter than this is faint
NOBODY_OPTED_OUT = OptOut()

RecordAndPair = tuple[RecordRow, PairRow | None]
"""A file's record, and its pair unless the record was dropped."""


def parse_line_methods(text: str) -> tuple[str, ...]:
    """Read `dilate,xdog`.

    Raises NurieError for an unknown method, MissingExtraError for one whose extra is not installed.
    """
    methods = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := [name for name in methods if name not in lineart.LINE_METHODS]:
        raise NurieError(f"no line-art method {unknown[0]!r}: choose from {', '.join(lineart.LINE_METHODS)}")
    if "hed" in methods:
        hed.check_installed()
    return methods


def extract_file(
    file: SourceFile,
    options: ExtractOptions,
    table_sidecar: Sidecar | None = None,
    opted_out: OptOut = NOBODY_OPTED_OUT,
) -> RecordAndPair:
    """The record of one file, and its pair unless the record was dropped.

    `table_sidecar` is what metadata tables say about the file. Whatever the file holds, the result is a record. Raises
    MemoryError if the file takes more memory than there is, NurieError if its store does not answer.
    """
    try:
        return _read(file, options, table_sidecar, opted_out)
    except cv2.error as error:
        if error.code != cv2.Error.StsNoMem:
            raise
        raise MemoryError(str(error)) from None


def unreadable_record(
    file: SourceFile, options: ExtractOptions, table_sidecar: Sidecar | None, opted_out: OptOut, error: str
) -> RecordAndPair:
    """The record of a file that cannot be read, for the reason `error`. The file is not opened."""
    try:
        length = file.real_path.stat().st_size if file.size is None else file.size
    except OSError:
        length = None
    return _unreadable(_metadata_columns(file, options, table_sidecar) | {"bytes": length}, opted_out, error)


def _unreadable(row: RecordRow, opted_out: OptOut, error: str) -> RecordAndPair:
    row |= {"id": None, "dropped": "unreadable", "error": error}
    return opt_out.blank_record(row) if opted_out.has_opted_out(row) else row, None


def _read(file: SourceFile, options: ExtractOptions, table_sidecar: Sidecar | None, opted_out: OptOut) -> RecordAndPair:
    row = _metadata_columns(file, options, table_sidecar)
    try:
        data = storage.read_bytes(file.real_path, listed_size=file.size)
        picture_id = hashlib.sha256(data).hexdigest()[:32]
        row |= {"bytes": len(data), "id": picture_id}
        if opted_out.has_opted_out(row):
            return opt_out.blank_record(row), None
        picture = decode(data, options.max_pixels)
    except TooLargeError as error:
        return row | _header_columns(error.header) | {"dropped": "too_large"}, None
    except MemoryError:
        raise
    except (OSError, DecodeError) as error:
        return _unreadable(row, opted_out, _error_text(error))
    height, width = picture.rgb.shape[:2]
    row |= _header_columns(picture.header) | {"height": height, "width": width}
    return _with_pixels(row, picture_id, picture.rgb, options)


def _with_pixels(row: RecordRow, picture_id: str, rgb: Rgb, options: ExtractOptions) -> RecordAndPair:
    """The record with what the pixels show, and the pair unless the picture is of no use for training."""
    height, width = rgb.shape[:2]
    color, box = letterbox(rgb, options.size), content_box(height, width, options.size)
    content = color[box.rows, box.columns]
    gray_kind = monochrome.classify(rgb, content)
    if gray_kind:
        row["tags"] = row["own_tags"] = unique_tags((*row["tags"], f"meta:{gray_kind}"))
    if reason := _drop_reason(height, width, gray_kind, options):
        return row | {"dropped": reason}, None
    limited = lineart.limit_size(rgb)
    lines = {method: letterbox(lineart.LINE_METHODS[method](limited), options.size, box) for method in options.lines}
    signatures, sketch, view = _signatures(rgb)
    row |= signatures | {"emptiness": emptiness(content)} | _line_quality(lines[options.lines[0]])
    return row, PairRow(
        id=picture_id,
        color=encode_png(color),
        lines={method: encode_png(line) for method, line in lines.items()},
        sketch=encode_png(sketch, bilevel=True),
        view=encode_png(view),
        content_box=(box.top, box.left, box.height, box.width),
    )


def _header_columns(header: PictureHeader) -> RecordRow:
    return cast("RecordRow", asdict(header))


def _drop_reason(height: int, width: int, gray_kind: str | None, options: ExtractOptions) -> str | None:
    """Why a readable picture is of no use for training; None if it is of use."""
    if min(height, width) < options.min_side:
        return "too_small"
    if options.max_aspect and max(height, width) > options.max_aspect * min(height, width):
        return "too_long"
    return "monochrome" if gray_kind and not options.keep_monochrome else None


def _error_text(error: Exception) -> str:
    """Class and message as text that Parquet can hold, without the full path, which differs between machines."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{type(error).__name__}: {text}".encode("utf-8", "backslashreplace").decode()


def _metadata_columns(file: SourceFile, options: ExtractOptions, table_sidecar: Sidecar | None) -> RecordRow:
    """What is known before the file is opened: its name, and what sidecars, then tables, then folders say about it."""
    sidecars: list[Sidecar] = []
    error = None
    for path in file.sidecars:
        try:
            sidecars.append(sidecar.read_sidecar(path.name, storage.read_bytes(path, sidecar.MAX_SIDECAR_BYTES)))
        except (OSError, SidecarError) as fault:
            error = _error_text(fault)
    if table_sidecar is not None:
        sidecars.append(table_sidecar)
    if options.folder_tags:
        sidecars.append(Sidecar(tags=tags_of_folders(file.path)))
    merged = sidecar.merge_sidecars(sidecars)
    return {
        "source": file.source,
        "path": file.path,
        "path_raw": file.path_raw,
        "dropped": None,
        "tags": merged.tags,
        "own_tags": merged.tags,
        "rating": merged.rating,
        "score": merged.score,
        "license": merged.license,
        "artist": merged.artist,
        "extra": canonical_json(merged.extra).decode() if merged.extra else None,
        "error": error,
    }


def _signatures(rgb: Rgb) -> tuple[RecordRow, Gray, Rgb]:
    """The columns that dedupe searches, and the two small pictures that it compares: sketch and view."""
    luma = resample.pillow_luma(rgb)
    trimmed = drawn_slices(luma)
    height, width = luma[trimmed].shape
    plan, view = normalized_luma(luma[trimmed]), alignment.thumbnail(rgb[trimmed])
    in_plan, in_view = (content_box(height, width, side) for side in (len(plan), len(view)))
    sketch = ink_mask(plan)
    columns: RecordRow = {
        "phash": phash.phash_from_luma32(resize_lanczos(luma)),
        "search_hashes": phash.search_hashes(plan[in_plan.rows, in_plan.columns], view),
        "line_hash": phash.robust_phash(sketch),
        "outline_hash": phash.outline_hash(plan, in_plan),
        "edge_hash": phash.edge_hash(view),
        "color_grid": color_grid(view[in_view.rows, in_view.columns]),
    }
    return columns, sketch, view


def _line_quality(line: Gray) -> RecordRow:
    """Share of ink; faint share of the ink; share of ink pixels with at most one inked neighbour: stroke ends, specks.

    `line` is (size, size) uint8, 255 = paper.
    """
    inked = line < 255 - EMPTY_TOLERANCE
    ink = inked.astype(np.uint8)
    neighbours = cv2.filter2D(ink, cv2.CV_8U, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT) - ink
    total, faint, ends = (
        int(np.count_nonzero(mask)) for mask in (inked, inked & (line >= FAINT_GRAY_LEVEL), inked & (neighbours <= 1))
    )
    return {"line_ink": total / line.size, "line_faint": faint / max(1, total), "line_gaps": ends / max(1, total)}
