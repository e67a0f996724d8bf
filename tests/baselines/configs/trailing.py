"""A strategy whose entries trail the price."""

from __future__ import annotations

from backtester import Bars, Signals, Strategy
from backtester.settings import IntervalText


class Trailing(Strategy):
    """Asks twice an hour to buy once the price has turned up from its low by a part, and to sell an hour before the close."""

    interval: IntervalText = "5m"
    turn: float = 0.002

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=bars.slot % 6 == 2, exit_long=bars.minutes_to_close == 60, entry_trail=self.turn)
