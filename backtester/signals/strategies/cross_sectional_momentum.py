"""Holding the strongest of several symbols."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from backtester.columns import Floats
from backtester.settings import IntervalText
from backtester.signals.bars import Bars
from backtester.signals.strategy import Signals, Strategy


class CrossSectionalMomentum(Strategy):
    """Every `rebalance` bars, holds the `top` symbols with the highest return over `period` bars (at least above zero)."""

    layout: ClassVar[Literal["bars", "clock"]] = "clock"
    interval: IntervalText = "5m"
    period: int = Field(12, ge=1, description="bars of the return that ranks")
    rebalance: int = Field(6, ge=1, description="bars from one ranking to the next, counted from the session's open")
    top: int = Field(1, ge=1, description="symbols held")

    @property
    def lookback(self) -> int:
        """The return of the session's first bar reaches back this far."""
        return self.period

    def signals(self, bars: Bars) -> Signals:
        """Ranks symbols slot by slot; a gap counts with the last price before it, but only a real bar carries a signal."""
        known = _last_known(bars.close)
        past = np.full_like(known, np.nan)
        past[..., self.period :] = known[..., : -self.period]
        score = np.nan_to_num(known / past - 1.0, nan=-np.inf, posinf=-np.inf)
        better = np.argsort(np.argsort(-score, axis=-2, kind="stable"), axis=-2, kind="stable")
        wanted = (better < self.top) & (score > 0.0)
        position = np.arange(bars.shape[-1]) - bars.lookback
        due = bars.valid & (position >= 0) & ((position + 1) % self.rebalance == 0)
        return Signals(enter_long=due & wanted, exit_long=due & ~wanted)


def _last_known(close: Floats) -> Floats:
    """The latest close at or before each slot."""
    seen = np.where(np.isnan(close), 0, np.arange(close.shape[-1]))
    latest: Floats = np.take_along_axis(close, np.maximum.accumulate(seen, axis=-1), axis=-1)
    return latest
