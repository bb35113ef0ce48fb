"""Line drawings and tags -> colour pictures; or pairs of a shard folder, beside their truth."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from curate.contract import INDEX
from train import grids, tags
from train.callbacks import colored
from train.data import Batch, Pairs, fixed_batch
from train.errors import PictureError, RunError
from train.run import load_model

SUFFIXES = (".png", ".jpg", ".jpeg")
TITLES = ("line art", "as tagged", "other colour", "truth")


@dataclass(frozen=True)
class Wish:
    """What to colour with."""

    tags: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    """Tags to move away from; with a guidance above 1."""
    guidance: float = 1.0
    """1 = the tags as they are; above, further from the picture without them (or with the negative ones)."""


def colorize(run: Path, drawings: Sequence[Path], out: Path, wish: Wish, *, count: int, grid: bool) -> dict[str, Any]:
    """Colour drawings of any size into OUT/NAME.png; `grid` adds OUT/grid.png.

    A drawing may be a PNG or JPEG file, a folder of them, or a shard folder: then `count` pairs of its validation
    split, those with the least SHA-256 of their id among those with a colour tag, are coloured as tagged and in
    another colour. Raises TagError for unknown tags, PictureError for unreadable files.
    """
    model, described, vocabulary = load_model(run)
    out.mkdir(parents=True, exist_ok=True)
    painter = Painter(model, described, vocabulary)
    written = []
    for drawing in _expanded(drawings):
        if (drawing / INDEX).is_file():
            written += painter.pairs(drawing, out, wish, count=count, grid=grid)
        else:
            written.append(painter.file(drawing, out, wish))
    if grid and not (out / "grid.png") in written:
        written.append(_sheet(out, _expanded(drawings), written))
    return {"pictures": [str(path) for path in written]}


class Painter:
    """A loaded model, ready to colour."""

    def __init__(self, model: Any, described: dict[str, Any], vocabulary: list[str]) -> None:
        self.model, self.vocabulary = model, vocabulary
        self.size: int = described["size"]
        self.colors: dict[str, list[str]] = described["colors"]

    def file(self, drawing: Path, out: Path, wish: Wish) -> Path:
        """Colour one file; the result has its size."""
        gray = read_drawing(drawing)
        lines, box = fit(gray, self.size)
        batch = Batch(lines[None, ..., None], None, _mask(box, self.size), None)
        encoded = tags.multi_hot(wish.tags, self.vocabulary)[None]
        pixels = self._guided(batch, encoded, wish)[0]
        inside = grids.to_uint8(pixels)[box]
        large = cv2.resize(inside, gray.shape[::-1], interpolation=cv2.INTER_CUBIC)
        path = out / f"{drawing.stem}.png"
        grids.save_png(path, np.asarray(large, np.uint8))
        return path

    def pairs(self, shards: Path, out: Path, wish: Wish, *, count: int, grid: bool) -> list[Path]:
        """Colour `count` validation pairs as tagged and in another colour."""
        found = Pairs(shards, "validation")
        if not len(found) or found.vocabulary != self.vocabulary:
            raise RunError(
                f"{shards} has no validation pairs of this run's vocabulary: give the shards it was trained on"
            )
        numbers = chosen(found, self.colors, count)
        batch = fixed_batch(found, numbers)
        asked = [tags.names(row, self.vocabulary) for row in np.asarray(batch.tags)]
        others = [tags.swap_color(one, self.colors) for one in asked]
        swapped = np.stack([tags.multi_hot(one, self.vocabulary) for one, _ in others])
        made = [self._guided(batch, np.asarray(batch.tags), wish), self._guided(batch, swapped, wish)]
        names = [found.ids[number] for number in numbers]
        written = [out / f"{name}.{kind}.png" for kind in ("tagged", "swapped") for name in names]
        for path, picture in zip(written, np.concatenate(made), strict=True):
            grids.save_png(path, grids.to_uint8(picture))
        if grid:
            captions = [_caption(one, exchange) for one, (_, exchange) in zip(asked, others, strict=True)]
            columns = [np.asarray(batch.lines), *made, np.asarray(batch.colors)]
            grids.save_png(out / "grid.png", grids.grid(columns, TITLES, captions))
            written.append(out / "grid.png")
        return written

    def _guided(self, batch: Batch, wanted: Any, wish: Wish) -> npt.NDArray[np.float32]:
        """Colours for the wanted tags, moved away from those for the negative ones (or none) by the guidance.

        Source: Ho and Salimans, "Classifier-free guidance" (2022), arXiv:2207.12598, here on pixels.
        """
        colors = colored(self.model, batch, wanted)
        if wish.guidance != 1.0 or wish.negative:
            negative = np.repeat(tags.multi_hot(wish.negative, self.vocabulary)[None], len(wanted), axis=0)
            away = colored(self.model, batch, negative)
            strength = wish.guidance if wish.guidance != 1.0 else 1.5
            colors = np.clip(away + strength * (colors - away), -1, 1)
        return colors.astype(np.float32)


def chosen(pairs: Pairs, colors: tags.Colors, count: int) -> list[int]:
    """Numbers of `count` pairs: those that carry a colour tag first, by the SHA-256 of their id; one a family first."""
    carries = [bool(set(_names(pairs, number)) & set(colors)) for number in range(len(pairs))]
    order = sorted(range(len(pairs)), key=lambda n: (not carries[n], hashlib.sha256(pairs.ids[n].encode()).digest()))
    seen: set[str] = set()
    first = [n for n in order if not (pairs.families[n] in seen or seen.add(pairs.families[n]))]  # type: ignore[func-returns-value]
    return [*first, *(n for n in order if n not in set(first))][:count]


def _names(pairs: Pairs, number: int) -> list[str]:
    return tags.names(np.asarray(fixed_batch(pairs, [number]).tags)[0], pairs.vocabulary)


def _caption(asked: Sequence[str], exchange: tuple[str, str] | None) -> str:
    title = next((tag for tag in asked if ":" not in tag), "")
    return f"{title}: {exchange[0]} > {exchange[1]}" if exchange else title


def read_drawing(path: Path) -> npt.NDArray[np.uint8]:
    """(height, width) uint8 gray, transparent paper white. Raises PictureError if it is no picture."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise PictureError(f"{path} cannot be read ({error.strerror}): give a PNG or JPEG of line art") from None
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if pixels is None:
        raise PictureError(f"{path} is not a picture that can be read: give a PNG or JPEG of line art")
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    if pixels.ndim == 2:
        return np.asarray(pixels, np.uint8)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        pixels = np.rint(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)


def fit(gray: npt.NDArray[np.uint8], size: int) -> tuple[npt.NDArray[np.float32], tuple[slice, slice]]:
    """Shrink (height, width) into a white square of `size` px as the training pairs were: lines in [-1, 1], and the box.

    INTER_AREA, whole picture, centred; a smaller drawing is enlarged.
    """
    scale = size / max(gray.shape)
    height, width = (max(1, round(side * scale)) for side in gray.shape)
    top, left = (size - height) // 2, (size - width) // 2
    box = slice(top, top + height), slice(left, left + width)
    square = np.full((size, size), 255, np.uint8)
    square[box] = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
    return square.astype(np.float32) / 127.5 - 1, box


def _mask(box: tuple[slice, slice], size: int) -> npt.NDArray[np.float32]:
    mask = np.zeros((1, size, size, 1), np.float32)
    mask[0][box] = 1
    return mask


def _expanded(drawings: Sequence[Path]) -> list[Path]:
    """Folders that are no shard folders, opened."""
    found: list[Path] = []
    for drawing in drawings:
        if drawing.is_dir() and not (drawing / INDEX).is_file():
            inside = sorted(path for path in drawing.iterdir() if path.suffix.lower() in SUFFIXES)
            if not inside:
                raise PictureError(f"{drawing} holds no PNG or JPEG: give line drawings, or a folder of them")
            found += inside
        else:
            found.append(drawing)
    return found


def _sheet(out: Path, drawings: Sequence[Path], written: Sequence[Path]) -> Path:
    """Line art beside its colours, each at 128 px."""

    def square(path: Path) -> npt.NDArray[np.float32]:
        pixels = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return np.stack([fit(np.ascontiguousarray(pixels[..., channel]), 128)[0] for channel in range(3)], axis=-1)

    columns = [np.stack([square(path) for path in paths]) for paths in (drawings, written)]
    grids.save_png(out / "grid.png", grids.grid(columns, TITLES[:2], [path.name for path in drawings]))
    return out / "grid.png"
