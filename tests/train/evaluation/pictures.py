"""Pictures painted by hand for the tests of figures."""

import numpy as np

from train.evaluation.metrics import RgbFloat


def flat(r: float, g: float, b: float, size: int = 16) -> RgbFloat:
    """One colour everywhere."""
    return np.full((size, size, 3), (r, g, b), np.float32)


def square(r: float, g: float, b: float) -> RgbFloat:
    """A coloured square with a black outline on white, 32 px."""
    picture = flat(1, 1, 1, 32)
    picture[6:26, 6:26] = 0
    picture[8:24, 8:24] = (r, g, b)
    return picture
