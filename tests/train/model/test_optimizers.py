"""The fused Adam equals Keras' own."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from train.model.optimizers import Adam


@pytest.mark.parametrize("jit", [False, True])
def test_adam_updates_weights_and_moments_as_keras_adam_does(jit: bool) -> None:
    random = np.random.default_rng(0)
    initial = [random.normal(size=shape).astype(np.float32) for shape in ((3, 4), (5,))]
    results = []
    for optimizer_class in (Adam, keras.optimizers.Adam):
        optimizer: Any = optimizer_class(1e-2, 0.5, 0.99)
        weights = [keras.Variable(values) for values in initial]
        optimizer.build(weights)
        step = tf.function(optimizer.apply, jit_compile=jit)
        for turn in range(5):
            optimizer.learning_rate.assign(1e-2 / (turn + 1))
            step([np.sin(turn + values) for values in initial])
        results.append([np.asarray(variable) for variable in (*weights, *optimizer.variables)])
    for fused, expected in zip(*results, strict=True):
        np.testing.assert_allclose(fused, expected, rtol=2e-6, atol=1e-7)
