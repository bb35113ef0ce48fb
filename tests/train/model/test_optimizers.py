from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from train.model.optimizers import Adam


@pytest.mark.parametrize("jit", [False, True])
def test_adam_moves_weights_and_moments_as_that_of_keras(jit: bool) -> None:
    random = np.random.default_rng(0)
    begun = [random.normal(size=shape).astype(np.float32) for shape in ((3, 4), (5,))]
    found = []
    for kind in (Adam, keras.optimizers.Adam):
        optimizer: Any = kind(1e-2, 0.5, 0.99)
        weights = [keras.Variable(one) for one in begun]
        optimizer.build(weights)
        step = tf.function(optimizer.apply, jit_compile=jit)
        for turn in range(5):
            optimizer.learning_rate.assign(1e-2 / (turn + 1))
            step([np.sin(turn + one) for one in begun])
        found.append([np.asarray(one) for one in (*weights, *optimizer.variables)])
    for mine, yours in zip(*found, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=2e-6, atol=1e-7)
