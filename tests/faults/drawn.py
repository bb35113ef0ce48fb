"""A few drawings that are drawn in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 160  # px


def drawn(folder: Path, number: int = 24) -> Path:
    """Discs in colours, with tags beside them; the same ones each time."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for one in range(number):
        image = Image.new("RGB", (SIDE, SIDE), "white")
        for _ in range(4):
            left, right, top, bottom = (int(edge) for axis in "xy" for edge in sorted(random.integers(0, SIDE, 2)))
            red, green, blue = random.integers(0, 255, 3).tolist()
            ImageDraw.Draw(image).ellipse([left, top, right, bottom], (red, green, blue), "black", 3)
        image.save(folder / f"{one:02d}.png")
        (folder / f"{one:02d}.txt").write_text("drawing, " + ("blue_hair" if one % 2 else "smile"))
    return folder
