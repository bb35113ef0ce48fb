"""The least time that a JAX program could take on this device: what its convolutions and products ask of it.

Each reads its operands once, writes its result once and works at the measured peak: the longer of both counts, one
after another. What lies between them (norms, activations, the optimizers) is taken to be free, so no program gets
there. Source: Williams, Waterman and Patterson, "Roofline" (2009), doi:10.1145/1498765.1498785.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

SIDE = 8192  # of the square product that measures the peak
COPIED = 1 << 29  # numbers of the array that measures the bandwidth
REPEATS = 20


class Work(NamedTuple):
    """Of one operation, or of many."""

    dtype: str
    flops: float
    bytes: float


def works(program: Any) -> Iterator[Work]:
    """What each convolution and product of a closed jaxpr takes."""
    for equation in program.eqns:
        name = equation.primitive.name
        if name in ("conv_general_dilated", "dot_general"):
            given, (made,) = [one.aval for one in equation.invars], [one.aval for one in equation.outvars]
            sums = _of_kernel(equation, given) if name == "conv_general_dilated" else _of_product(equation, given)
            moved = sum(one.size * one.dtype.itemsize for one in (*given, made))
            yield Work(given[0].dtype.name, 2.0 * made.size * sums, moved)
        for inner in _inner(equation.params.values()):
            yield from works(inner)


def _of_kernel(equation: Any, given: list[Any]) -> float:
    """Products summed up in a number of the result; those with the zeros of a dilated input are none."""
    outputs = given[1].shape[equation.params["dimension_numbers"].rhs_spec[0]]
    return float(given[1].size / outputs / math.prod(equation.params["lhs_dilation"]))


def _of_product(equation: Any, given: list[Any]) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    return float(math.prod(given[0].shape[axis] for axis in contracted))


def _inner(values: Any) -> Iterator[Any]:
    """Programs that an operation calls."""
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _inner(value)
        elif hasattr(value, "eqns"):
            yield value
        elif hasattr(value, "jaxpr"):
            yield value.jaxpr


def ceilings(dtypes: set[str]) -> dict[str, float]:
    """Bytes a second of a large copy, read and written, and operations a second of a large product of each dtype."""
    import jax
    from jax import numpy as jnp

    many = jnp.ones(COPIED, jnp.float32)
    found = {"bytes": 2 * many.nbytes / _seconds(jax.jit(lambda one: one + 1), many)}
    del many
    for dtype in sorted(dtypes):
        one, other = (jax.random.normal(jax.random.key(n), (SIDE, SIDE), dtype) for n in range(2))
        found[dtype] = 2 * SIDE**3 / _seconds(jax.jit(jnp.matmul), one, other)
    return found


def _seconds(call: Callable[..., Any], *given: Any) -> float:
    made = call(*given).block_until_ready()
    began = time.perf_counter()
    for _ in range(REPEATS):
        made = call(*given)
    made.block_until_ready()
    return (time.perf_counter() - began) / REPEATS


def least(found: list[Work], reach: dict[str, float]) -> float:
    """Seconds of all, each under the nearer ceiling."""
    return sum(max(one.flops / reach[one.dtype], one.bytes / reach["bytes"]) for one in found)
