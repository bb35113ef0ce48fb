"""A small folder of drawings with tags, made in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 160  # px


def draw_simple_art(folder: Path, count: int = 24) -> Path:
    """Make `folder` with drawings of coloured discs and a tag file beside each; the same drawings on every call."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        image = Image.new("RGB", (SIDE, SIDE), "white")
        for _ in range(4):
            left, right, top, bottom = (int(edge) for axis in "xy" for edge in sorted(random.integers(0, SIDE, 2)))
            red, green, blue = random.integers(0, 255, 3).tolist()
            ImageDraw.Draw(image).ellipse([left, top, right, bottom], (red, green, blue), "black", 3)
        image.save(folder / f"{number:02d}.png")
        (folder / f"{number:02d}.txt").write_text("drawing, " + ("blue_hair" if number % 2 else "smile"))
    return folder
