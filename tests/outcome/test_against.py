"""A run beside its benchmark: equal to empyrical where it defines the same, null where without meaning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from backtester.outcome.against import NAMES, against, alpha_beta, capture, correlation
from tests.outcome.returns import EXACT, PER_YEAR, drawn


@pytest.mark.parametrize("seed", range(3))
def test_alpha_and_beta_equal_those_of_empyrical(empyrical: Any, seed: int) -> None:
    """D-08."""
    market = drawn(seed + 100)
    values = 0.4 * market + drawn(seed)
    alpha, beta = alpha_beta(values, market, PER_YEAR)
    wanted = empyrical.alpha_beta(values, market, annualization=PER_YEAR)
    assert (alpha, beta) == (pytest.approx(wanted[0], rel=1e-11), pytest.approx(wanted[1], **EXACT))


@pytest.mark.parametrize("seed", range(3))
def test_active_figures_equal_those_of_empyrical_and_numpy(empyrical: Any, seed: int) -> None:
    """D-08: empyrical's excess Sharpe ratio is not annualized."""
    market = drawn(seed + 100)
    values = 0.4 * market + drawn(seed)
    found = against(values, market, PER_YEAR)
    assert found["information_ratio"] == pytest.approx(empyrical.excess_sharpe(values, market) * math.sqrt(PER_YEAR), rel=1e-11)
    assert found["tracking_error"] == pytest.approx(empyrical.annual_volatility(values - market, annualization=PER_YEAR), **EXACT)
    assert found["correlation"] == pytest.approx(np.corrcoef(values, market)[0, 1], rel=1e-11)


@pytest.mark.parametrize("seed", range(3))
def test_captures_equal_those_of_empyrical(empyrical: Any, seed: int) -> None:
    """D-08: empyrical's year has 252 days here."""
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2024-01-01", periods=250)
    market = drawn(seed + 100)
    values = 0.4 * market + drawn(seed) / 5
    found = against(values, market, 252.0)
    own, its = pandas.Series(values, days), pandas.Series(market, days)
    assert found["up_capture"] == pytest.approx(empyrical.up_capture(own, its), rel=1e-10)
    assert found["down_capture"] == pytest.approx(empyrical.down_capture(own, its), rel=1e-10)


def test_captures_by_hand() -> None:
    # Up sessions: the market twice 10 %, the run twice 5 %; a year of two sessions makes 21 % and 10.25 %.
    market, values = np.array([0.1, -0.2, 0.1, 0.0]), np.array([0.05, -0.1, 0.05, 0.5])
    assert capture(values, market, market > 0, 2.0) == pytest.approx(0.1025 / 0.21)
    assert capture(values, market, market < 0, 2.0) is None  # one session has no annual return


@pytest.mark.parametrize(("values", "market"), [(drawn(1), np.zeros(250)), (drawn(1, 19), drawn(2, 19)), (drawn(1), drawn(2, 249))])
def test_alpha_and_beta_without_meaning_are_null(values: np.ndarray, market: np.ndarray) -> None:
    assert alpha_beta(values, market, PER_YEAR) == (None, None)
    assert correlation(values, market) is None


def test_twice_the_market_has_beta_two_and_no_alpha() -> None:
    alpha, beta = alpha_beta(2.0 * drawn(3), drawn(3), PER_YEAR)
    assert (alpha, beta) == (pytest.approx(0.0, abs=1e-12), pytest.approx(2.0, **EXACT))
    assert correlation(2.0 * drawn(3), drawn(3)) == pytest.approx(1.0)
    assert correlation(-2.0 * drawn(3), drawn(3)) == pytest.approx(-1.0)


def test_the_market_itself_has_no_information_ratio() -> None:
    found = against(drawn(4), drawn(4), PER_YEAR)
    assert (found["tracking_error"], found["information_ratio"]) == (0.0, None)
    assert (found["up_capture"], found["down_capture"]) == (1.0, 1.0)


@pytest.mark.parametrize("values", [None, drawn(1, 19)], ids=["broke", "too few"])
def test_without_returns_every_figure_is_null(values: np.ndarray | None) -> None:
    assert against(values, drawn(2, 19), PER_YEAR) == dict.fromkeys(NAMES)


def test_a_run_that_idles_has_nulls_where_it_does_not_vary() -> None:
    found = against(np.zeros(40), drawn(2, 40), PER_YEAR)
    assert (found["beta"], found["alpha"], found["correlation"], found["up_capture"]) == (0.0, 0.0, None, 0.0)


def test_a_session_in_which_the_market_stood_still_is_in_neither_capture() -> None:
    # The run makes half of the market's 1 % ups and downs, and a lot where the market stands still; a year of ten sessions.
    market = np.tile([0.01, -0.01, 0.0], 10)
    found = against(np.where(market == 0, 0.3, market / 2), market, 10.0)
    assert found["up_capture"] == pytest.approx((1.005**10 - 1) / (1.01**10 - 1))
    assert found["down_capture"] == pytest.approx((0.995**10 - 1) / (0.99**10 - 1))
