"""Strategies that know what they cannot know, or hang on what they must not, each in its own way; and sound ones beside them."""

from __future__ import annotations

import itertools

import numpy as np

from backtester import Bars, Signals, Strategy
from backtester.signals import indicators


def before(values: np.ndarray, bars: int) -> np.ndarray:
    """Each bar sees the value so many bars earlier; a negative number looks ahead."""
    out = np.full(values.shape, np.nan)
    if bars >= 0:
        out[..., bars:] = values[..., : values.shape[-1] - bars]
    else:
        out[..., :bars] = values[..., -bars:]
    return out


class CentredWindow(Strategy):
    """An average of the bars around each bar."""

    def signals(self, bars: Bars) -> Signals:
        around = np.mean([before(bars.close, shift) for shift in range(-3, 4)], axis=0)
        return Signals(enter_long=bars.close > around, exit_long=bars.close < around)


class ResampleLabel(Strategy):
    """Quarter-hours made by itself, and each known from its first minute on."""

    def signals(self, bars: Bars) -> Signals:
        close = np.full(bars.shape, np.nan)
        for row, slots in enumerate(bars.slot):
            for bucket in np.unique(slots[slots >= 0] // 15):
                own = (slots >= 0) & (slots // 15 == bucket)
                close[row, own] = bars.close[row, own][-1]
        return Signals(enter_long=close > bars.close, exit_long=close < bars.close)


class Backfill(Strategy):
    """An average whose warm-up is filled from behind."""

    def signals(self, bars: Bars) -> Signals:
        average = bars.indicator("sma", period=20).copy()
        for row in average:
            known = np.flatnonzero(~np.isnan(row))
            if len(known):
                row[: known[0]] = row[known[0]]
        return Signals(enter_long=bars.close > average, exit_long=bars.close < average)


class GlobalNormalization(Strategy):
    """Prices in standard deviations of all prices that it is given."""

    def signals(self, bars: Bars) -> Signals:
        change = bars.close / bars.open - 1.0
        score = (change - np.nanmean(change)) / np.nanstd(change)
        return Signals(enter_long=score > 2.0, exit_long=score < -2.0, confidence=np.minimum(np.abs(score) / 8.0, 1.0))


class ShiftMinusOne(Strategy):
    """The next bar's close."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=before(bars.close, -1) > bars.close)


class FinalHigh(Strategy):
    """The session's high, from its first bar on."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(exit_long=bars.high == np.nanmax(bars.high, axis=-1, keepdims=True))


class JoinOnStart(Strategy):
    """Each minute sees the quarter-hour that has begun, not the one that is over."""

    @property
    def inputs(self) -> dict[str, str]:
        return {"bars": "1m", "quarters": "15m"}

    def signals(self, bars: Bars) -> Signals:
        quarters = bars.input("quarters")
        close = np.full(bars.shape, np.nan)
        for row in range(len(bars.ts)):
            known = np.flatnonzero(quarters.valid[row])
            at = np.searchsorted(quarters.ts[row, known], bars.ts[row], side="right") - 1
            seen = (at >= 0) & bars.valid[row]
            close[row, seen] = quarters.close[row, known[at[seen]]]
        return Signals(enter_long=close > bars.close, exit_long=close < bars.close)


class WholeDayQuality(Strategy):
    """Enters only on days that turn out to be nearly whole."""

    def signals(self, bars: Bars) -> Signals:
        last = np.array([row[~np.isnan(row)][-1:].sum() for row in bars.quality])
        return Signals(enter_long=(last[:, None] > 99.0) & (bars.slot % 50 == 20))


class ClockAhead(Strategy):
    """Ranks symbols by the bar after."""

    layout = "clock"
    interval: str = "5m"

    def signals(self, bars: Bars) -> Signals:
        change = np.nan_to_num(before(bars.close, -1) / bars.close - 1.0)
        best = change == change.max(axis=1, keepdims=True)
        return Signals(target=np.where(best & (change > 0), 0.3, np.nan))


class Rare(Strategy):
    """Looks ahead on one bar in 2,000; else one sound signal a day."""

    def signals(self, bars: Bars) -> Signals:
        odd = (bars.session.astype("datetime64[D]").astype(int) * 390 + bars.slot) % 2000 == 77
        return Signals(enter_long=odd & (before(bars.close, -1) > bars.close), exit_long=bars.slot == 30)


class Unseeded(Strategy):
    """Draws lots."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=np.random.default_rng().random(bars.shape) < 0.05)


class Hashes(Strategy):
    """Orders names by a hash that every process makes otherwise."""

    def signals(self, bars: Bars) -> Signals:
        luck = np.array([[hash(f"{symbol}{day}") % 7] for symbol, day in zip(bars.symbol.ravel(), bars.session.ravel(), strict=True)])
        return Signals(enter_long=bars.slot % 7 == luck)


CALLS = itertools.count()


class Counts(Strategy):
    """Does something else at every call."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=bars.slot % 9 == next(CALLS) % 9)


LAST: dict[str, object] = {}


class Remembers(Strategy):
    """Says nothing on a day that is not after the last it was asked about, so that only the order of calls matters."""

    def signals(self, bars: Bars) -> Signals:
        later = bars.session >= LAST.get("day", bars.session.min())
        LAST["day"] = bars.session.max() if len(np.unique(bars.session)) == 1 else bars.session.min()
        return Signals(enter_long=(bars.slot % 40 == 10) & later)


class Writes(Strategy):
    """Finds a way around the lock of what it gets."""

    def signals(self, bars: Bars) -> Signals:
        bars.close.base.flags.writeable = True
        bars.close.base[..., 30] = 1.0
        return Signals(enter_long=bars.slot % 40 == 10)


class Crowd(Strategy):
    """Compares each row with the others it is asked about."""

    def signals(self, bars: Bars) -> Signals:
        change = bars.close / bars.open - 1.0
        return Signals(enter_long=change == np.nanmax(change, axis=0, keepdims=True, initial=-1.0))


class Stumbles(Strategy):
    """Raises on an early close."""

    def signals(self, bars: Bars) -> Signals:
        if (bars.session == np.datetime64("2024-11-29")).any():
            raise ValueError("a short day")
        return Signals(enter_long=bars.slot % 40 == 10)


class ShortWarmUp(Strategy):
    """An average of 60 bars that remembers further, with a history of 10."""

    lookback = 10

    def signals(self, bars: Bars) -> Signals:
        average = bars.indicator("ema", period=60)
        return Signals(
            enter_long=indicators.crosses_above(bars.close, average), exit_long=indicators.crosses_below(bars.close, average),
            stop_price=average * 0.99,
        )  # fmt: skip


class Sound(Strategy):
    """Two intervals, history, historical and configured indicators, as-of quality: all that may be looked at."""

    period: int = 5

    @property
    def inputs(self) -> dict[str, str]:
        return {"bars": "1m", "trend": "15m"}

    @property
    def lookback(self) -> dict[str, int]:
        return {"bars": 30, "trend": 10}

    def signals(self, bars: Bars) -> Signals:
        trend = bars.input("trend")
        rising = trend.onto(bars, trend.close >= trend.indicator("sma", period=self.period))
        usual = bars.historical("usual_volume")
        busy = bars.volume > np.where(np.isnan(usual), 0.0, usual)
        return Signals(
            enter_long=rising & busy & (bars.close > bars.indicator("sma_20")) & (bars.quality > 50),
            exit_long=(bars.close < bars.indicator("sma_20")) & (bars.historical("range") > 0),
            confidence=np.nan_to_num(bars.quality / 100),
            stop_price=trend.onto(bars).low * 0.99,
            tags="sound",
        )
