"""Indicators: functions from columns to columns over the last axis, for a single series or for ten thousand rows.

Place in the flow: strategies call them on their bars' columns; the engine computes configured ones by name (`compute`, `warmup`,
CATALOG). The loops are in `indicator_kernels.py`, compiled at first use. Never looks to the right: an element depends on
elements at or before its own, and a row on no other row.

Every function takes numbers of shape (..., bars), read-only and strided ones too, and gives float64 of that shape (tuples where
there are several outputs); columns of one call have the same number of bars, and their rows broadcast. The same bits come out
for a series alone and as one row of many.

NaN, infinities and what is beyond 1e100 count as missing. NaN stands before the first value and where a value is missing. Window
and smoothing functions begin anew after it, as at the start of a row; vwap and obv leave it out and go on.

Bad arguments raise StrategyError. A period longer than the row is not one: it gives NaN throughout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backtester.columns import Bools, Floats
from backtester.errors import StrategyError
from backtester.signals.indicator_catalog import CATALOG as CATALOG
from backtester.signals.indicator_catalog import IndicatorSpec as IndicatorSpec
from backtester.signals.indicator_catalog import compute as compute
from backtester.signals.indicator_catalog import indicator, refusal
from backtester.signals.indicator_catalog import settled as settled
from backtester.signals.indicator_catalog import warmup as warmup

# A longer period is longer than any row; a smaller divisor counts as 0, so that no quotient overflows.
_LONGEST = 2**40
_NIL = 1e-200


@indicator(first=lambda period: period - 1, windowed=True)
def sma(close: ArrayLike, period: int = 20) -> Floats:
    """Simple moving average: the mean of the last `period` values, rounded once."""
    return _loop("mean", [_series(close)], _whole("sma", "period", period))


@indicator(first=lambda period: period - 1, recursive=True)
def ema(close: ArrayLike, period: int = 20) -> Floats:
    """Exponential moving average with weight 2 / (period + 1), begun with the mean of the first `period` values."""
    return _smooth("ema", close, period, exponential=True)


@indicator(first=lambda period: period - 1)
def wma(close: ArrayLike, period: int = 20) -> Floats:
    """Weighted moving average: weights 1, 2, ... period from the oldest to the newest of the last `period` values."""
    return _loop("weighted", [_series(close)], _whole("wma", "period", period))


@indicator(first=lambda period: 2 * (period - 1), recursive=True)
def dema(close: ArrayLike, period: int = 20) -> Floats:
    """Double exponential moving average: 2 e1 - e2, where e2 is the EMA of the EMA e1 (Mulloy 1994)."""
    first = _smooth("dema", close, period, exponential=True)
    return 2.0 * first - _smooth("dema", first, period, exponential=True)


@indicator(first=lambda period: 3 * (period - 1), recursive=True)
def tema(close: ArrayLike, period: int = 20) -> Floats:
    """Triple exponential moving average: 3 e1 - 3 e2 + e3, each the EMA of the one before (Mulloy 1994)."""
    first = _smooth("tema", close, period, exponential=True)
    second = _smooth("tema", first, period, exponential=True)
    return 3.0 * (first - second) + _smooth("tema", second, period, exponential=True)


@indicator(first=lambda period: period - 1 + isqrt(period) - 1)
def hma(close: ArrayLike, period: int = 20) -> Floats:
    """Hull moving average: WMA over sqrt(period) of 2 WMA(period / 2) - WMA(period), both rounded down (Hull 2005)."""
    values, period = _series(close), _whole("hma", "period", period)
    ahead = 2.0 * _loop("weighted", [values], max(period // 2, 1)) - _loop("weighted", [values], period)
    return _loop("weighted", [ahead], isqrt(period))


@indicator(first=lambda: 0, optional=("start",))
def vwap(high: ArrayLike, low: ArrayLike, close: ArrayLike, volume: ArrayLike, start: ArrayLike = 0) -> Floats:
    """Volume-weighted average of the typical price (high + low + close) / 3 since column `start`, the session's first.

    `start` is one whole number, or one for each row (shape of the rows, without the bars). NaN before it and while no volume
    has traded.
    """
    columns = _same(*(_series(column) for column in (high, low, close, volume)))
    rows, starts = columns[0].shape[:-1], np.asarray(start)
    if starts.dtype.kind not in "iu" or starts.shape not in ((), rows) or bool((starts < 0).any()):
        allowed = f"columns from 0 on: one whole number, or one for each row, shape {rows}"
        raise StrategyError("bad start", where="indicator vwap", value=f"{starts.dtype} of shape {starts.shape}", allowed=allowed)
    return _loop("vwap", columns, np.full(rows, starts, dtype=np.int64).ravel())


@indicator(first=lambda period: period, recursive=True)
def rsi(close: ArrayLike, period: int = 14) -> Floats:
    """Relative strength index, 0 to 100, with Wilder's smoothing (Wilder 1978); 50 where nothing moved."""
    return _loop("strength", [_series(close)], _whole("rsi", "period", period))


@indicator("macd", "signal", "histogram", first=lambda fast, slow, signal: max(fast, slow) - 1 + signal - 1, recursive=True)
def macd(close: ArrayLike, fast: int = 12, slow: int = 26, signal: int = 9) -> tuple[Floats, Floats, Floats]:
    """Fast EMA minus slow EMA, its own EMA over `signal` bars, and the difference of the two (Appel)."""
    line = _smooth("macd", close, fast, exponential=True, name="fast") - _smooth("macd", close, slow, exponential=True, name="slow")
    average = _smooth("macd", line, signal, exponential=True, name="signal")
    return line, average, line - average


@indicator("k", "d", first=lambda period, smooth, signal: period + smooth + signal - 3)
def stochastic(
    high: ArrayLike, low: ArrayLike, close: ArrayLike, period: int = 14, smooth: int = 3, signal: int = 3
) -> tuple[Floats, Floats]:
    """Place of the close in the range of `period` bars, 0 to 100, averaged over `smooth` bars (k), and its average (d).

    50 where the range is nil (Lane). With smooth=1 this is the fast stochastic.
    """
    place = 100.0 * _place("stochastic", high, low, close, period)
    slow = _loop("mean", [place], _whole("stochastic", "smooth", smooth))
    return slow, _loop("mean", [slow], _whole("stochastic", "signal", signal))


@indicator(first=lambda period: period - 1, windowed=True)
def cci(high: ArrayLike, low: ArrayLike, close: ArrayLike, period: int = 20) -> Floats:
    """Commodity channel index: distance of the typical price from its mean in 0.015 mean deviations (Lambert 1980); 0 where flat."""
    typical = _typical(high, low, close)
    return _loop("cci", [typical], _whole("cci", "period", period), scratch=[typical.shape[-1]] * 2)


@indicator(first=lambda period: period, windowed=True)
def roc(close: ArrayLike, period: int = 10) -> Floats:
    """Rate of change in percent over `period` bars; NaN where the earlier value is 0."""
    values = _known(close)
    before = shift(values, _whole("roc", "period", period))
    return _ratio(100.0 * (values - before), before)


@indicator(first=lambda period: period, windowed=True)
def mom(close: ArrayLike, period: int = 10) -> Floats:
    """Momentum: the value minus the value `period` bars before."""
    values = _known(close)
    return _float(values - shift(values, _whole("mom", "period", period)))


@indicator(first=lambda period: period - 1, windowed=True)
def williams_r(high: ArrayLike, low: ArrayLike, close: ArrayLike, period: int = 14) -> Floats:
    """Williams %R: distance of the close below the highest high, in percent of the range, -100 to 0; -50 where it is nil."""
    return 100.0 * (_place("williams_r", high, low, close, period) - 1.0)


@indicator(first=lambda period: period, recursive=True)
def atr(high: ArrayLike, low: ArrayLike, close: ArrayLike, period: int = 14) -> Floats:
    """Average true range: Wilder's smoothing of the true range (Wilder 1978), begun with the mean of the first `period`."""
    return _smooth("atr", true_range(high, low, close), period, exponential=False)


@indicator("upper", "middle", "lower", first=lambda period, deviations: period - 1, windowed=True)
def bbands(close: ArrayLike, period: int = 20, deviations: float = 2.0) -> tuple[Floats, Floats, Floats]:
    """Bollinger bands: the SMA, and `deviations` population standard deviations above and below it."""
    width = _number("bbands", "deviations", deviations)
    middle, deviation = _deviation("bbands", close, period)
    return middle + width * deviation, middle, middle - width * deviation


@indicator("upper", "middle", "lower", first=lambda period, multiplier, atr_period: max(period - 1, atr_period), recursive=True)
def keltner(
    high: ArrayLike, low: ArrayLike, close: ArrayLike, period: int = 20, multiplier: float = 2.0, atr_period: int = 10
) -> tuple[Floats, Floats, Floats]:
    """Keltner channel: the EMA of the close, and `multiplier` average true ranges above and below it."""
    middle = _smooth("keltner", close, period, exponential=True)
    ranges = _smooth("keltner", true_range(high, low, close), atr_period, exponential=False, name="atr_period")
    width = _number("keltner", "multiplier", multiplier) * ranges
    return middle + width, middle, middle - width


@indicator("upper", "middle", "lower", first=lambda period: period - 1, windowed=True)
def donchian(high: ArrayLike, low: ArrayLike, period: int = 20) -> tuple[Floats, Floats, Floats]:
    """Donchian channel: highest high, their middle, and lowest low of the last `period` bars, this one included."""
    upper, lower = _extremes("donchian", high, low, period)
    return upper, lower + (upper - lower) / 2.0, lower


@indicator(first=lambda: 0)
def obv(close: ArrayLike, volume: ArrayLike) -> Floats:
    """On-balance volume: volume added where the close rose, subtracted where it fell; begins with the row's first volume (Granville)."""
    return _loop("obv", [_series(close), _series(volume)])


@indicator(first=lambda period: period - 1, windowed=True)
def volume_sma(volume: ArrayLike, period: int = 20) -> Floats:
    """Mean volume of the last `period` bars."""
    return _loop("mean", [_series(volume)], _whole("volume_sma", "period", period))


@indicator(first=lambda period: period - 1)
def volume_ratio(volume: ArrayLike, period: int = 20) -> Floats:
    """Volume in multiples of its mean over the last `period` bars, this one included; NaN where none traded."""
    values = _known(volume)
    return _ratio(values, _loop("mean", [values], _whole("volume_ratio", "period", period)))


@indicator("high", "low", first=lambda period: period - 1, windowed=True)
def high_low(high: ArrayLike, low: ArrayLike, period: int = 20) -> tuple[Floats, Floats]:
    """Highest high and lowest low of the last `period` bars, this one included."""
    return _extremes("high_low", high, low, period)


@indicator(first=lambda period: 2 * period)
def swing_high(high: ArrayLike, period: int = 5) -> Floats:
    """A high above the `period` highs before it and not below the `period` after it, at the bar that confirms it, else NaN."""
    return _loop("swing", [_series(high)], _whole("swing_high", "period", period), 1.0)


@indicator(first=lambda period: 2 * period)
def swing_low(low: ArrayLike, period: int = 5) -> Floats:
    """A low below the `period` lows before it and not above the `period` after it, at the bar that confirms it, else NaN."""
    return _loop("swing", [_series(low)], _whole("swing_low", "period", period), -1.0)


@indicator("pivot", "r1", "s1", "r2", "s2", "r3", "s3", first=lambda: 0)
def pivot_points(prior_high: ArrayLike, prior_low: ArrayLike, prior_close: ArrayLike) -> tuple[Floats, ...]:
    """Floor pivots from the session before: the pivot (high + low + close) / 3 and three resistances and supports.

    The inputs are columns, or one value a row with shape (..., 1); outputs have their broadcast shape.
    """
    high, low, close = _same(_known(prior_high), _known(prior_low), _known(prior_close))
    pivot, width = _typical(high, low, close), high - low
    first = 2.0 * pivot - low, 2.0 * pivot - high
    return pivot, *first, pivot + width, pivot - width, high + 2.0 * (pivot - low), low - 2.0 * (high - pivot)


def rolling_max(values: ArrayLike, period: int) -> Floats:
    """The highest of the last `period` values."""
    return _extreme("rolling_max", values, period, 1.0)


def rolling_min(values: ArrayLike, period: int) -> Floats:
    """The lowest of the last `period` values."""
    return _extreme("rolling_min", values, period, -1.0)


def rolling_std(values: ArrayLike, period: int) -> Floats:
    """The population standard deviation of the last `period` values; exactly 0 where they are equal."""
    return _deviation("rolling_std", values, period)[1]


def true_range(high: ArrayLike, low: ArrayLike, close: ArrayLike) -> Floats:
    """The range of a bar including the way from the close before (Wilder 1978); NaN on a row's first bar."""
    top, bottom, last = _same(_known(high), _known(low), _known(close))
    before = shift(last, 1)
    return _float(np.maximum(top, before) - np.minimum(bottom, before))


def shift(values: ArrayLike, count: int = 1) -> Any:
    """The values `count` bars before (`count` from 1: never after); NaN, or False for booleans, where there is none."""
    source = np.asarray(values)
    source = source if source.dtype == np.bool_ and source.ndim else _series(values)
    steps = min(_whole("shift", "count", count), source.shape[-1])
    out = np.full(source.shape, False if source.dtype == np.bool_ else np.nan, dtype=source.dtype)
    out[..., steps:] = source[..., : source.shape[-1] - steps]
    return out


def crosses_above(a: ArrayLike, b: ArrayLike) -> Bools:
    """True on the bar where `a` is above `b` and was not on the bar before; False where one of the four is NaN.

    One of the two may be a number or a column of shape (..., 1).

    >>> crosses_above([1.0, 2.0, 3.0, 2.0], 2.0).tolist()
    [False, False, True, False]
    """
    left, right = _same(_numbers(a), _numbers(b))
    if left.ndim == 0:
        raise StrategyError("nothing to cross", value="two numbers", allowed="a column of shape (..., bars) on one side")
    if left.flags.c_contiguous and right.flags.c_contiguous:
        return _crosses(left, right)
    out = np.zeros(left.shape, dtype=np.bool_)
    out[..., 1:] = (left[..., 1:] > right[..., 1:]) & (left[..., :-1] <= right[..., :-1])
    return out


def crosses_below(a: ArrayLike, b: ArrayLike) -> Bools:
    """True on the bar where `a` is below `b` and was not on the bar before; False where one of the four is NaN."""
    return crosses_above(b, a)


def _crosses(left: Floats, right: Floats) -> Bools:
    """The same of columns that lie side by side in memory: one pass over both."""
    from backtester.signals.indicator_kernels import kernel

    flat = (math.prod(left.shape[:-1]), left.shape[-1])
    rows = [np.require(column, np.float64, ["C", "A"]).reshape(flat) for column in (left, right)]
    made = np.empty(flat, np.bool_)
    kernel("crosses").entry_point(*rows, made)
    return made.reshape(left.shape)


def _numbers(values: ArrayLike) -> Floats:
    """The values as float64, not copied where they are already."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise StrategyError("indicators need numbers", value=f"dtype {array.dtype}", allowed="float or int columns")
    return array.astype(np.float64, copy=False)


def _series(values: ArrayLike) -> Floats:
    """The values as float64 of shape (..., bars)."""
    array = _numbers(values)
    if array.ndim == 0:
        raise StrategyError("indicators need a column", value="one number", allowed="shape (..., bars)")
    return array


def _known(values: ArrayLike) -> Floats:
    """As _series, with NaN for all that counts as missing: for plain arithmetic (the loops look themselves)."""
    from backtester.signals.indicator_kernels import LARGEST

    array = _series(values)
    known = np.abs(array) <= LARGEST
    return array if known.all() else np.where(known, array, np.nan)


def _float(values: Any) -> Floats:
    """Names the type of what numpy computed."""
    result: Floats = values
    return result


def _whole(where: str, name: str, value: Any) -> int:
    allowed = refusal(value, 1)
    if allowed is not None:
        raise StrategyError("bad parameter", where=f"indicator {where}, {name}", value=repr(value), allowed=allowed)
    return min(int(value), _LONGEST)


def _number(where: str, name: str, value: Any) -> float:
    allowed = refusal(value, 1.0)
    if allowed is not None:
        raise StrategyError("bad parameter", where=f"indicator {where}, {name}", value=repr(value), allowed=allowed)
    return float(value)


def _loop(name: str, columns: Sequence[Floats], *settings: Any, scratch: Sequence[int] = ()) -> Floats:
    """What a compiled loop with one output makes of every row."""
    return _loops(name, columns, *settings, scratch=scratch, outputs=1)[0]


def _loops(name: str, columns: Sequence[Floats], *settings: Any, scratch: Sequence[int], outputs: int) -> list[Floats]:
    """Runs a compiled loop over the rows of columns, which are brought into one shape: (rows, bars), side by side in memory.

    `scratch` are the lengths of its working space.
    """
    from backtester.signals.indicator_kernels import kernel

    if len({column.shape[-1] for column in columns}) > 1:
        raise _misfit(columns)
    wide = _same(*columns)
    shape = wide[0].shape
    flat = (math.prod(shape[:-1]), shape[-1])
    rows = [np.require(column, np.float64, ["C", "A"]).reshape(flat) for column in wide]
    made = [np.empty(flat) for _ in range(outputs)]
    kernel(name).entry_point(*rows, *settings, *map(np.empty, scratch), *made)
    return [values.reshape(shape) for values in made]


def _same(*arrays: Floats) -> tuple[Floats, ...]:
    """The arrays in their common shape."""
    try:
        return tuple(np.broadcast_arrays(*arrays))
    except ValueError as error:
        raise _misfit(arrays) from error


def _misfit(columns: Sequence[Floats]) -> StrategyError:
    shapes = ", ".join(str(column.shape) for column in columns)
    allowed = "the same number of bars, and rows that broadcast"
    return StrategyError("columns do not fit together", value=f"shapes {shapes}", allowed=allowed)


def _smooth(where: str, values: ArrayLike, period: Any, *, exponential: bool, name: str = "period") -> Floats:
    """Smoothing with weight 2 / (period + 1), or Wilder's 1 / period."""
    bars = _whole(where, name, period)
    return _loop("smooth", [_series(values)], bars, 2.0 / (bars + 1.0) if exponential else 1.0 / bars)


def _deviation(where: str, values: ArrayLike, period: Any) -> tuple[Floats, Floats]:
    """Mean and population standard deviation of the last `period` values."""
    row = _series(values)
    mean, deviation = _loops("deviation", [row], _whole(where, "period", period), scratch=row.shape[-1:], outputs=2)
    return mean, deviation


def _extreme(where: str, values: ArrayLike, period: Any, sign: float) -> Floats:
    """Highest (sign 1) or lowest (sign -1) of the last `period` values."""
    row, bars = _series(values), _whole(where, "period", period)
    return _loop("extreme", [row], bars, sign, scratch=[min(bars, row.shape[-1])])


def _extremes(where: str, high: ArrayLike, low: ArrayLike, period: Any) -> tuple[Floats, Floats]:
    """Highest high and lowest low of the last `period` bars."""
    top, bottom = _same(_series(high), _series(low))
    return _extreme(where, top, period, 1.0), _extreme(where, bottom, period, -1.0)


def _place(where: str, high: ArrayLike, low: ArrayLike, close: ArrayLike, period: Any) -> Floats:
    """Where the close stands in the range of the last `period` bars: 0 at its low, 1 at its high, a half where it is nil."""
    top, bottom = _extremes(where, high, low, period)
    top, bottom, last = _same(top, bottom, _known(close))
    width = top - bottom
    return np.divide(last - bottom, width, out=np.where(np.isnan(last + width), np.nan, 0.5), where=width > _NIL)


def _typical(high: ArrayLike, low: ArrayLike, close: ArrayLike) -> Floats:
    """(high + low + close) / 3, written so that three equal prices give that price."""
    top, bottom, last = _same(_known(high), _known(low), _known(close))
    return _float(last + ((top - last) + (bottom - last)) / 3.0)


def _ratio(values: Floats, divisor: Floats) -> Floats:
    """The values divided, NaN where the divisor is nil."""
    return _float(np.divide(values, divisor, out=np.full(np.shape(values), np.nan), where=np.abs(divisor) > _NIL))
