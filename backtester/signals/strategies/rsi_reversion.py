"""Buying weakness, selling strength, by the relative strength index."""

from __future__ import annotations

from pydantic import Field

from backtester.settings import IntervalText
from backtester.signals.bars import Bars
from backtester.signals.strategy import Signals, Strategy


class RsiReversion(Strategy):
    """Buys while the RSI is below `low`, sells while it is above `high`."""

    interval: IntervalText = "5m"
    period: int = Field(14, ge=2, description="bars of Wilder's smoothing")
    low: float = Field(30.0, ge=0.0, le=100.0)
    high: float = Field(70.0, ge=0.0, le=100.0)

    @property
    def lookback(self) -> int:
        """Ten periods: what the start of the smoothing weighs by then is below 0.0001."""
        return 10 * self.period

    def signals(self, bars: Bars) -> Signals:
        """A wish on every bar beyond a threshold; what is already held or not held is left to the decisions."""
        rsi = bars.indicator("rsi", period=self.period)
        return Signals(enter_long=rsi < self.low, exit_long=rsi > self.high)
