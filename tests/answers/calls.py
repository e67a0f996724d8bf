"""The strategy of a parity config that buys and sells in turn at given bars."""

from __future__ import annotations

import datetime as dt

import numpy as np

from backtester import Bars, Signals, Strategy

CALLS = ("15:00", "15:16", "15:30", "15:31", "15:38", "15:42", "15:47", "15:53", "15:58")
"""Closes (UTC, 2011-01-03) of the bars on which a market order was sent."""


class Calls(Strategy):
    """Buy at the first call, sell at the second, and so on."""

    def signals(self, bars: Bars) -> Signals:
        at = [int(dt.datetime.fromisoformat(f"2011-01-03T{call}:00+00:00").timestamp()) * 1_000_000 for call in CALLS]
        return Signals(enter_long=np.isin(bars.end, at[0::2]), exit_long=np.isin(bars.end, at[1::2]))
