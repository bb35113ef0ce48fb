"""Fit a picture into a square of the model's size: shrunk by area, padded with white."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.images.array_types import Pixels
from curate.images.resample import resize_by_area

WHITE = 255


@dataclass(frozen=True)
class ContentBox:
    """Where the picture lies inside its square, in px; outside is padding. The fields are in the stored order."""

    top: int
    left: int
    height: int
    width: int

    @property
    def rows(self) -> slice:
        """Rows inside, for indexing."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Columns inside, for indexing."""
        return slice(self.left, self.left + self.width)


def content_box(height: int, width: int, size: int) -> ContentBox:
    """The centred box of a `height` x `width` picture whose longer side fills a square of `size` px."""
    scale = size / max(height, width)
    inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
    return ContentBox((size - inner_height) // 2, (size - inner_width) // 2, inner_height, inner_width)


def letterbox(pixels: Pixels, size: int, box: ContentBox | None = None) -> Pixels:
    """The whole picture in a square (size, size[, 3]), centred on white or resized to `box`.

    Resized by area, which averages all source pixels; cubic interpolation samples a few and makes lines jagged.
    """
    box = box or content_box(pixels.shape[0], pixels.shape[1], size)
    small = resize_by_area(pixels, box.width, box.height)
    if (box.height, box.width) == (size, size):
        return small
    padded = np.full((size, size, *pixels.shape[2:]), WHITE, np.uint8)
    padded[box.rows, box.columns] = small
    return padded
