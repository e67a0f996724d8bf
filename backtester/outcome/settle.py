"""Kinds of values in an answer: those of DuckDB become the few that all formats and Python hold.

Place in the flow: `ask` settles each batch. Whole numbers are Int64 (a sum of whole numbers too), other numbers Float64, words are text,
instants have microseconds; lists and structs stay. Never changes a value that it keeps.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from backtester.errors import UsageError

_FOREIGN = ("map", "interval", "union", "variant", "bit", "time with time zone", "bignum", "uhugeint", "geometry")
_INSTANTS = ("date", "timestamp")


def foreign(kind: Any, above: str = "") -> bool:
    """True for a DuckDB type that polars cannot hold, itself or inside; `above` is the type around it.

    So is an instant inside of anything but a plain list: what no calendar has cannot be told there.
    """
    if kind.id in _FOREIGN or (above not in ("", "list") and kind.id.startswith(_INSTANTS)):
        return True
    if kind.id not in ("list", "array", "struct"):
        return False
    inner = [child[1] if isinstance(child, tuple) else child for child in kind.children]
    inside = kind.id if not above else "deeper"
    return any(foreign(child, inside) for child in inner if hasattr(child, "id"))


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
    if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Datetime):
        return column.list.eval(_within(pl.element().cast(pl.Datetime("us", dtype.inner.time_zone))))
    if isinstance(dtype, pl.List) and dtype.inner == pl.Date:
        return column.list.eval(_within(pl.element()))
    return _within(column) if dtype == pl.Date else column


def _within(column: pl.Expr) -> pl.Expr:
    return pl.when(column.dt.year().is_between(2, 9998)).then(column)
