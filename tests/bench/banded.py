"""A strategy with three indicators and a stop: what a sweep costs where positions are looked at bar by bar."""

from __future__ import annotations

from pydantic import Field

from backtester import Bars, Signals, Strategy


class Banded(Strategy):
    """Buys below the lower band while the RSI is low, sells above the upper one or while it is high; the stop is some ATR away."""

    interval: str = "1m"
    rsi: int = Field(14, ge=2)
    band: int = Field(20, ge=2)
    atr: int = Field(14, ge=2)
    low: float = 35.0
    high: float = 65.0
    distance: float = Field(2.0, gt=0.0)
    history: int = 150

    @property
    def lookback(self) -> int:
        """One length for all trials: smoothing remembers where a row begins."""
        return self.history

    def signals(self, bars: Bars) -> Signals:
        """Wishes on every bar beyond a band."""
        rsi, range_ = bars.indicator("rsi", period=self.rsi), bars.indicator("atr", period=self.atr)
        lower, upper = (bars.indicator(f"bbands.{name}", period=self.band) for name in ("lower", "upper"))
        close = bars.close
        return Signals(
            enter_long=(close < lower) & (rsi < self.low),
            exit_long=(close > upper) | (rsi > self.high),
            stop_price=close - self.distance * range_,
        )
