"""Intervals of headline figures: a slow loop over the same draws, the theory's width, and what has no meaning."""

from __future__ import annotations

import math
import statistics
from itertools import accumulate

import numpy as np
import pytest

from backtester.errors import ConfigError, InternalError
from backtester.outcome import intervals as module
from backtester.outcome.bootstrap import Resampling
from backtester.outcome.intervals import NAMES, Interval, intervals
from tests.outcome.returns import PER_YEAR, drawn


def figures(values: list[float]) -> tuple[float, float, float]:
    """Sharpe ratio a year, annual return and max drawdown by the plainest formulas."""
    worth = list(accumulate((1 + value for value in values), lambda one, other: one * other, initial=1.0))
    sharpe = statistics.fmean(values) / statistics.stdev(values) * math.sqrt(PER_YEAR)
    return sharpe, worth[-1] ** (PER_YEAR / len(values)) - 1, max(1 - now / max(worth[: place + 1]) for place, now in enumerate(worth))


def quantile(values: list[float], share: float) -> float:
    ordered, place = sorted(values), share * (len(values) - 1)
    low = int(place)
    return ordered[low] + (ordered[min(low + 1, len(values) - 1)] - ordered[low]) * (place - low)


@pytest.mark.parametrize(("block", "level"), [(1.0, 0.9), (7.5, 0.95), (30.0, 0.5)])
def test_intervals_are_those_of_a_slow_loop(block: float, level: float) -> None:
    values = drawn(6, 60)
    resampling = Resampling(60, block, draws=150, seed=2)
    rows = [row for part in resampling.parts(40) for row in part.tolist()]
    expected = list(zip(*(figures([values[place] for place in row]) for row in rows), strict=True))
    found = intervals(values, resampling, PER_YEAR, level)
    assert list(found) == list(NAMES)
    for name, each in zip(NAMES, expected, strict=True):
        interval = found[name]
        assert interval is not None
        assert interval.low == pytest.approx(quantile(list(each), (1 - level) / 2), rel=1e-9)
        assert interval.high == pytest.approx(quantile(list(each), (1 + level) / 2), rel=1e-9)


def test_the_interval_of_a_sharpe_ratio_is_as_wide_as_the_theory_says() -> None:
    """Lo (2002): sqrt((1 + ratio**2 / 2) / n) for independent normal returns."""
    values = drawn(8, 2000)
    ratio = statistics.fmean(values) / statistics.stdev(values)
    error = math.sqrt((1 + ratio**2 / 2) / 2000 * PER_YEAR)
    found = intervals(values, Resampling(2000, 1.0, draws=2000), PER_YEAR)["sharpe"]
    assert found is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.06)
    assert (found.high + found.low) / 2 == pytest.approx(ratio * math.sqrt(PER_YEAR), abs=0.1 * error)


def test_returns_that_hang_together_have_wider_intervals_in_blocks() -> None:
    noise = drawn(1, 500)
    values = np.convolve(noise, np.ones(10), mode="same")
    single, blocks = (intervals(values, Resampling(500, block), PER_YEAR)["sharpe"] for block in (1.0, 20.0))
    assert single is not None
    assert blocks is not None
    assert blocks.high - blocks.low > 1.8 * (single.high - single.low)


def test_a_session_that_loses_everything_has_no_interval() -> None:
    values = drawn(1, 40)
    values[20] = -1.5
    assert intervals(values, Resampling(40, 1.0, draws=200), PER_YEAR) == dict.fromkeys(NAMES)


def test_where_some_draw_has_no_trade_there_is_no_interval_of_the_ratio_alone() -> None:
    values = np.zeros(60)
    values[30] = 0.01
    found = intervals(values, Resampling(60, 1.0, draws=100), PER_YEAR)
    assert found["sharpe"] is None
    assert found["max_drawdown"] == Interval(0.0, 0.0)
    assert found["annual_return"] is not None
    assert found["annual_return"].low == 0.0


def test_growth_beyond_what_a_number_holds_has_no_interval() -> None:
    values = np.full(20, 1e30) * np.linspace(1, 2, 20)
    found = intervals(values, Resampling(20, 1.0, draws=5), PER_YEAR)
    assert found["annual_return"] is None
    assert found["sharpe"] is not None


def test_too_few_sessions_are_null() -> None:
    assert intervals(drawn(1, 19), Resampling(19, 2.0), PER_YEAR) == dict.fromkeys(NAMES)


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"level.*got 1.0"):
        intervals(drawn(1, 60), Resampling(60, 2.0), PER_YEAR, 1.0)
    with pytest.raises(InternalError, match="different sessions"):
        intervals(drawn(1, 60), Resampling(61, 2.0), PER_YEAR)


def test_how_much_is_held_at_a_time_does_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    resampling = Resampling(60, 3.0, draws=100)
    whole = intervals(drawn(1, 60), resampling, PER_YEAR)
    monkeypatch.setattr(module, "CELLS", 120)
    assert intervals(drawn(1, 60), resampling, PER_YEAR) == whole
