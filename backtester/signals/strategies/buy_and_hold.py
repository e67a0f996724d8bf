"""Buying once."""

from __future__ import annotations

from backtester.settings import IntervalText
from backtester.signals.bars import Bars
from backtester.signals.strategy import Signals, Strategy


class BuyAndHold(Strategy):
    """Wants to be long from the first bar of every session; what is held already is left to the decisions."""

    interval: IntervalText = "1m"

    def signals(self, bars: Bars) -> Signals:
        """One wish a session: on its first bar."""
        first = bars.valid.copy()
        first[..., : bars.lookback] = False
        first[..., bars.lookback + 1 :] = False
        return Signals(enter_long=first)
