"""Manifest -> a smaller manifest: by tags, and by an expression over the columns."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset import ledger, parquet
from curate.dataset.schema import MANIFEST_SCHEMA, with_options
from curate.system.errors import NurieError
from curate.system.files import options_hash
from curate.tags.normalize import normalize_tag

# what an expression may be made of: comparisons of columns with constants, joined by and, or, not
LOGIC = (ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)
ARITHMETIC = (ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div)
VALUES = (ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple)
ALLOWED = (ast.Expression, *LOGIC, *COMPARISONS, *ARITHMETIC, *VALUES)
# pandas' own ways to say that an expression makes no sense: unlike types, unknown operations, whole-number truth
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


def select(
    dataset: Path, out: Path, include: Sequence[str] = (), exclude: Sequence[str] = (), where: str | None = None
) -> dict[str, Any]:
    """Write the kept rows that carry every `include` tag, no `exclude` tag, and satisfy `where`, as `out`.

    Returns counts: `in` = `kept` + dropped by reason (`not_selected` beside the manifest's own). Raises NurieError if
    the expression is not one over the manifest's columns. Memory is that of some parts.
    """
    ledger.read_ledger(dataset, "manifest")
    stamp = selection_metadata(dataset, include, exclude, where)
    rows = kept = 0
    fates: Counter[str] = Counter()

    def selected() -> Iterator[pa.Table]:
        nonlocal rows, kept
        for table in parquet.iter_parts(dataset / "manifest"):
            chosen = _selection_mask(table, include, exclude, where)
            counts = parquet.count_fates(table)
            fates.update(counts["dropped"])
            rows, kept = rows + counts["in"], kept + int(chosen.sum())
            yield table.filter(pa.array(chosen))

    parquet.write_table_stream(out, selected(), MANIFEST_SCHEMA.with_metadata(stamp))
    dropped = {**dict(sorted(fates.items())), "not_selected": rows - kept - fates.total()}
    return {"in": rows, "kept": kept, "dropped": dropped}


def _selection_mask(
    table: pa.Table, include: Sequence[str], exclude: Sequence[str], where: str | None
) -> npt.NDArray[np.bool_]:
    """(n,) which rows of a manifest are kept and asked for."""
    chosen = np.asarray(pc.is_null(table["dropped"])) & _tag_mask(table, include, exclude)
    return chosen if where is None else chosen & where_mask(table, where)


def selection_metadata(
    dataset: Path, include: Iterable[str], exclude: Iterable[str], where: str | None
) -> dict[bytes, bytes]:
    """Metadata of what `select` would write now: equal, if nothing that decides it has changed."""
    state = ledger.read_ledger(dataset)
    wish = {"include": _wanted(include), "exclude": _wanted(exclude), "where": where}
    options = {"extract": state["options"], "dedupe": state.get("dedupe"), "select": wish}
    read = options_hash(ledger.file_digests(dataset, state, ("manifest",)))
    stamp: dict[bytes, bytes] = with_options(MANIFEST_SCHEMA, options).metadata
    return stamp | {b"nurie.inputs_hash": read.encode()}


def _wanted(tags: Iterable[str]) -> list[str]:
    return sorted({normalize_tag(tag) for tag in tags})


def _tag_mask(table: pa.Table, include: Iterable[str], exclude: Iterable[str]) -> npt.NDArray[np.bool_]:
    wanted, unwanted = set(_wanted(include)), set(_wanted(exclude))
    rows = (frozenset(tags or ()) for tags in table["tags"].to_pylist())
    return np.fromiter((wanted <= tags and not unwanted & tags for tags in rows), np.bool_, table.num_rows)


def where_mask(table: pa.Table, expression: str) -> npt.NDArray[np.bool_]:
    """Rows of the manifest, or of some of its columns, for which `expression` is true: (n,) bool.

    A comparison with null is false. Raises NurieError if it is no comparison of columns that the table has.
    """
    names = _checked_columns(expression, [name for name in SCALAR_COLUMNS if name in table.column_names])
    frame: pd.DataFrame = table.select(names).to_pandas()
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # `not` of a constant, since 3.12
            told: Any = frame.eval(expression, engine="python", parser="pandas")
    except EVALUATION_ERRORS as error:
        raise NurieError(f"--where {expression!r} cannot be computed ({error}): compare like with like") from None
    if not isinstance(told, pd.Series) or not pd.api.types.is_bool_dtype(told.dtype):
        raise NurieError(f"--where {expression!r} is not true or false: compare, as in 'width >= 512'")
    return told.fillna(value=False).to_numpy(np.bool_)


def _checked_columns(expression: str, known: Sequence[str]) -> list[str]:
    """Columns an expression names. It is checked as a tree before pandas sees it: nothing can be called or reached."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NurieError(f"--where {expression!r} is not an expression: write for example 'width >= 512'") from None
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED):
            raise NurieError(f"--where {expression!r} uses {type(node).__name__}: only compare columns with values")
        if isinstance(node, ast.BinOp) and any(_is_sequence(leaf) for leaf in ast.walk(node)):
            raise NurieError(f"--where {expression!r} reckons with text or a list: only compare it")
    names = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
    if lists := [name for name in names if name in MANIFEST_SCHEMA.names and name not in SCALAR_COLUMNS]:
        raise NurieError(f"--where cannot compare the lists of {lists[0]}: use --include and --exclude for tags")
    if unknown := [name for name in names if name not in known]:
        raise NurieError(f"--where names no column {unknown[0]!r}: there are {', '.join(known)}")
    if not names:
        raise NurieError(f"--where {expression!r} names no column: write for example 'width >= 512'")
    return names


def _is_sequence(node: ast.AST) -> bool:
    """Whether a number times this may be of any size: 'a' * 1000000000 is a gigabyte."""
    return isinstance(node, ast.List | ast.Tuple) or isinstance(getattr(node, "value", None), str | bytes)
