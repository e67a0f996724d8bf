"""What a table is, and how columns become one.

Place in the flow: the lowest floor, beneath schema.py, which lists the tables. Never computes a value: it checks, casts and
orders columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from backtester.errors import InternalError, did_you_mean

ABSENT = -1
"""In a numpy integer column that may be empty (ids, instants) this number stands for no value, as NaN does among floats."""

INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Column:
    """One column: name, dtype, unit and meaning; `words` are the only values allowed; `timing` keeps it out of digests."""

    name: str
    dtype: pl.DataType
    meaning: str
    unit: str = ""
    empty: bool = False
    words: tuple[str, ...] = ()
    timing: bool = False


@dataclass(frozen=True)
class Table:
    """One table: what a row is, which columns tell rows apart (and order them), the columns, and sample rows."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    samples: tuple[tuple[Any, ...], ...] = ()

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [column.name for column in self.columns]

    @property
    def dtypes(self) -> dict[str, pl.DataType]:
        """Column name -> polars dtype, in order."""
        return {column.name: column.dtype for column in self.columns}

    @property
    def digested(self) -> list[str]:
        """Names of the columns that count in digests: all but timings."""
        return [column.name for column in self.columns if not column.timing]

    def column(self, name: str) -> Column:
        """One column by name; InternalError with the nearest name where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise InternalError("no such column", where=f"table {self.name}", value=name, action=did_you_mean(name, self.names))


def frame(table: Table, columns: Mapping[str, Any] | pl.DataFrame) -> pl.DataFrame:
    """The columns (numpy arrays, polars series or lists, all of one length) as a frame of exactly this table.

    Columns come back in the table's order and dtypes. Instants may be given as int64 microseconds or datetime64, sessions as
    datetime64[D]. Missing columns that may be empty are filled with nulls; in columns that may be empty NaN means no value, and
    so does ABSENT in a numpy integer array. InternalError where a column is unknown, missing, of another kind, of another
    length, empty where it may not be, or holds a word that the table does not know: whoever made it has a defect.

    >>> from backtester.schema import DIGESTS
    >>> frame(DIGESTS, {"session": np.array(["2025-07-02"], "datetime64[D]"), "stage": ["bars"], "digest": ["00"]}).row(0)
    (datetime.date(2025, 7, 2), 'bars', '00')
    """
    given = {name: columns[name] for name in (columns.columns if isinstance(columns, pl.DataFrame) else columns)}
    for name in given:
        table.column(name)
    lengths = {name: len(values) for name, values in given.items()}
    rows = next(iter(lengths.values()), 0)
    if any(length != rows for length in lengths.values()):
        raise InternalError("columns of different lengths", where=f"table {table.name}", value=lengths)
    return pl.DataFrame([_series(table, column, given.get(column.name), rows) for column in table.columns])


def empty(table: Table) -> pl.DataFrame:
    """The table without rows."""
    return pl.DataFrame(schema=table.dtypes)


def _series(table: Table, column: Column, values: Any, rows: int) -> pl.Series:
    """One column, cast and checked."""
    where = f"table {table.name}, column {column.name}"
    if values is None:
        if not column.empty:
            raise InternalError("a column is missing", where=where)
        return pl.Series(column.name, [None] * rows, dtype=column.dtype)
    series = pl.Series(column.name, values, dtype=column.dtype if len(values) == 0 else None, strict=True)
    series = _cast(series, column, where)
    if column.empty and column.dtype == pl.Float64:
        series = series.fill_nan(None)
    elif column.empty and isinstance(values, np.ndarray) and values.dtype.kind == "i":
        series = series.set(series.to_physical() == ABSENT, None)
    if not column.empty and (series.null_count() or (column.dtype == pl.Float64 and series.is_nan().any())):
        raise InternalError("a value is missing", where=where, value=f"{series.null_count()} empty of {rows}")
    if column.words and not series.is_in([*column.words, None], nulls_equal=True).all():
        unknown = series.filter(~series.is_in([*column.words, None], nulls_equal=True))[0]
        raise InternalError("an unknown word", where=where, value=unknown, allowed=", ".join(column.words))
    return series


def _cast(series: pl.Series, column: Column, where: str) -> pl.Series:
    """The series in the column's dtype; only casts that lose nothing: whole numbers to floats and instants, null to all."""
    wanted, found = column.dtype, series.dtype
    if found == wanted:
        return series
    fits = (
        found == pl.Null
        or (found.is_integer() and (wanted.is_float() or wanted.is_integer() or wanted == INSTANT))
        or (found.is_float() and wanted.is_float())
        or (found == pl.Datetime and wanted == INSTANT)
        or (found in (pl.Categorical, pl.Enum) and wanted == pl.String)
    )
    if not fits:
        raise InternalError("a column of another kind", where=where, value=found, allowed=str(wanted))
    return series.cast(wanted, strict=True)
