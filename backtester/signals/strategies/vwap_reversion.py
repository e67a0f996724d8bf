"""Buying below the session's average price."""

from __future__ import annotations

from pydantic import Field

from backtester.settings import IntervalText
from backtester.signals.bars import Bars
from backtester.signals.strategy import Signals, Strategy


class VwapReversion(Strategy):
    """Buys a close at least `distance` below the session's VWAP, sells one at or above it."""

    interval: IntervalText = "1m"
    distance: float = Field(0.005, gt=0.0, lt=1.0, description="fraction of the VWAP")
    settle_minutes: float = Field(15.0, ge=0.0, description="minutes after the open before the first entry")

    def signals(self, bars: Bars) -> Signals:
        """The VWAP starts anew in every session."""
        vwap = bars.indicator("vwap")
        settled = bars.minutes_from_open > self.settle_minutes
        return Signals(
            enter_long=settled & (bars.close < vwap * (1.0 - self.distance)),
            exit_long=bars.close >= vwap,
        )
