"""Line drawings and tags -> colour pictures; or pairs of a shard folder, beside their truth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from curate.contract import INDEX_FILE
from train.coloring import grids
from train.coloring.drawing import fit_to_square, read_drawing, restore_drawing_parts
from train.coloring.methods import COLORING_METHODS, Float32Array
from train.data import tags
from train.data.batches import Batch, fixed_batch
from train.data.pairs import Pairs
from train.errors import DrawingError, RunError, TagError
from train.model.trained import TrainedModel, generate_colors, load_trained

DRAWING_SUFFIXES = (".png", ".jpg", ".jpeg")
GRID_FILE = "grid.png"
GRID_TITLES = ("line art", "as tagged", "other colour", "truth")


@dataclass(frozen=True)
class TagPrompt:
    """What to colour with. Raises TagError for negative tags without a guidance that uses them."""

    tags: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    """Tags to move away from; they work by a guidance above 1."""
    guidance: float = 1.0
    """1 = the tags as they are; above, further from the picture without them (or with the negative ones)."""

    def __post_init__(self) -> None:
        if self.negative and self.guidance <= 1:
            raise TagError(f"negative tags need a guidance above 1 (2, say), not {self.guidance:g}")


@dataclass(frozen=True)
class ColorizeOptions:
    """How drawings are coloured, and what their pictures keep of them."""

    method: str = "resize"
    """One of `methods.METHODS`: `resize`, whose colours are the truer ones on real art, or `tiles`, the sharper."""
    keep_lines: bool = False
    """Multiply the drawing's own lines on top, at its own resolution."""
    keep_transparency: bool = False
    """Give the picture the drawing's alpha."""


def colorize(
    run: Path,
    drawings: Sequence[Path],
    out: Path,
    prompt: TagPrompt,
    options: ColorizeOptions | None = None,
    *,
    count: int,
    grid: bool,
    seed: int | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Any]:
    """Colour drawings of any size into OUT/NAME.png; `grid` adds OUT/grid.png. Nothing is written outside of OUT.

    A drawing may be a PNG or JPEG file, a folder of them, or a shard folder: then `count` pairs of its validation
    split, those with the least SHA-256 of their id among those with a colour tag, are coloured as tagged and in
    another colour; with a `seed`, of the id after it. `tell` hears how many drawings of how many are done. Raises
    TagError for unknown tags, PictureError for unreadable files, or a manner asked for pairs, which are shown as they
    are.
    """
    painter = Colorizer(load_trained(run))
    out.mkdir(parents=True, exist_ok=True)
    folders = [drawing for drawing in drawings if (drawing / INDEX_FILE).is_file()]
    files = _expanded([drawing for drawing in drawings if drawing not in folders])
    if folders and (files or folders[1:]):
        raise DrawingError(f"{folders[0]} is a shard folder: colour it in a call of its own")
    if folders and options not in {None, ColorizeOptions()}:
        raise DrawingError(f"{folders[0]} is a shard folder, whose pairs are shown as they are: give drawings")
    if folders:
        return {"pictures": painter.color_pairs(folders[0], out, prompt, count=count, grid=grid, seed=seed)}
    targets = _targets(files, out, grid=grid)
    for done, (drawing, target) in enumerate(zip(files, targets, strict=True)):
        on_progress(done, len(files))
        painter.color_file(drawing, target, prompt, options or ColorizeOptions())
    sheet = [_save_comparison_grid(out, files, targets)] if grid else []
    return {"pictures": [str(path) for path in (*targets, *sheet)]}


def _targets(files: Sequence[Path], out: Path, *, grid: bool) -> list[Path]:
    """OUT/NAME.png for each file. Raises PictureError if one would overwrite another, a drawing, or be the grid."""
    targets = [out / f"{file.stem}.png" for file in files]
    taken = {file.resolve(): file for file in files} | ({(out / GRID_FILE).resolve(): out / GRID_FILE} if grid else {})
    for file, target in zip(files, targets, strict=True):
        if other := taken.get(target.resolve()):
            raise DrawingError(f"{target} of {file} would overwrite {other}: give another folder, or other names")
        taken[target.resolve()] = file
    return targets


def _path_inside(out: Path, name: str) -> Path:
    """OUT/name. Raises PictureError for a name that leads elsewhere, as a strange shard folder's ids may."""
    if Path(name).name != name:
        raise DrawingError(f"{name!r} is no name of a file: run `curate verify` on the shards")
    return out / name


class Colorizer:
    """A loaded model, ready to colour."""

    def __init__(self, trained: TrainedModel) -> None:
        self.trained = trained

    def color_file(self, source: Path, target: Path, wish: TagPrompt, manner: ColorizeOptions) -> None:
        """Colour one file into another of its size."""
        drawing = read_drawing(source)
        row = tags.multi_hot(wish.tags, self.trained.vocabulary)

        def paint(lines: Float32Array, mask: Float32Array) -> Float32Array:
            return self.color_batch(Batch(lines, None, mask, None), np.repeat(row[None], len(lines), axis=0), wish)

        colors = grids.to_uint8(COLORING_METHODS[manner.method](drawing.gray, self.trained.size, paint))
        kept = restore_drawing_parts(
            colors, drawing, keep_lines=manner.keep_lines, keep_transparency=manner.keep_transparency
        )
        grids.save_png(target, kept)

    def color_pairs(
        self, shards: Path, out: Path, wish: TagPrompt, *, count: int, grid: bool, seed: int | None = None
    ) -> list[str]:
        """Colour `count` validation pairs as tagged and in another colour; paths of the pictures."""
        colors, vocabulary = self.trained.colors, self.trained.vocabulary
        found = Pairs(shards, "validation")
        if not len(found) or found.vocabulary != vocabulary:
            raise RunError(f"{shards} has no validation pairs of this run's vocabulary: give the run's own shards")
        numbers = choose_pairs(found, colors, count, seed)
        batch = fixed_batch(found, numbers)
        asked = [tags.tags_from_multi_hot(row, vocabulary) for row in np.asarray(batch.tags)]
        others, exchanges = zip(*(tags.swap_color(one, colors) for one in asked), strict=True)
        rows = {"tagged": batch.tags, "swapped": np.stack([tags.multi_hot(one, vocabulary) for one in others])}
        made = {kind: self.color_batch(batch, wanted, wish) for kind, wanted in rows.items()}
        written = []
        for kind, pictures in made.items():
            for number, picture in zip(numbers, pictures, strict=True):
                written.append(_path_inside(out, f"{found.ids[number]}.{kind}.png"))
                grids.save_png(written[-1], grids.to_uint8(picture))
        if grid:
            captions = [" > ".join(exchange or ()) for exchange in exchanges]
            columns = [np.asarray(batch.lines), *made.values(), np.asarray(batch.colors)]
            written.append(out / GRID_FILE)
            grids.save_png(written[-1], grids.draw_grid(columns, GRID_TITLES, captions))
        return [str(path) for path in written]

    def color_batch(self, batch: Batch, wanted: Any, wish: TagPrompt) -> npt.NDArray[np.float32]:
        """Colours (b, size, size, 3) for tags (b, vocabulary), led away from the negative or no tags by the guidance.

        Source: Ho and Salimans, "Classifier-free guidance" (2022), arXiv:2207.12598, eq. 6, here on pixels.
        """
        colors = generate_colors(self.trained.model, batch, wanted)
        if wish.guidance == 1.0:
            return colors
        away = np.broadcast_to(tags.multi_hot(wish.negative, self.trained.vocabulary), np.shape(wanted))
        against = generate_colors(self.trained.model, batch, away)
        return np.clip(against + np.float32(wish.guidance) * (colors - against), -1, 1)


def choose_pairs(pairs: Pairs, colors: tags.ColorTagParts, count: int, seed: int | None = None) -> list[int]:
    """Numbers of `count` pairs: those that carry a colour tag first, by the SHA-256 of their id; one a family first.

    Another `seed` is another choice: it is hashed before the id.
    """
    before = "" if seed is None else f"{seed}:"
    digests = [hashlib.sha256(f"{before}{one}".encode()).digest() for one in pairs.ids]
    carries = [bool(set(_names(pairs, number)) & set(colors)) for number in range(len(pairs))]
    order = sorted(range(len(pairs)), key=lambda n: (not carries[n], digests[n]))
    seen: set[str] = set()
    first = [n for n in order if not (pairs.families[n] in seen or seen.add(pairs.families[n]))]  # type: ignore[func-returns-value]
    return [*first, *(n for n in order if n not in set(first))][:count]


def _names(pairs: Pairs, number: int) -> list[str]:
    return tags.tags_from_multi_hot(np.asarray(fixed_batch(pairs, [number]).tags)[0], pairs.vocabulary)


def _expanded(drawings: Sequence[Path]) -> list[Path]:
    """Folders that are no shard folders, opened."""
    found: list[Path] = []
    for drawing in drawings:
        if drawing.is_dir() and not (drawing / INDEX_FILE).is_file():
            inside = sorted(path for path in drawing.iterdir() if path.suffix.lower() in DRAWING_SUFFIXES)
            if not inside:
                raise DrawingError(f"{drawing} holds no PNG or JPEG: give line drawings, or a folder of them")
            found += inside
        else:
            found.append(drawing)
    return found


def _save_comparison_grid(out: Path, drawings: Sequence[Path], written: Sequence[Path]) -> Path:
    """Line art beside its colours, each at 128 px."""

    def colors(path: Path) -> Float32Array:
        rgb = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
        return np.stack(
            [fit_to_square(channel, 128)[0] for channel in np.moveaxis(np.asarray(rgb, np.uint8), -1, 0)], axis=-1
        )

    lines = np.stack([fit_to_square(read_drawing(path).gray, 128)[0] for path in drawings])[..., None]
    columns = [lines, np.stack([colors(path) for path in written])]
    grids.save_png(out / GRID_FILE, grids.draw_grid(columns, GRID_TITLES[:2], [path.name for path in drawings]))
    return out / GRID_FILE
