"""Two moving averages that cross."""

from __future__ import annotations

from pydantic import Field

from backtester.settings import IntervalText
from backtester.signals import indicators
from backtester.signals.bars import Bars
from backtester.signals.strategy import Signals, Strategy


class SmaCrossover(Strategy):
    """Buys when the fast average of closes crosses above the slow one, sells when it crosses below."""

    interval: IntervalText = "1m"
    fast: int = Field(5, ge=1, description="bars of the fast average")
    slow: int = Field(20, ge=2, description="bars of the slow average")

    @property
    def lookback(self) -> int:
        """Both averages stand on the bar before the session's first, so that a cross there is seen."""
        return max(self.fast, self.slow)

    def signals(self, bars: Bars) -> Signals:
        """A cross is an event of one bar."""
        fast = bars.indicator("sma", period=self.fast)
        slow = bars.indicator("sma", period=self.slow)
        return Signals(enter_long=indicators.crosses_above(fast, slow), exit_long=indicators.crosses_below(fast, slow))
