"""Options of `curate extract`, and their defaults. Standard library only, so that the command line can read them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ExtractOptions:
    """Everything that decides the bytes of records and pairs; a dataset keeps the options it was begun with."""

    lines: tuple[str, ...] = ("contour", "dilate", "xdog")
    """Line-art methods to store; the first is the default style."""
    size: int = 128
    """Side of the pairs, px."""
    max_pixels: int = 200_000_000
    """Larger pictures are dropped before they are decoded."""
    min_side: int = 0
    """Pictures with a shorter side are dropped, px."""
    max_aspect: float = 0.0
    """Pictures whose longer side is more than this many times the shorter one are dropped; 0 keeps them."""
    keep_monochrome: bool = False
    """Keep pictures without colour, for example line art and manga pages."""
    folder_tags: bool = False
    """Make tags of the names of the folders between the source and the picture."""

    def to_json_dict(self) -> dict[str, Any]:
        """The options as JSON stores them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
