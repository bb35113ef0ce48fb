"""Options of `curate extract`, and their defaults. Standard library only, so that the command line can read them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ExtractOptions:
    """What decides the bytes of records and pairs; a dataset keeps the options it was begun with."""

    lines: tuple[str, ...] = ("contour", "dilate", "xdog")
    """Line-art methods to store; the first is the default style."""
    size: int = 128
    """Side of the pairs, px."""
    max_pixels: int = 200_000_000
    """Larger pictures are dropped before they are decoded."""
    min_side: int = 0
    """Pictures with a shorter side are dropped, px."""
    max_aspect: float = 0.0
    """Pictures longer than this many times their width, or wider, are dropped; 0 keeps them."""
    keep_monochrome: bool = False
    """Keep pictures without colour: line art, manga pages, shades of gray."""
    folder_tags: bool = False
    """Take the names of a picture's folders, below its source, as tags too."""

    def to_json_dict(self) -> dict[str, Any]:
        """As JSON has them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
