"""The strategy of a parity config that is always in the market, long or short."""

from __future__ import annotations

import datetime as dt

import numpy as np

from backtester import Bars, Signals, Strategy, indicators


class Reversal(Strategy):
    """Reverse where two averages of daily closes cross, and leave on the close of the `last` session."""

    interval: str = "1d"
    fast: int = 10
    slow: int = 30
    last: dt.date

    @property
    def lookback(self) -> int:
        return self.slow

    def signals(self, bars: Bars) -> Signals:
        fast, slow = bars.indicator("sma", period=self.fast), bars.indicator("sma", period=self.slow)
        up, down = indicators.crosses_above(fast, slow), indicators.crosses_below(fast, slow)
        end = bars.session == np.datetime64(self.last)
        return Signals(enter_long=up, exit_short=up | end, enter_short=down, exit_long=down | end)
