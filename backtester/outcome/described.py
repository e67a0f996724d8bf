"""What there is to ask: the tables of some results with their grain and columns, in words.

Place in the flow: `bt sql RUN` without a query prints what `described` returns. Words come from schema.py; a column that it does not
know, as a sweep's parameters, has its type alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from backtester.outcome import united
from backtester.outcome.held import Held
from backtester.outcome.settle import settled
from backtester.schema import KEPT_TABLES, RUN_TABLES

GRAINS = {
    "trials": "one trial",
    "trial_equity": "one trial and session",
    "folds": "one window of a walk",
    "walk": "one session of a walk",
    "choices": "one choice of test folds",
    "paths": "one path and session",
    united.METRICS: "one run or walk; figures without a meaning are null",
    united.MANIFEST: "one key of a manifest",
    united.EVIDENCE_TABLE: "one key of a sweep's evidence",
}


@dataclass(frozen=True)
class ColumnWords:
    """A column in words; unit and meaning are "" where nothing is known of them."""

    name: str
    type: str
    unit: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class TableWords:
    """A table in words: name, what a row is, how many rows all results have together, columns (the first is `run`)."""

    name: str
    grain: str
    rows: int
    columns: tuple[ColumnWords, ...]


def described(results: Mapping[str, Held]) -> list[TableWords]:
    """Every table that the results have."""
    return [_table(name, results) for name in united.names(results)]


def _table(name: str, results: Mapping[str, Held]) -> TableWords:
    found = united.table(name, results)
    if isinstance(found, pl.DataFrame):
        rows, schema = found.height, found.schema
    else:
        rows, schema = found.count_rows(), settled(pl.DataFrame(found.schema.empty_table())).schema
    known = (RUN_TABLES | KEPT_TABLES).get(name)
    said = {} if known is None else {column.name: (column.unit, column.meaning) for column in known.columns}
    said[united.RUN] = ("", "name of the result's folder")
    grain = GRAINS.get(name, "" if known is None else known.grain)
    return TableWords(name, grain, rows, tuple(ColumnWords(column, word(dtype), *said.get(column, ())) for column, dtype in schema.items()))


def word(dtype: pl.DataType) -> str:
    """A kind of values as queries' headers call it.

    >>> word(pl.Float64()), word(pl.Datetime("us", "UTC")), word(pl.String())
    ('float64', 'timestamp', 'text')
    """
    if isinstance(dtype, pl.Datetime):
        return "timestamp"
    plain = {pl.Float64: "float64", pl.Int64: "int64", pl.String: "text", pl.Boolean: "bool", pl.Date: "date"}
    return plain.get(type(dtype), str(dtype).casefold())
