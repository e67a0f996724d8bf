"""The figures beside quantstats where it is installed, and beside its published formulas, written out in pandas, where it is not.

quantstats is no part of the project's tests: it brings two dozen packages, network clients among them.
"""

from __future__ import annotations

import math
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from backtester.outcome import distribution, ratios
from backtester.outcome.against import against

YEAR = 252
CLOSE = {"rel": 1e-9, "abs": 1e-12}
Returns = Any
"""A pandas Series of returns a day."""


def drawdowns(returns: Returns) -> Returns:
    worth = (1.0 + returns).cumprod()
    return worth / worth.cummax().clip(lower=1.0) - 1.0


def cagr(returns: Returns, periods: int) -> float:
    return float((1.0 + returns).prod() ** (periods / len(returns)) - 1.0)


def streak(which: Returns) -> int:
    return int((which.astype(int).groupby((~which).cumsum()).sum()).max())


FORMULAS = SimpleNamespace(
    sharpe=lambda returns, periods: returns.mean() / returns.std() * math.sqrt(periods),
    sortino=lambda returns, periods: returns.mean() / math.sqrt((returns[returns < 0] ** 2).sum() / len(returns)) * math.sqrt(periods),
    volatility=lambda returns, periods: returns.std() * math.sqrt(periods),
    cagr=cagr,
    calmar=lambda returns, periods: cagr(returns, periods) / abs(drawdowns(returns).min()),
    omega=lambda returns: returns[returns > 0].sum() / -returns[returns < 0].sum(),
    max_drawdown=lambda returns: drawdowns(returns).min(),
    ulcer_index=lambda returns: math.sqrt((drawdowns(returns) ** 2).sum() / (len(returns) - 1)),
    skew=lambda returns: returns.skew(),
    kurtosis=lambda returns: returns.kurtosis(),
    tail_ratio=lambda returns: abs(returns.quantile(0.95) / returns.quantile(0.05)),
    best=lambda returns: returns.max(),
    worst=lambda returns: returns.min(),
    consecutive_losses=lambda returns: streak(returns < 0),
    win_rate=lambda returns: (returns > 0).sum() / (returns != 0).sum(),
    information_ratio=lambda returns, market: (returns - market).mean() / (returns - market).std(),
    greeks=lambda returns, market, periods: {"beta": returns.cov(market) / market.var()},
)


@pytest.fixture(params=["formulas", "installed"])
def theirs(request: pytest.FixtureRequest) -> SimpleNamespace | ModuleType:
    return FORMULAS if request.param == "formulas" else pytest.importorskip("quantstats.stats")


def drawn(seed: int) -> Returns:
    pandas = pytest.importorskip("pandas")
    values = np.random.default_rng(seed).standard_t(4, 250) * 0.008 + 0.0006
    return pandas.Series(values, pandas.date_range("2024-01-01", periods=len(values)))


@pytest.mark.parametrize("seed", range(3))
def test_what_quantstats_means_by_the_same_name_is_the_same(theirs: Any, seed: int) -> None:
    """D-08."""
    returns = drawn(seed)
    values = returns.to_numpy()
    equity = 1000.0 * np.cumprod(1.0 + values)
    annual, depth = ratios.annual_return(equity[-1] / 1000.0 - 1.0, len(values), YEAR), ratios.drawdown(equity, 1000.0)[0]
    pairs = {
        "sharpe": (ratios.sharpe(values, YEAR), theirs.sharpe(returns, periods=YEAR)),
        "sortino": (ratios.sortino(values, YEAR), theirs.sortino(returns, periods=YEAR)),
        "volatility": (ratios.volatility(values, YEAR), theirs.volatility(returns, periods=YEAR)),
        "annual_return": (annual, theirs.cagr(returns, periods=YEAR)),
        "calmar": (ratios.calmar(annual, depth), theirs.calmar(returns, periods=YEAR)),
        "omega": (ratios.omega(values), theirs.omega(returns)),
        "max_drawdown": (depth, -theirs.max_drawdown(returns)),
        "skew": (distribution.skew(values), theirs.skew(returns)),
        "kurtosis": (distribution.kurtosis(values), theirs.kurtosis(returns)),
        "tail_ratio": (distribution.tail_ratio(values), theirs.tail_ratio(returns)),
        "best_session": (values.max(), theirs.best(returns)),
        "worst_session": (values.min(), theirs.worst(returns)),
        "max_losing_sessions": (distribution.losing_streak(values), theirs.consecutive_losses(returns)),
        "sessions_up": (distribution.share(values > 0), theirs.win_rate(returns)),  # no session stood still
    }
    for name, (mine, wanted) in pairs.items():
        assert mine == pytest.approx(float(wanted), **CLOSE), name


@pytest.mark.parametrize("seed", range(3))
def test_what_it_means_otherwise_differs_by_what_the_docs_say(theirs: Any, seed: int) -> None:
    """D-08: the ulcer index by n - 1, the information ratio not annualized."""
    returns, market = drawn(seed), drawn(seed + 50)
    values = returns.to_numpy()
    ulcer = ratios.ulcer_index(1000.0 * np.cumprod(1.0 + values), 1000.0)
    assert ulcer is not None
    found = against(values, market.to_numpy(), YEAR)
    assert ulcer * math.sqrt(250 / 249) == pytest.approx(theirs.ulcer_index(returns), **CLOSE)
    assert found["information_ratio"] == pytest.approx(theirs.information_ratio(returns, market) * math.sqrt(YEAR), **CLOSE)
    assert found["beta"] == pytest.approx(theirs.greeks(returns, market, periods=YEAR)["beta"], **CLOSE)
