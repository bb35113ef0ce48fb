"""Array types of pictures: all uint8, rows first."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Rgb: TypeAlias = npt.NDArray[np.uint8]
"""(height, width, 3) uint8, channels R, G, B."""
Gray: TypeAlias = npt.NDArray[np.uint8]
"""(height, width) uint8; in line art and ink masks 255 is paper and 0 is ink."""
Pixels: TypeAlias = npt.NDArray[np.uint8]
"""(height, width[, 3]) uint8: gray or RGB."""
