"""The session's first minutes draw a range; a close above it is bought."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from backtester.settings import IntervalText
from backtester.signals import indicators
from backtester.signals.bars import Bars
from backtester.signals.strategy import Signals, Strategy


class OpeningRangeBreakout(Strategy):
    """Buys when a close crosses above the high of the session's first `minutes`, sells when one falls below their low.

    The low of the range is the stop of every entry.
    """

    interval: IntervalText = "1m"
    minutes: float = Field(30.0, gt=0.0, description="length of the opening range")

    def signals(self, bars: Bars) -> Signals:
        """Nothing is signalled before the range is complete, so the range never holds a bar after the one that sees it."""
        inside = bars.valid & bars.in_session & (bars.minutes_from_open <= self.minutes)
        after = bars.valid & ~inside & inside.any(axis=-1, keepdims=True)
        top = np.max(bars.high, axis=-1, keepdims=True, initial=-np.inf, where=inside)
        bottom = np.min(bars.low, axis=-1, keepdims=True, initial=np.inf, where=inside)
        level = np.where(after | inside, top, np.nan)
        broke = indicators.crosses_above(bars.close, level) & after
        return Signals(
            enter_long=broke,
            exit_long=after & (bars.close < bottom),
            stop_price=np.where(broke, bottom, np.nan),
        )
