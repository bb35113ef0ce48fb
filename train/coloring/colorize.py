"""Colour line drawings as tags ask, or colour pairs of a shard folder beside the artist's colours."""

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
from train.model.trained_model import TrainedModel, generate_colors, load_trained

DRAWING_SUFFIXES = (".png", ".jpg", ".jpeg")
GRID_FILE = "grid.png"
GRID_TITLES = ("line art", "as tagged", "other colour", "truth")
GRID_PICTURE_SIZE = 128
"""Side of a drawing and of its colours in the grid, px."""


@dataclass(frozen=True)
class TagPrompt:
    """The tags to colour with. Raises TagError for negative tags with a guidance of 1 or less, which ignores them."""

    tags: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    """Tags to move away from; they need a guidance above 1."""
    guidance: float = 1.0
    """How strongly the tags pull. 1 colours as the tags ask; more moves further from the picture that has the negative
    tags, or no tags."""

    def __post_init__(self) -> None:
        if self.negative and self.guidance <= 1:
            raise TagError(f"negative tags need a guidance above 1 (try 2), not {self.guidance:g}")


@dataclass(frozen=True)
class ColorizeOptions:
    """How a drawing is coloured, and which parts of it the coloured picture keeps."""

    method: str = "resize"
    """A key of COLORING_METHODS: `resize` has truer colours on real art, `tiles` is sharper."""
    keep_lines: bool = False
    """Multiply the drawing's own lines on top, at full resolution."""
    keep_transparency: bool = False
    """Give the picture the drawing's alpha channel."""


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
    """Colour drawings of any size into OUT/NAME.png and return the paths of all pictures written.

    `drawings` are PNG or JPEG files, folders of them, or one shard folder. Of a shard folder, `count` validation pairs
    are coloured as tagged and in another colour; `choose_pairs` says which, and `seed` chooses others. `grid` also
    writes OUT/grid.png. Nothing is written outside of OUT. `on_progress(done, total)` is called before each drawing.

    Raises TagError for unknown tags. Raises DrawingError for files that cannot be read, for names that would overwrite
    each other, and for `options` given with a shard folder, whose pairs have the model's size.
    """
    colorizer = Colorizer(load_trained(run))
    out.mkdir(parents=True, exist_ok=True)
    folders = [drawing for drawing in drawings if (drawing / INDEX_FILE).is_file()]
    files = _expand_folders([drawing for drawing in drawings if drawing not in folders])
    if folders and (files or folders[1:]):
        raise DrawingError(f"{folders[0]} is a shard folder: colour it in a call of its own")
    if folders and options not in {None, ColorizeOptions()}:
        raise DrawingError(
            f"{folders[0]} is a shard folder, whose pairs are shown as they are: leave those options out"
        )
    if folders:
        return {"pictures": colorizer.color_pairs(folders[0], out, prompt, count=count, grid=grid, seed=seed)}
    targets = _target_paths(files, out, grid=grid)
    for done, (file, target) in enumerate(zip(files, targets, strict=True)):
        on_progress(done, len(files))
        colorizer.color_file(file, target, prompt, options or ColorizeOptions())
    sheet = [_save_comparison_grid(out, files, targets)] if grid else []
    return {"pictures": [str(path) for path in (*targets, *sheet)]}


def _expand_folders(drawings: Sequence[Path]) -> list[Path]:
    """Drawings with each folder replaced by its PNG and JPEG files. Raises DrawingError for a folder without any."""
    files: list[Path] = []
    for drawing in drawings:
        if not drawing.is_dir():
            files.append(drawing)
            continue
        inside = sorted(path for path in drawing.iterdir() if path.suffix.lower() in DRAWING_SUFFIXES)
        if not inside:
            raise DrawingError(f"{drawing} holds no PNG or JPEG: give line drawings, or a folder of them")
        files += inside
    return files


def _target_paths(files: Sequence[Path], out: Path, *, grid: bool) -> list[Path]:
    """OUT/NAME.png for each file. Raises DrawingError if one would overwrite a drawing, another target or the grid."""
    targets = [out / f"{file.stem}.png" for file in files]
    taken = {file.resolve(): file for file in files} | ({(out / GRID_FILE).resolve(): out / GRID_FILE} if grid else {})
    for file, target in zip(files, targets, strict=True):
        if owner := taken.get(target.resolve()):
            raise DrawingError(
                f"{file} would be coloured as {target} and would overwrite {owner}: give another OUT, or rename a file"
            )
        taken[target.resolve()] = file
    return targets


def _path_inside(out: Path, name: str) -> Path:
    """OUT/name. Raises DrawingError if the name is a path that leads elsewhere, as an id of a hostile shard may."""
    if Path(name).name != name:
        raise DrawingError(f"{name!r} is not a file name: run `curate verify` on the shards")
    return out / name


class Colorizer:
    """A loaded model that colours drawings."""

    def __init__(self, trained: TrainedModel) -> None:
        self.trained = trained

    def color_file(self, source: Path, target: Path, prompt: TagPrompt, options: ColorizeOptions) -> None:
        """Colour the drawing in `source` and write it to `target`, a PNG of the drawing's size."""
        drawing = read_drawing(source)
        row = tags.multi_hot(prompt.tags, self.trained.vocabulary)

        def paint(lines: Float32Array, mask: Float32Array) -> Float32Array:
            return self.color_batch(Batch(lines, None, mask, None), np.repeat(row[None], len(lines), axis=0), prompt)

        colors = grids.to_uint8(COLORING_METHODS[options.method](drawing.gray, self.trained.size, paint))
        restored = restore_drawing_parts(
            colors, drawing, keep_lines=options.keep_lines, keep_transparency=options.keep_transparency
        )
        grids.save_png(target, restored)

    def color_pairs(
        self, shards: Path, out: Path, prompt: TagPrompt, *, count: int, grid: bool, seed: int | None = None
    ) -> list[str]:
        """Colour `count` validation pairs as tagged and in another colour; return the paths written.

        Writes OUT/ID.tagged.png and OUT/ID.swapped.png, and with `grid` OUT/grid.png. Raises RunError if the shards
        have no validation pairs or another vocabulary than the model.
        """
        colors, vocabulary = self.trained.colors, self.trained.vocabulary
        pairs = Pairs(shards, "validation")
        if not len(pairs) or pairs.vocabulary != vocabulary:
            raise RunError(f"{shards} has no validation pairs with this run's vocabulary: give the run's own shards")
        numbers = choose_pairs(pairs, colors, count, seed)
        batch = fixed_batch(pairs, numbers)
        swaps = [tags.swap_color(tags.tags_from_multi_hot(row, vocabulary), colors) for row in np.asarray(batch.tags)]
        swapped_rows = np.stack([tags.multi_hot(swapped, vocabulary) for swapped, _ in swaps])
        pictures = {
            kind: self.color_batch(batch, rows, prompt)
            for kind, rows in {"tagged": batch.tags, "swapped": swapped_rows}.items()
        }
        written = []
        for kind, pictures_of_kind in pictures.items():
            for number, picture in zip(numbers, pictures_of_kind, strict=True):
                written.append(_path_inside(out, f"{pairs.ids[number]}.{kind}.png"))
                grids.save_png(written[-1], grids.to_uint8(picture))
        if grid:
            captions = [" > ".join(old_and_new or ()) for _, old_and_new in swaps]
            columns = [np.asarray(batch.lines), *pictures.values(), np.asarray(batch.colors)]
            written.append(out / GRID_FILE)
            grids.save_png(written[-1], grids.draw_grid(columns, GRID_TITLES, captions))
        return [str(path) for path in written]

    def color_batch(self, batch: Batch, tag_rows: Any, prompt: TagPrompt) -> npt.NDArray[np.float32]:
        """Colours (b, size, size, 3) in [-1, 1] for tag rows (b, vocabulary), after the prompt's guidance.

        A guidance other than 1 colours a second time, with the negative tags or with none, and moves away from that.
        Source: Ho and Salimans, "Classifier-free guidance" (2022), arXiv:2207.12598, eq. 6, here on pixels.
        """
        colors = generate_colors(self.trained.model, batch, tag_rows)
        if prompt.guidance == 1.0:
            return colors
        negative_row = tags.multi_hot(prompt.negative, self.trained.vocabulary)
        base = generate_colors(self.trained.model, batch, np.broadcast_to(negative_row, np.shape(tag_rows)))
        return np.clip(base + np.float32(prompt.guidance) * (colors - base), -1, 1)


def choose_pairs(pairs: Pairs, colors: tags.ColorTagParts, count: int, seed: int | None = None) -> list[int]:
    """Numbers of `count` pairs that do not depend on the order in which the shards store them.

    One pair of each family comes first, then the others; within both, pairs with a colour tag come first, in the order
    of the SHA-256 of "ID", or of "SEED:ID" with a seed.
    """
    prefix = "" if seed is None else f"{seed}:"
    digests = [hashlib.sha256(f"{prefix}{pair_id}".encode()).digest() for pair_id in pairs.ids]
    has_color_tag = [bool(set(_tags_of_pair(pairs, number)) & set(colors)) for number in range(len(pairs))]
    order = sorted(range(len(pairs)), key=lambda number: (not has_color_tag[number], digests[number]))
    first_of_family: dict[str, int] = {}
    for number in order:
        first_of_family.setdefault(pairs.families[number], number)
    firsts = set(first_of_family.values())
    return [*first_of_family.values(), *(number for number in order if number not in firsts)][:count]


def _tags_of_pair(pairs: Pairs, number: int) -> list[str]:
    return tags.tags_from_multi_hot(np.asarray(fixed_batch(pairs, [number]).tags)[0], pairs.vocabulary)


def _save_comparison_grid(out: Path, drawings: Sequence[Path], colored: Sequence[Path]) -> Path:
    """Write OUT/grid.png: each drawing beside its colours."""
    lines = np.stack([fit_to_square(read_drawing(path).gray, GRID_PICTURE_SIZE)[0] for path in drawings])[..., None]
    columns = [lines, np.stack([_read_color_square(path) for path in colored])]
    grids.save_png(out / GRID_FILE, grids.draw_grid(columns, GRID_TITLES[:2], [path.name for path in drawings]))
    return out / GRID_FILE


def _read_color_square(path: Path) -> Float32Array:
    """A coloured PNG fitted into the grid's square: (128, 128, 3) in [-1, 1]."""
    rgb = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
    channels = np.moveaxis(np.asarray(rgb, np.uint8), -1, 0)
    return np.stack([fit_to_square(channel, GRID_PICTURE_SIZE)[0] for channel in channels], axis=-1)
