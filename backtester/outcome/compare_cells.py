"""When two values count as equal: exactly, or within a tolerance of their column.

Place in the flow: compare.py asks here for every cell of two tables and every figure of two sets of metrics.

    money, prices, quantities, times, words, counts     equal to the last bit
    ratios (fractions, percent, figures without a unit)   |a - b| <= max(1e-12, 1e-9 * the larger of |a| and |b|)
    everywhere                                           NaN is NaN, -0.0 is 0.0, an absent value equals only an absent one
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from backtester.errors import UsageError, did_you_mean
from backtester.schema import KEPT_TABLES, MONEY, PRICE, RUN_TABLES, SHARES
from backtester.table import Column, Table

MONEY_FIGURES = frozenset((
    "final_equity", "net_profit", "gross_profit", "gross_loss", "best_trade", "worst_trade", "fees", "slippage", "borrow", "dividends",
    "profit_before_costs", "ambiguity_low", "ambiguity_high",
))  # fmt: skip
"""The figures of metrics.json that are sums of whole 1e-6 units of money."""


@dataclass(frozen=True)
class Tolerance:
    """How far two numbers may be apart: absolutely, or relative to the larger."""

    relative: float = 0.0
    absolute: float = 0.0

    def equal(self, a: float, b: float) -> bool:
        """True where a and b are close enough; infinities only equal themselves."""
        if a == b or (math.isnan(a) and math.isnan(b)):
            return True
        return math.isfinite(a) and math.isfinite(b) and abs(a - b) <= max(self.absolute, self.relative * max(abs(a), abs(b)))

    def cells(self, a: str, b: str) -> pl.Expr:
        """The same for two columns, of numbers unless the tolerance is exact: True where they are close enough."""
        left, right = pl.col(a), pl.col(b)
        if self == EXACT:
            return left.eq_missing(right)
        close = (left - right).abs() <= pl.max_horizontal(pl.lit(self.absolute), self.relative * pl.max_horizontal(left.abs(), right.abs()))
        return left.eq_missing(right) | (left.is_finite() & right.is_finite() & close).fill_null(False)


EXACT, RATIO = Tolerance(), Tolerance(1e-9, 1e-12)
Given = Mapping[str, Tolerance]
"""Tolerances that a user names: `table`, `table.column`, `metrics` or `metrics.figure` -> tolerance."""


def is_ratio(column: Column) -> bool:
    """True for numbers that a last bit may differ in: those that are no money, no price and no quantity."""
    return column.dtype == pl.Float64 and column.unit not in (MONEY, PRICE, SHARES)


def exact_part(table: Table) -> Table:
    """The table without its ratios and timings: what must be the same on every machine."""
    columns = tuple(column for column in table.columns if not (is_ratio(column) or column.timing))
    return Table(table.name, table.grain, table.key, columns)


def of_column(table: Table, column: Column, given: Given) -> Tolerance:
    """The tolerance of a column: the one given, else that of its kind. A table's own holds for all its numbers."""
    named = given.get(f"{table.name}.{column.name}") or (given.get(table.name) if column.dtype == pl.Float64 else None)
    return named or (RATIO if is_ratio(column) else EXACT)


def of_figure(name: str, given: Given) -> Tolerance:
    """The tolerance of one figure of the metrics; of `by_symbol/AAA/fees` the last word counts."""
    last = name.rpartition("/")[2]
    return given.get(f"metrics.{last}") or given.get("metrics") or (EXACT if last in MONEY_FIGURES else RATIO)


def equal(a: Any, b: Any, tolerance: Tolerance) -> bool:
    """The same for two JSON values: numbers by the tolerance, the rest exactly, null only with null."""
    if isinstance(a, float) or isinstance(b, float):
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (a, b))
        return tolerance.equal(float(a), float(b)) if numbers else a is b
    return bool(type(a) is type(b) and a == b)


def tolerances(texts: Iterable[str]) -> dict[str, Tolerance]:
    """The tolerances of `TABLE.COLUMN=RELATIVE[,ABSOLUTE]` texts; `TABLE=...` is for all numbers of a table. UsageError on others.

    >>> tolerances(["trades.pnl=1e-9", "metrics=1e-6,0.01"])["metrics"]
    Tolerance(relative=1e-06, absolute=0.01)
    """
    found = {}
    for text in texts:
        name, equals, numbers = text.partition("=")
        try:
            parts = [float(part) for part in numbers.split(",")]
        except ValueError:
            parts = []
        if not equals or len(parts) not in (1, 2) or not all(math.isfinite(part) and part >= 0 for part in parts):
            raise UsageError("not a tolerance", where="--tolerance", value=repr(text), allowed="TABLE.COLUMN=RELATIVE[,ABSOLUTE], such as "
                             "trades.pnl=1e-9")  # fmt: skip
        _check_name(name)
        found[name] = Tolerance(*parts)
    return found


def _check_name(name: str) -> None:
    known = RUN_TABLES | KEPT_TABLES
    place, dot, column = name.partition(".")
    if place == "metrics":
        return
    if place not in known:
        raise UsageError("no such table", where="--tolerance", value=place, action=did_you_mean(place, [*known, "metrics"]))
    numbers = [one.name for one in known[place].columns if one.dtype == pl.Float64]
    if dot and column not in numbers:
        raise UsageError(f"no such column of numbers in {place}", where="--tolerance", value=column, action=did_you_mean(column, numbers))
