"""Formulas over returns: equal to empyrical where it defines the same, to hand arithmetic elsewhere, null where without meaning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays

from backtester.outcome import ratios
from tests.outcome.returns import EXACT, PER_YEAR, drawn


@pytest.mark.parametrize("seed", range(5))
def test_ratios_equal_those_of_empyrical(empyrical: Any, seed: int) -> None:
    """D-08."""
    values = drawn(seed)
    equity = 1000.0 * np.cumprod(1.0 + values)
    total, depth = equity[-1] / 1000.0 - 1.0, ratios.drawdown(equity, 1000.0)[0]
    annual = ratios.annual_return(total, len(values), PER_YEAR)
    year = {"annualization": PER_YEAR}
    assert ratios.returns(equity, 1000.0) == pytest.approx(values, rel=1e-9)
    assert annual == pytest.approx(empyrical.annual_return(values, **year), rel=1e-11)
    assert ratios.volatility(values, PER_YEAR) == pytest.approx(empyrical.annual_volatility(values, **year), **EXACT)
    assert ratios.sharpe(values, PER_YEAR) == pytest.approx(empyrical.sharpe_ratio(values, **year), **EXACT)
    assert ratios.sortino(values, PER_YEAR) == pytest.approx(empyrical.sortino_ratio(values, **year), **EXACT)
    assert depth == pytest.approx(-empyrical.max_drawdown(values), **EXACT)
    assert ratios.omega(values) == pytest.approx(empyrical.omega_ratio(values), **EXACT)
    assert ratios.calmar(annual, depth) == pytest.approx(empyrical.calmar_ratio(values, **year), rel=1e-11)


def test_returns_begin_with_the_cash_at_the_start() -> None:
    assert ratios.returns(np.array([110.0, 99.0]), 100.0).tolist() == pytest.approx([0.1, -0.1])


def test_returns_have_no_meaning_once_nothing_is_left() -> None:
    assert ratios.returns(np.array([0.0, 10.0]), 100.0) is None
    assert ratios.returns(np.array([-5.0, 10.0]), 100.0) is None
    assert ratios.returns(np.array([]), 100.0) is None


def test_a_loss_of_everything_on_the_last_day_is_a_return() -> None:
    assert ratios.returns(np.array([50.0, 0.0]), 100.0).tolist() == [-0.5, -1.0]


def test_growth_a_year_is_compounded_by_sessions() -> None:
    assert ratios.annual_return(0.21, 500, 250.0) == pytest.approx(0.1, **EXACT)


@pytest.mark.parametrize(("total", "sessions"), [(0.1, 1), (-1.0, 10), (-1.5, 10), (1e300, 2)])
def test_growth_a_year_without_meaning_is_null(total: float, sessions: int) -> None:
    """I-38: never a complex number nor an infinity."""
    assert ratios.annual_return(total, sessions, 252.0) is None


def test_drawdown_by_hand() -> None:
    # Peak 120 -> 90 is 25 %; under water: 3 sessions (110 90 115), then 1 at the end.
    assert ratios.drawdown(np.array([120.0, 110.0, 90.0, 115.0, 130.0, 129.0]), 100.0) == (0.25, 3)


def test_the_cash_at_the_start_is_the_first_peak() -> None:
    assert ratios.drawdown(np.array([80.0, 90.0]), 100.0) == (pytest.approx(0.2), 2)


def test_a_drawdown_at_a_level_peak_is_none() -> None:
    assert ratios.drawdown(np.array([100.0, 100.0]), 100.0) == (0.0, 0)


@given(some.lists(some.floats(1e-3, 1e9), min_size=1, max_size=30), some.floats(1e-3, 1e9))
def test_drawdown_is_a_fraction_and_zero_only_where_equity_never_falls(equity: list[float], start: float) -> None:
    """I-38."""
    depth, length = ratios.drawdown(np.array(equity), start)
    rising = all(after >= before for before, after in zip([start, *equity], equity, strict=False))
    assert 0.0 <= depth <= 1.0
    assert (depth == 0.0) == (length == 0) == rising


def test_recovery_is_counted_from_the_deepest_trough_to_the_old_peak() -> None:
    # Peak 120; troughs 90 (25 %) and, after the new peak 130, 117 (10 %).
    equity = np.array([120.0, 110.0, 90.0, 100.0, 120.0, 130.0, 117.0, 131.0])
    assert ratios.recovery(equity, 100.0) == 2
    assert ratios.recovery(equity[:4], 100.0) is None
    assert ratios.recovery(np.array([100.0, 101.0]), 100.0) is None
    assert ratios.recovery(np.array([]), 100.0) is None


def test_a_drawdown_from_the_cash_at_the_start_recovers_too() -> None:
    assert ratios.recovery(np.array([90.0, 95.0, 100.0]), 100.0) == 2


def test_of_equally_deep_drawdowns_the_first_counts() -> None:
    assert ratios.recovery(np.array([80.0, 100.0, 80.0, 90.0, 100.0]), 100.0) == 1


def test_the_ulcer_index_by_hand() -> None:
    # Drawdowns 0, 10 %, 20 %, 0: the root of 0.05 / 4.
    assert ratios.ulcer_index(np.array([100.0, 90.0, 80.0, 100.0]), 100.0) == pytest.approx(math.sqrt(0.0125), **EXACT)
    assert ratios.ulcer_index(np.array([100.0, 101.0]), 100.0) == 0.0
    assert ratios.ulcer_index(np.array([]), 100.0) is None


def test_without_a_losing_session_there_is_no_omega() -> None:
    assert ratios.omega(np.abs(drawn(2))) is None
    assert ratios.omega(np.zeros(30)) is None
    assert ratios.omega(-np.abs(drawn(2))) == 0.0
    assert ratios.omega(drawn(1, 19)) is None


@given(some.floats(1e-6, 1e6), some.integers(0, 50))
def test_ratios_do_not_depend_on_the_scale_of_returns(scale: float, seed: int) -> None:
    """I-39."""
    values = drawn(seed, 40)
    assert ratios.sharpe(values * scale, PER_YEAR) == pytest.approx(ratios.sharpe(values, PER_YEAR), rel=1e-9)
    assert ratios.sortino(values * scale, PER_YEAR) == pytest.approx(ratios.sortino(values, PER_YEAR), rel=1e-9)


@pytest.mark.parametrize("ratio", [ratios.sharpe, ratios.sortino])
@pytest.mark.parametrize(
    "values",
    [
        np.full(250, 0.001),
        np.full(250, 0.1) + np.random.default_rng(1).normal(0, 1e-17, 250),
        np.zeros(250),
        drawn(1, 19),
        np.array([]),
    ],
    ids=["constant", "rounding", "nothing", "too few", "none"],
)
def test_a_ratio_without_meaning_is_null(ratio: Any, values: np.ndarray) -> None:
    """I-39."""
    assert ratio(values, PER_YEAR) is None


def test_a_ratio_has_a_meaning_from_twenty_sessions_on() -> None:
    """I-39."""
    assert ratios.sharpe(drawn(1, 20), PER_YEAR) is not None


def test_without_a_losing_session_there_is_no_sortino_and_without_a_drawdown_no_calmar() -> None:
    assert ratios.sortino(np.abs(drawn(2)), PER_YEAR) is None
    assert ratios.calmar(0.1, 0.0) is None
    assert ratios.calmar(None, 0.1) is None


def test_volatility_needs_two_sessions() -> None:
    assert ratios.volatility(np.array([0.1]), PER_YEAR) is None
    assert ratios.volatility(np.array([0.1, 0.3]), 4.0) == pytest.approx(math.sqrt(0.02) * 2, **EXACT)


@given(
    arrays.arrays(
        np.float64,
        some.tuples(some.integers(2, 30), some.integers(0, 4)),
        elements=some.sampled_from([0.0, 0.01, -0.01, 0.01 + 1e-14, 0.01 + 2e-13, 1e-9, 1e-160, -1e-170, 3.0]),
        fill=some.sampled_from([0.0, 0.01]),
    )
)
def test_columns_that_move_are_those_that_are_not_still(columns: np.ndarray) -> None:
    assert ratios.moving(columns).tolist() == [not ratios.still(column) for column in columns.T]
