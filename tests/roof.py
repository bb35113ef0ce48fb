"""The roofline of a JAX program: the least time that its convolutions and matrix products can take on this device.

Each operation takes the longer of two times: to read its operands and write its result once at the measured bandwidth,
and to compute at the measured peak. Operations run one after another, and everything between them (norms, activations,
the optimizers) counts as free, so no program reaches the roofline. Source: Williams, Waterman and Patterson,
"Roofline" (2009), doi:10.1145/1498765.1498785.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

SIDE = 8192  # rows and columns of the matrices whose product measures the peak
COPIED = 1 << 29  # length of the array whose copy measures the bandwidth
REPEATS = 20


class Work(NamedTuple):
    """Arithmetic operations and bytes moved by a convolution or product, and its dtype."""

    dtype: str
    flops: float
    bytes: float


def works(program: Any) -> Iterator[Work]:
    """Yield the work of each convolution and product of a closed jaxpr."""
    for equation in program.eqns:
        name = equation.primitive.name
        if name in ("conv_general_dilated", "dot_general"):
            operands, (result,) = (
                [variable.aval for variable in equation.invars],
                [out.aval for out in equation.outvars],
            )
            terms = _kernel_terms if name == "conv_general_dilated" else _product_terms
            moved = sum(array.size * array.dtype.itemsize for array in (*operands, result))
            yield Work(operands[0].dtype.name, 2.0 * result.size * terms(equation, operands), moved)
        for program_within in _programs_within(equation.params.values()):
            yield from works(program_within)


def _kernel_terms(equation: Any, operands: list[Any]) -> float:
    """Number of products summed for each number that a convolution returns, without the zeros of a dilated input."""
    outputs = operands[1].shape[equation.params["dimension_numbers"].rhs_spec[0]]
    return float(operands[1].size / outputs / math.prod(equation.params["lhs_dilation"]))


def _product_terms(equation: Any, operands: list[Any]) -> float:
    """Number of products summed for each number that a matrix product returns."""
    (contracted, _), _ = equation.params["dimension_numbers"]
    return float(math.prod(operands[0].shape[axis] for axis in contracted))


def _programs_within(values: Any) -> Iterator[Any]:
    """Yield the programs among an operation's parameters."""
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _programs_within(value)
        elif hasattr(value, "eqns"):
            yield value
        elif hasattr(value, "jaxpr"):
            yield value.jaxpr


def ceilings(dtypes: set[str]) -> dict[str, float]:
    """Measured limits: bytes per second of a large copy (`bytes`), and operations per second of a product by dtype."""
    import jax
    from jax import numpy as jnp

    array = jnp.ones(COPIED, jnp.float32)
    limits = {"bytes": 2 * array.nbytes / _seconds(jax.jit(lambda numbers: numbers + 1), array)}
    del array
    for dtype in sorted(dtypes):
        left, right = (jax.random.normal(jax.random.key(n), (SIDE, SIDE), dtype) for n in range(2))
        limits[dtype] = 2 * SIDE**3 / _seconds(jax.jit(jnp.matmul), left, right)
    return limits


def _seconds(call: Callable[..., Any], *arguments: Any) -> float:
    """Mean seconds of a call, after a first one that compiles."""
    result = call(*arguments).block_until_ready()
    start = time.perf_counter()
    for _ in range(REPEATS):
        result = call(*arguments)
    result.block_until_ready()
    return (time.perf_counter() - start) / REPEATS


def least(work: list[Work], limits: dict[str, float]) -> float:
    """The least seconds that the operations can take, each bound by the limit that it reaches first."""
    return sum(max(item.flops / limits[item.dtype], item.bytes / limits["bytes"]) for item in work)
