"""Strategies of the baselines: small, and each there for one thing that the built-in ones do not do."""

from __future__ import annotations

import numpy as np

from backtester import Bars, Signals, Strategy, indicators
from backtester.settings import IntervalText


class Swing(Strategy):
    """Long while the fast average is above the slow one, short while it is below."""

    interval: IntervalText = "5m"
    fast: int = 6
    slow: int = 24

    @property
    def lookback(self) -> int:
        return self.slow + 1

    def signals(self, bars: Bars) -> Signals:
        fast, slow = (bars.indicator("sma", period=period) for period in (self.fast, self.slow))
        up, down = indicators.crosses_above(fast, slow), indicators.crosses_below(fast, slow)
        return Signals(enter_long=up, exit_short=up, enter_short=down, exit_long=down)


class LastBar(Strategy):
    """Wants in on a session's last bar and out on its third: what is asked for at the close has no bar left that day."""

    interval: IntervalText = "1m"

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=bars.minutes_to_close <= 0, exit_long=bars.slot == 2, tags="overnight")


class Resting(Strategy):
    """Bids a little below every tenth close, with a stop and a target; sells half on the way and the rest at the session's close."""

    interval: IntervalText = "1m"
    below: float = 0.001

    def signals(self, bars: Bars) -> Signals:
        late = bars.minutes_to_close <= 5
        ask = (bars.slot % 10 == 9) & ~late
        return Signals(
            enter_long=ask, exit_long=late | (bars.slot % 45 == 44), on_close=late,
            exit_fraction=np.where(late, 1.0, 0.5), limit=np.where(ask, bars.close * (1.0 - self.below), np.nan),
            stop_loss=0.004, take_profit=0.006,
        )  # fmt: skip


class Weights(Strategy):
    """Wants to hold a tenth of the equity in a symbol, more after a fall and less after a rise, looked at twice an hour."""

    interval: IntervalText = "5m"
    lookback = 13

    def signals(self, bars: Bars) -> Signals:
        move = bars.indicator("roc", period=12)
        return Signals(target=np.where(bars.slot % 6 == 5, np.clip(0.1 - move / 10.0, -0.3, 0.3), np.nan))
