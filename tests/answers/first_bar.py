"""Strategies of the parity configs that act on the first bar of their run."""

from __future__ import annotations

from backtester import Bars, Signals, Strategy


class Buy(Strategy):
    """Buy on the first bar."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=(bars.slot == 0) & (bars.session == bars.session.min()))


class Short(Strategy):
    """Sell short on the first bar."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_short=(bars.slot == 0) & (bars.session == bars.session.min()))


class ShortThrough(Strategy):
    """Sell short on the first bar, with a stop 2 below, which the market is through already."""

    def signals(self, bars: Bars) -> Signals:
        first = (bars.slot == 0) & (bars.session == bars.session.min())
        return Signals(enter_short=first, stop_price=bars.close - 2.0)


class BuyTrailing(Strategy):
    """Buy from the first bar on once the price comes back up by 2.00."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=(bars.slot == 0) & (bars.session == bars.session.min()), entry_trail_amount=2.0)
