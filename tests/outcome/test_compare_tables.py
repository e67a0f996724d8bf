"""Rows of two tables paired and compared: literal rows."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.outcome.compare_cells import EXACT, RATIO, Tolerance, equal, exact_part, of_figure
from backtester.outcome.compare_tables import compare_tables
from backtester.outcome.compare_text import difference
from backtester.schema import EQUITY, FILLS, ORDERS, TRADES, frame

OPEN = dt.datetime(2025, 7, 2, 13, 30, tzinfo=dt.UTC)


def fills(*rows: tuple[int, str, float]) -> pl.DataFrame:
    """Fills of (minute, symbol, price), numbered from 1."""
    given = [
        {"order_id": number, "strategy": "s", "symbol": symbol, "session": OPEN.date(), "ts": OPEN + dt.timedelta(minutes=minute),
         "side": "buy", "quantity": 1.0, "price": price, "value": price, "fee": 0.0, "slippage": 0.0, "type": "market", "ambiguous": False,
         "flags": "", "other": None, "other_type": None}
        for number, (minute, symbol, price) in enumerate(rows, start=1)
    ]  # fmt: skip
    return pl.DataFrame(given, schema=FILLS.dtypes)


def test_one_row_more_in_the_middle_is_one_row_more() -> None:
    a = fills((0, "A", 1.0), (1, "A", 2.0), (2, "A", 3.0), (3, "A", 4.0))
    b = fills((0, "A", 1.0), (1, "A", 2.0), (1, "B", 9.0), (2, "A", 3.0), (3, "A", 4.0))
    found = compare_tables(FILLS, a, b, {})
    assert (found.changed, found.only_a, found.only_b) == (0, 0, 1)
    assert found.first is not None
    assert (found.first.row_a, found.first.row_b) == (None, 2)
    assert [row["price"] for row in found.first.before_a] == [1.0, 2.0]
    assert [row["price"] for row in found.first.before_b] == [1.0, 2.0]
    turned = compare_tables(FILLS, b, a, {})
    assert (turned.only_a, turned.only_b) == (1, 0)
    assert turned.first is not None
    assert (turned.first.row_a, turned.first.row_b) == (2, None)


def test_a_row_more_before_all_others_and_after_them() -> None:
    a, both = fills((1, "A", 2.0)), fills((0, "A", 1.0), (1, "A", 2.0), (2, "A", 3.0))
    found = compare_tables(FILLS, a, both, {})
    assert found.only_b == 2
    assert found.first is not None
    assert (found.first.row_a, found.first.row_b, found.first.before_a) == (None, 0, [])
    last = compare_tables(FILLS, both.head(2), both, {})
    assert last.first is not None
    assert (last.first.row_b, [row["price"] for row in last.first.before_a]) == (2, [1.0, 2.0])


def test_rows_in_one_place_that_each_side_has_alone_are_shown_together() -> None:
    found = compare_tables(FILLS, fills((0, "A", 1.0), (1, "A", 2.0)), fills((0, "A", 1.0), (1, "C", 2.0)), {})
    assert (found.only_a, found.only_b) == (1, 1)
    assert found.first is not None
    assert (found.first.row_a, found.first.row_b) == (1, 1)


def test_equal_keys_are_paired_in_their_order() -> None:
    a, b = fills((0, "A", 1.0), (0, "A", 2.0)), fills((0, "A", 1.0), (0, "A", 2.5))
    found = compare_tables(FILLS, a, b, {})
    assert found.first is not None
    assert (found.changed, found.first.row_a, found.first.columns) == (1, 1, ("price", "value"))


def test_ids_count_only_where_all_else_is_equal() -> None:
    a = fills((0, "A", 1.0), (1, "A", 2.0))
    b = a.with_columns(pl.col("order_id") + 7)
    found = compare_tables(FILLS, a, b, {})
    assert found.first is not None
    assert (found.changed, found.first.columns) == (2, ("order_id",))
    assert compare_tables(FILLS, a, b, {}, count_ids=False).same
    price = compare_tables(FILLS, a, b.with_columns(price=pl.Series([1.0, 2.1])), {})
    assert price.first is not None
    assert (price.changed, price.first.columns) == (1, ("price",))


def test_the_same_rows_in_another_order_are_a_difference() -> None:
    a = fills((0, "A", 1.0), (0, "B", 2.0))
    found = compare_tables(FILLS, a, a.reverse(), {})
    assert not found.same
    assert (found.changed, found.only_a, found.only_b) == (0, 0, 0)
    assert found.first is not None
    assert (found.first.row_a, found.first.columns) == (0, ())


def test_nan_is_nan_minus_zero_is_zero_and_null_is_neither() -> None:
    a = fills((0, "A", math.nan), (1, "A", -0.0), (2, "A", 1.0))
    b = fills((0, "A", math.nan), (1, "A", 0.0), (2, "A", 1.0))
    assert compare_tables(FILLS, a, b, {}).same
    nulled = compare_tables(FILLS, a.with_columns(other=pl.lit(math.nan)), b, {})
    assert nulled.first is not None
    assert nulled.first.columns == ("other",)


def test_a_tables_own_samples_equal_themselves() -> None:
    for table in (FILLS, ORDERS, TRADES, EQUITY):
        rows = frame(table, pl.DataFrame([dict(zip(table.names, row, strict=True)) for row in table.samples], infer_schema_length=None)
                     .with_columns(pl.col(name).str.to_datetime(time_unit="us", time_zone="UTC") for name, kind in table.dtypes.items()
                                   if kind == pl.Datetime("us", "UTC"))
                     .with_columns(pl.col(name).str.to_date() for name, kind in table.dtypes.items() if kind == pl.Date))  # fmt: skip
        assert compare_tables(table, rows, rows, {}).same


@pytest.mark.parametrize(("a", "b", "tolerance", "same"), [
    (1.0, 1.0 + 5e-10, RATIO, True), (1.0, 1.0 + 5e-9, RATIO, False), (0.0, 5e-13, RATIO, True), (0.0, 5e-12, RATIO, False),
    (math.inf, math.inf, RATIO, True), (math.inf, 1e300, RATIO, False), (math.nan, math.nan, EXACT, True), (None, math.nan, RATIO, False),
    (None, None, EXACT, True), (1.0, 1, EXACT, True), (True, 1.0, RATIO, False), ("a", "a", RATIO, True), (1, 2, RATIO, False),
    (100.0, 100.000001, EXACT, False), (100.0, 100.01, Tolerance(0.0, 0.02), True), (-0.0, 0.0, EXACT, True),
])  # fmt: skip
def test_values_are_equal_within_their_tolerance(a: Any, b: Any, tolerance: Tolerance, same: bool) -> None:
    assert equal(a, b, tolerance) is same
    assert equal(b, a, tolerance) is same
    if isinstance(a, float) and isinstance(b, float):
        assert pl.DataFrame({"a": [a], "b": [b]}).select(tolerance.cells("a", "b")).item() is same


def test_money_among_the_figures_is_exact() -> None:
    assert of_figure("final_equity", {}) == of_figure("by_symbol/AAA/fees", {}) == EXACT
    assert of_figure("sharpe", {}) == RATIO
    assert of_figure("sharpe", {"metrics": Tolerance(1.0)}) == Tolerance(1.0)


def test_the_exact_part_of_a_table_has_no_ratio() -> None:
    assert set(TRADES.names) - set(exact_part(TRADES).names) == {"return", "mae", "mfe"}
    assert set(EQUITY.names) - set(exact_part(EQUITY).names) == {"drawdown"}


ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("AB"), st.sampled_from([1.0, 2.0])), max_size=8).map(
    lambda rows: sorted(rows, key=lambda row: row[0])
)


@given(ROWS, ROWS)
@settings(max_examples=300, deadline=None)
def test_any_two_tables_are_paired_as_one_would_by_hand(a: list[tuple[int, str, float]], b: list[tuple[int, str, float]]) -> None:
    def by_key(rows: list[tuple[int, str, float]]) -> dict[tuple[int, str, int], tuple[int, float]]:
        seen: Counter[tuple[int, str]] = Counter()
        found = {}
        for place, (minute, symbol, price) in enumerate(rows):
            found[minute, symbol, seen[minute, symbol]] = place, price
            seen[minute, symbol] += 1
        return found

    left, right = by_key(a), by_key(b)
    both = left.keys() & right.keys()
    changed = [key for key in both if left[key][1] != right[key][1]]
    found = compare_tables(FILLS, fills(*a), fills(*b), {}, count_ids=False)
    assert (found.only_a, found.only_b, found.changed) == (len(left) - len(both), len(right) - len(both), len(changed))
    off = [left[key][0] for key in left if key not in both or key in changed]
    if found.first is not None and found.first.columns:
        assert found.first.row_a == min(off)
    if found.first is not None and found.first.row_a is not None and not found.first.moved:
        assert found.first.row_a in off
    if found.first is None:
        assert [row[:3] for row in a] == [row[:3] for row in b]
    assert compare_tables(FILLS, fills(*a), fills(*a), {}).same


def test_a_column_of_another_kind_is_a_difference() -> None:
    a, b = fills((0, "A", 1.0)), fills((0, "A", 1.0)).with_columns(pl.col("fee").cast(pl.Int64))
    found = compare_tables(FILLS, a, b, {})
    assert not found.same
    assert (found.foreign_a, found.foreign_b) == (("fee",), ("fee",))
    assert "columns of another kind: fee" in difference(found)
    assert "only in" not in difference(found)
