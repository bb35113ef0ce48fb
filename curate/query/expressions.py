"""`--where`: a Boolean expression over a manifest's columns -> a mask of rows.

    width >= 512                        a column compared with a number or a quoted text; == != < <= > >=
    split in ['train', 'test']          one of several values; `not in` for none of them
    bytes / width > 25                  arithmetic of number columns; + - * /
    width > 5 and not role == 'unique'  comparisons joined by `and`, `or`, `not` and brackets
    1000 < bytes < 7000                 two comparisons in one

A comparison with null is false. Columns of lists (tags) cannot be compared. The expression is parsed and checked before
pandas evaluates it, so nothing can be called or imported.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from curate.dataset.schema import MANIFEST_SCHEMA
from curate.query.tag_index import RowMask
from curate.system.errors import NurieError

LOGIC = (ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)
ARITHMETIC = (ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div)
VALUES = (ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple)
ALLOWED_NODES = (ast.Expression, *LOGIC, *COMPARISONS, *ARITHMETIC, *VALUES)
# what pandas raises for an expression that makes no sense: unlike types, unknown operations, the truth of a number
EVALUATION_ERRORS = (
    TypeError,
    ValueError,
    NotImplementedError,
    AttributeError,
    KeyError,
    ArithmeticError,
    RecursionError,
)
SCALAR_COLUMNS = [field.name for field in MANIFEST_SCHEMA if not pa.types.is_list(field.type)]


def where_mask(table: pa.Table, expression: str) -> RowMask:
    """Rows of a manifest, or of some of its columns, for which the expression is true: (n,) bool.

    Raises NurieError if it is not a comparison of columns that the table has.
    """
    names = _checked_columns(expression, [name for name in SCALAR_COLUMNS if name in table.column_names])
    frame: pd.DataFrame = table.select(names).to_pandas()
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # `not` of a constant, since 3.12
            result: Any = frame.eval(expression, engine="python", parser="pandas")
    except EVALUATION_ERRORS as error:
        raise NurieError(f"--where {expression!r} cannot be computed ({error}): compare like with like") from None
    if not isinstance(result, pd.Series) or not pd.api.types.is_bool_dtype(result.dtype):
        raise NurieError(f"--where {expression!r} is not true or false: compare, as in 'width >= 512'")
    return result.fillna(value=False).to_numpy(np.bool_)


def _checked_columns(expression: str, known: Sequence[str]) -> list[str]:
    """The columns that an expression names. Raises NurieError if it has anything but allowed nodes."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NurieError(f"--where {expression!r} is not an expression: write for example 'width >= 512'") from None
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED_NODES):
            raise NurieError(f"--where {expression!r} uses {type(node).__name__}: only compare columns with values")
        if isinstance(node, ast.BinOp) and any(_is_sequence(leaf) for leaf in ast.walk(node)):
            raise NurieError(f"--where {expression!r} computes with text or a list: only compare it")
    names = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
    if lists := [name for name in names if name in MANIFEST_SCHEMA.names and name not in SCALAR_COLUMNS]:
        raise NurieError(f"--where cannot compare the lists of {lists[0]}: use --include and --exclude for tags")
    if unknown := [name for name in names if name not in known]:
        raise NurieError(f"--where names no column {unknown[0]!r}: choose from {', '.join(known)}")
    if not names:
        raise NurieError(f"--where {expression!r} names no column: write for example 'width >= 512'")
    return names


def _is_sequence(node: ast.AST) -> bool:
    """Whether arithmetic with this could take any amount of memory: 'a' * 1000000000 is a gigabyte."""
    return isinstance(node, ast.List | ast.Tuple) or isinstance(getattr(node, "value", None), str | bytes)
