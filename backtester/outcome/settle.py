"""Kinds of values in an answer: those of DuckDB become the few that all formats and Python hold.

Place in the flow: `ask` settles each batch. Whole numbers are Int64 (a sum of whole numbers too), other numbers Float64, words are text,
instants have microseconds; lists and structs stay. Never changes a value that it keeps.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from backtester.errors import UsageError

_FOREIGN = ("interval", "union", "variant", "bit", "time with time zone", "bignum", "uhugeint", "geometry")


def foreign(kind: Any) -> bool:
    """True for a DuckDB type that polars cannot hold, itself or inside."""
    if kind.id in _FOREIGN:
        return True
    if kind.id not in ("list", "array", "struct", "map"):
        return False
    inner = [child[1] if isinstance(child, tuple) else child for child in kind.children]
    return any(foreign(child) for child in inner if hasattr(child, "id"))


def settled(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in the kinds of the module; UsageError where a whole number has more than 64 bits.

    An instant that no calendar of Python has (infinity, the year 20000) is null.
    """
    try:
        return rows.with_columns(_settled(name, dtype) for name, dtype in rows.schema.items())
    except pl.exceptions.InvalidOperationError as error:
        raise UsageError("a whole number of the answer has more than 64 bits", action="cast it to double") from error


def _settled(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Decimal):
        return column.cast(pl.Int64 if dtype.scale == 0 else pl.Float64)
    if dtype.is_integer():
        return column.cast(pl.Int64)
    if dtype == pl.Float32:
        return column.cast(pl.Float64)
    if dtype in (pl.Categorical, pl.Enum, pl.Null):
        return column.cast(pl.String)
    if isinstance(dtype, pl.Datetime):
        return _within(column.cast(pl.Datetime("us", dtype.time_zone)))
    return _within(column) if dtype == pl.Date else column


def _within(column: pl.Expr) -> pl.Expr:
    return pl.when(column.dt.year().is_between(2, 9998)).then(column)
