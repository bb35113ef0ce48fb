"""Several hashes compared with one at once, in vectors of LLVM: what numba makes of a loop over a few is one by one."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Hashes compared at once: about as many as lie in a bucket; a processor with narrower registers takes them in turn."""
_WORD, _PLACE = ir.IntType(64), ir.IntType(32)
_WORDS = ir.VectorType(_WORD, LANES)


def _any_near_signature(typing: Any, one: Any, table: Any, at: Any, radius: Any) -> Any:
    """Whether any of the `LANES` hashes from `at` on is at most `radius` bits from one; the table must reach so far.

    Every number is a uint64, `table` (n,) of them.
    """
    del typing, one, at, radius  # whatever they are, they become what the signature says
    return types.boolean(types.uint64, table, types.uint64, types.uint64), _any_near_code


def _any_near_code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    one, table, at, radius = arguments
    start = builder.gep(context.make_array(signature.args[1])(context, builder, table).data, [at])
    some = builder.load(builder.bitcast(start, _WORDS.as_pointer()), align=8)
    of_bits = ir.FunctionType(_WORDS, [_WORDS])
    count = cgutils.get_or_insert_function(builder.module, of_bits, f"llvm.ctpop.v{LANES}i64")
    unlike = builder.call(count, [builder.xor(some, _broadcast(builder, one))])
    near = builder.icmp_unsigned("<=", unlike, _broadcast(builder, radius))
    return builder.icmp_unsigned("!=", builder.bitcast(near, ir.IntType(LANES)), ir.Constant(ir.IntType(LANES), 0))


def _broadcast(builder: Any, value: Any) -> Any:
    """A vector of one value."""
    nothing = ir.Constant(_WORDS, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_PLACE, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_PLACE, LANES), [0] * LANES))


any_near: Any = intrinsic(_any_near_signature)
