"""Types of pixel arrays, named by their range; a colour's channels are R, G, B."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BytePixels = npt.NDArray[np.uint8]
"""0 to 255, as pictures are stored: 0 is ink or black, 255 paper or white."""
SignedPixels = npt.NDArray[np.float32]
"""-1 to 1, as the networks see them: -1 is ink or black, 1 paper or white."""
CielabPixels = npt.NDArray[np.float64]
"""CIELAB: L from 0 to 100, a and b around 0."""
