"""Digests: what a table, a set of columns or a JSON value is, in 64 hex digits, whatever pieces it came in.

Place in the flow: the results' writer feeds a `TableDigest` as it writes, the pipeline hashes each session's stages, the manifest
and the loader compare. Never looks at file bytes: a digest is of values, so that Parquet versions and row groups do not matter.

The canonical form
    Each column is two streams of bytes, each hashed by SHA-256 on its own, so that appending rows only appends bytes:
        values   of the rows that are not null, little-endian: Float64 as 8 bytes (every NaN as 0x7ff8000000000000, -0.0 as 0.0),
                 Int64 8, Int32 4, Date as days 4, Datetime as microseconds 8, Boolean 1; text as its word's number, 4 bytes, where
                 the column's words are numbered from 0 in the order in which they first occur
        nulls    the numbers of the rows, 8 bytes each, at which nulls begin or end: 3, 5 where rows 3 and 4 are null
    The table's digest is the SHA-256 of the canonical JSON of
        {"rows": n, "columns": [[name, dtype, values, nulls, words or null], ...]}      (streams as hex digests, words as a list)
    Canonical JSON has sorted keys, no spaces, UTF-8, floats as their shortest decimal form, -0.0 as 0.0, no NaN.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.schema import Table
from backtester.table import categories, enumerated


class TableDigest:
    """The digest of a table that grows; any split of its rows into pieces gives the same digest. Timings are left out."""

    def __init__(self, table: Table) -> None:
        self._columns = {name: _ColumnDigest(name, table.dtypes[name]) for name in table.digested}
        self._rows = 0

    def add(self, rows: pl.DataFrame) -> dict[str, pl.Series]:
        """Append rows; the frame has the table's columns and dtypes, text may be an Enum. Gives them back by name, text as the numbers
        (Int32) of its `words`.
        """
        self._rows += rows.height
        return {name: column.add(rows.get_column(name)) for name, column in self._columns.items()}

    def words(self, name: str) -> list[str]:
        """The words of a column of text so far, by number."""
        return self._columns[name].words

    def hexdigest(self) -> str:
        """The digest of the rows so far, as 64 hex digits."""
        return json_digest({"rows": self._rows, "columns": [column.form() for column in self._columns.values()]})


def table_digest(table: Table, frames: Iterable[pl.DataFrame]) -> str:
    """The digest of a table given as frames one after the other."""
    digest = TableDigest(table)
    for rows in frames:
        digest.add(rows)
    return digest.hexdigest()


def array_digest(columns: Mapping[str, NDArray[Any] | Sequence[str]]) -> str:
    """The digest of named columns that belong together: number, boolean or datetime64 arrays of any shape, or lists of words.

    The order of the names counts, and so do shapes and dtypes; byte order and memory layout do not. An array that stands under several
    names is hashed once.
    """
    forms, known = [], {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            if id(values) not in known:
                known[id(values)] = hashlib.sha256(_bytes(values)).hexdigest()
            forms.append([name, values.dtype.newbyteorder("<").str, list(values.shape), known[id(values)]])
        else:
            forms.append([name, "words", [len(values)], json_digest(list(values))])
    return hashlib.sha256(json.dumps(forms, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def canonical_json(value: Any) -> bytes:
    """The value as canonical JSON (see the module); ValueError on NaN and infinities, TypeError on what JSON has not."""
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def plain(value: Any) -> Any:
    """The value as JSON knows it: dicts with text keys, lists, numpy scalars as Python's, dates in ISO form, paths as text, -0.0 as 0.0.

    >>> plain({1: (np.int64(2), -0.0), "day": dt.date(2025, 7, 2)})
    {'1': [2, 0.0], 'day': '2025-07-02'}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value + 0.0 if isinstance(value, float) else value


def json_digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, as 64 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def metrics_digest(metrics: Mapping[str, Any]) -> str:
    """The digest of metrics, floats at 10 significant digits: what exp, log and sqrt may differ by between machines is left out.

    >>> metrics_digest({"sharpe": 1.00000000001}) == metrics_digest({"sharpe": 1.0})
    True
    """
    return json_digest(_ten_digits(metrics))


class _ColumnDigest:
    """The streams of one column."""

    def __init__(self, name: str, dtype: pl.DataType) -> None:
        self.name, self._dtype = name, dtype
        self._values, self._nulls = hashlib.sha256(), hashlib.sha256()
        self._rows, self._null = 0, False
        self._words: dict[str, int] = {}

    @property
    def words(self) -> list[str]:
        return list(self._words)

    def add(self, series: pl.Series) -> pl.Series:
        whole = self._numbered(series) if self._dtype == pl.String else series
        self._turn(whole)
        if whole.null_count() < len(whole):
            present = whole.drop_nulls() if whole.null_count() else whole
            self._values.update(_bytes((present.to_physical() if present.dtype.is_temporal() else present).to_numpy()))
        return whole

    def form(self) -> list[Any]:
        words = self.words if self._dtype == pl.String else None
        return [self.name, str(self._dtype), self._values.hexdigest(), self._nulls.hexdigest(), words]

    def _turn(self, series: pl.Series) -> None:
        """Where nulls begin and end goes into its stream."""
        first, count, rows = self._rows, series.null_count(), len(series)
        self._rows += rows
        if count == (rows if self._null else 0):
            return
        if count in (0, rows):
            turns, self._null = np.zeros(1, np.int64), count == rows
        else:
            null = series.is_null().to_numpy()
            turns, self._null = np.flatnonzero(null != np.concatenate([[self._null], null[:-1]])), bool(null[-1])
        self._nulls.update(_bytes(turns + first))

    def _numbered(self, series: pl.Series) -> pl.Series:
        """The numbers of a column's words; new words are numbered in the order in which they occur."""
        if series.null_count() == len(series):
            return pl.Series([None], dtype=pl.Int32).new_from_index(0, len(series))
        own = enumerated(series)
        words, physical = categories(own), own.to_physical()
        codes = (physical.drop_nulls() if own.null_count() else physical).to_numpy()
        occurs = np.bincount(codes, minlength=len(words)) > 0
        fresh = [code for code in np.flatnonzero(occurs).tolist() if words[code] not in self._words]
        if fresh:
            first = np.empty(len(words), np.int64)
            first[codes[::-1]] = np.arange(len(codes))[::-1]  # of several rows with one word the last assignment stays: the first row
            for code in sorted(fresh, key=first.__getitem__):
                self._words[words[code]] = len(self._words)
        numbers = np.array([self._words.get(word, 0) for word in words], np.int32)
        return pl.Series(numbers).gather(physical) if own.null_count() else pl.Series(numbers.take(codes))


def _bytes(values: NDArray[Any]) -> memoryview:
    """The canonical bytes of numbers, in C order."""
    if values.dtype.kind == "f" and not _is_canonical(values):
        values = values + values.dtype.type(0)  # a copy in which -0.0 has become 0.0
        missing = np.isnan(values)
        if missing.any():
            values[missing] = np.nan  # one NaN, whatever its bits were
    little = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)
    return little.reshape(-1).view(np.uint8).data


def _is_canonical(values: NDArray[np.floating[Any]]) -> bool:
    """Whether floats are without NaN and -0.0, whose bits are those of the smallest integer: no need of a copy then."""
    if not values.size or not values.dtype.isnative:
        return False
    whole = values.view(f"i{values.itemsize}")
    return not np.isnan(values.max()) and bool(whole.min() > np.iinfo(whole.dtype).min)


def _ten_digits(value: Any) -> Any:
    """The value with every float as a decimal text of 10 significant digits."""
    if isinstance(value, Mapping):
        return {name: _ten_digits(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_ten_digits(part) for part in value]
    return f"{value + 0.0:.10g}" if isinstance(value, float) else value
