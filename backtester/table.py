"""What a table is, and how columns become one.

Place in the flow: the lowest floor, beneath schema.py, which lists the tables. Never computes a value: it checks, casts and
orders columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

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

    Columns come back in the table's order and dtypes, but text that is given as an Enum stays one. Instants may be given as int64
    microseconds or datetime64, sessions as datetime64[D]. Missing columns that may be empty are filled with nulls; in columns that
    may be empty NaN means no value, and so does ABSENT in a numpy integer array. InternalError where a column is unknown, missing,
    of another kind, of another length, empty where it may not be, or holds a word that the table does not know: whoever made it
    has a defect.

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
    made = [_column(table, column, given.get(column.name), rows) for column in table.columns]
    last = [step for _, step in made if step is not None]  # all at once: polars takes longer to start a step than to do it
    whole = pl.DataFrame([series for series, _ in made])
    return whole.with_columns(last) if last else whole


@dataclass(frozen=True)
class Named:
    """A column of words as `frame` takes it: the words, and of each row its word's place among them, ABSENT where it has none."""

    words: tuple[str, ...]
    codes: NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.codes)


def named(words: Sequence[str | None], codes: NDArray[np.integer[Any]]) -> Named:
    """The word of each code, shape of `codes`; none for a code below zero and where the word is None.

    >>> named(["sell", None, "buy"], np.array([2, 0, 1, -1]))
    Named(words=('sell', 'buy'), codes=array([ 1,  0, -1, -1]))
    """
    known = tuple(word for word in dict.fromkeys(words) if word is not None)
    if known == tuple(words):
        return Named(known, codes)
    place = {word: code for code, word in enumerate(known)} | {None: ABSENT}
    return Named(known, np.array([place[word] for word in words] + [ABSENT])[np.maximum(codes, ABSENT)])


def enumerated(series: pl.Series) -> pl.Series:
    """Text as an Enum of the words that occur in it, in the order in which they do; an Enum as it is."""
    if series.dtype == pl.Enum:
        return series
    text = series.cast(pl.String)
    return text.cast(pl.Enum(text.unique(maintain_order=True).drop_nulls()))


def categories(series: pl.Series) -> list[str]:
    """The words of an Enum, in order, whether they occur or not."""
    assert isinstance(series.dtype, pl.Enum)
    return series.dtype.categories.to_list()


def fits(table: Table, schema: Mapping[str, pl.DataType]) -> bool:
    """True where a frame's columns are the table's: `frame` would change nothing."""
    if list(schema) != table.names:
        return False
    pairs = zip(schema.values(), table.columns, strict=True)
    return all(found == column.dtype or (column.dtype == pl.String and found == pl.Enum) for found, column in pairs)


def empty(table: Table) -> pl.DataFrame:
    """The table without rows."""
    return pl.DataFrame(schema=table.dtypes)


def _column(table: Table, column: Column, values: Any, rows: int) -> tuple[pl.Series, pl.Expr | None]:
    """One column, cast and checked, and what is still to do to it in its frame."""
    where = f"table {table.name}, column {column.name}"
    if values is None:
        if not column.empty:
            raise InternalError("a column is missing", where=where)
        return _nulls(column, column.dtype, rows), None
    if isinstance(values, Named):
        return _worded(column, values, where)
    if isinstance(values, np.ndarray) and rows and values.dtype.kind in "fi" and (values.dtype.kind == "f" or column.empty):
        return _numbered(column, values, where)
    if isinstance(values, np.ndarray) and values.dtype == "datetime64[D]" and not np.isnat(values).any():
        values = pl.Series(values.view(np.int64).astype(np.int32)).cast(pl.Date)
    series = _cast(pl.Series(column.name, values, dtype=column.dtype if len(values) == 0 else None, strict=True), column, where)
    if rows and series.dtype.is_float():
        series = series.fill_nan(None)
    if series.null_count():
        _gaps(column, series.is_null().to_numpy(), where)
    if column.words:
        _check_words(column, series.drop_nulls().unique().to_list(), where)
    return series, None


def _worded(column: Column, values: Named, where: str) -> tuple[pl.Series, pl.Expr | None]:
    """A column of words: their codes as few bytes as there are words for, and the Enum that they become."""
    missing, words = values.codes < 0, pl.Enum(values.words)
    if (highest := int(values.codes.max(initial=ABSENT))) >= len(values.words):
        raise InternalError("a code without a word", where=where, value=highest, allowed=f"below {len(values.words)}")
    if column.words and not set(values.words) <= set(column.words):
        occurs = np.bincount(values.codes[~missing])
        _check_words(column, [values.words[code] for code in np.flatnonzero(occurs).tolist()], where)
    gaps = _gaps(column, missing, where)
    if missing.all():
        return _nulls(column, words, len(missing)), None
    # A null's code must be one of a word, too: so Arrow's readers want it.
    codes = (np.where(missing, 0, values.codes) if gaps else values.codes).astype(np.min_scalar_type(len(values.words)))
    own = pl.col(column.name)
    kept = pl.when(pl.lit(pl.Series(~missing))).then(own) if gaps else own
    return pl.Series(column.name, codes), kept.cat.to(words)


def _numbered(column: Column, values: NDArray[Any], where: str) -> tuple[pl.Series, pl.Expr | None]:
    """A column of numbers of which some may be missing: NaN among floats, ABSENT among whole numbers."""
    missing = np.isnan(values) if values.dtype.kind == "f" else values == ABSENT
    gaps = _gaps(column, missing, where)
    series = _cast(pl.Series(column.name, values), column, where)
    if not gaps:
        return series, None
    if missing.all():
        return _nulls(column, series.dtype, len(missing)), None
    own = pl.col(column.name)
    return series, own.fill_nan(None) if values.dtype.kind == "f" else pl.when(own.to_physical() != ABSENT).then(own)


def _nulls(column: Column, dtype: pl.DataType, rows: int) -> pl.Series:
    """A column without a value."""
    return pl.Series(column.name, [None], dtype=dtype).new_from_index(0, rows)


def _gaps(column: Column, missing: NDArray[np.bool_], where: str) -> bool:
    """Is a value missing? InternalError where none may be."""
    if not missing.any():
        return False
    if not column.empty:
        raise InternalError("a value is missing", where=where, value=f"{int(missing.sum())} empty of {len(missing)}")
    return True


def _check_words(column: Column, found: Iterable[str], where: str) -> None:
    unknown = set(found).difference(column.words) if column.words else set()
    if unknown:
        raise InternalError("an unknown word", where=where, value=min(unknown), allowed=", ".join(column.words))


def _cast(series: pl.Series, column: Column, where: str) -> pl.Series:
    """The series in the column's dtype; only casts that lose nothing: whole numbers to floats and instants, null to all."""
    wanted, found = column.dtype, series.dtype
    if found == wanted or (found == pl.Enum and wanted == pl.String):
        return series
    fits = (
        found == pl.Null
        or (found.is_integer() and (wanted.is_float() or wanted.is_integer() or wanted == INSTANT))
        or (found.is_float() and wanted.is_float())
        or (found == pl.Datetime and wanted == INSTANT)
        or (found == pl.Categorical and wanted == pl.String)
    )
    if not fits:
        raise InternalError("a column of another kind", where=where, value=found, allowed=str(wanted))
    return series.cast(wanted, strict=True)
