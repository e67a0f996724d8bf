"""Sums of money that are exact and cannot overflow."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as some

from backtester.outcome.money import exact_sum, micro, money


@given(some.lists(some.integers(-(3 * 10**18), 3 * 10**18), max_size=50))
def test_sums_are_those_of_whole_numbers(values: list[int]) -> None:
    assert exact_sum(np.array(values, np.int64)) == sum(values)


@given(some.integers(-(10**15), 10**15))
def test_money_there_and_back_is_the_same(units: int) -> None:
    assert micro(pl.Series([money(units)])).tolist() == [units]
