"""Indicators against TA-Lib, and to the last bit against exact fractions."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from backtester.signals import indicators as ind
from tests.signals.rows import close_to, equal, walk

# --- TA-Lib


def talib_cases(columns):
    """(name, ours, TA-Lib's, bars to skip after warm-up). D-07: macd is compared after 10 periods, because TA-Lib begins the
    fast EMA with a later mean than the first bars'; all other seeds are the same."""
    talib = pytest.importorskip("talib")
    high, low, close, volume = (columns[name] for name in ("high", "low", "close", "volume"))
    yield from (("sma", ind.sma(close, 20), talib.SMA(close, 20), 0), ("ema", ind.ema(close, 20), talib.EMA(close, 20), 0))
    yield from (("wma", ind.wma(close, 20), talib.WMA(close, 20), 0), ("dema", ind.dema(close, 9), talib.DEMA(close, 9), 0))
    yield from (("tema", ind.tema(close, 9), talib.TEMA(close, 9), 0), ("rsi", ind.rsi(close, 14), talib.RSI(close, 14), 0))
    yield from (("roc", ind.roc(close, 10), talib.ROC(close, 10), 0), ("mom", ind.mom(close, 10), talib.MOM(close, 10), 0))
    yield "cci", ind.cci(high, low, close, 20), talib.CCI(high, low, close, 20), 0
    yield "williams_r", ind.williams_r(high, low, close, 14), talib.WILLR(high, low, close, 14), 0
    yield "true_range", ind.true_range(high, low, close), talib.TRANGE(high, low, close), 0
    yield "atr", ind.atr(high, low, close, 14), talib.ATR(high, low, close, 14), 0
    yield "obv", ind.obv(close, volume), talib.OBV(close, volume), 0
    yield "rolling_max", ind.rolling_max(high, 20), talib.MAX(high, 20), 0
    yield "rolling_min", ind.rolling_min(low, 20), talib.MIN(low, 20), 0
    yield "rolling_std", ind.rolling_std(close, 20), talib.STDDEV(close, 20), 0
    for part, ours, theirs in zip(
        ("k", "d"), ind.stochastic(high, low, close, 14, 3, 3), talib.STOCH(high, low, close, 14, 3, 0, 3, 0), strict=True
    ):
        yield f"stochastic {part}", ours, theirs, 0
    for ours, theirs in zip(ind.bbands(close, 20, 2.0), talib.BBANDS(close, 20, 2.0, 2.0), strict=True):
        yield "bbands", ours, theirs, 0
    for ours, theirs in zip(ind.macd(close, 12, 26, 9), talib.MACD(close, 12, 26, 9), strict=True):
        yield "macd", ours, theirs, 260


def agree_with_talib(columns) -> None:
    for name, ours, theirs, skip in talib_cases(columns):
        first = max(np.flatnonzero(~np.isnan(values))[0] for values in (ours, theirs)) + skip
        assert len(ours) - first > 100
        np.testing.assert_allclose(ours[first:], theirs[first:], rtol=1e-9, atol=1e-7, err_msg=name)


def test_indicators_agree_with_talib_on_a_random_walk():
    """D-07."""
    agree_with_talib(walk(2000))


def test_indicators_agree_with_talib_on_a_week_of_spy(shared_data):
    """D-07."""
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(shared_data / "us_2019_minute" / "SPY.parquet").sort("ts")
    agree_with_talib({name: frame[name].cast(polars.Float64).to_numpy() for name in ("high", "low", "close", "volume")})


# --- exactness


@pytest.mark.parametrize("period", [1, 2, 3, 7, 20, 49, 390])
@pytest.mark.parametrize("price", [0.1, 101.37, 3e-9, 7e12])
def test_averages_of_a_constant_are_that_constant_and_its_bands_have_no_width(price, period):
    row = np.full(800, price)
    for average in (ind.sma, ind.ema, ind.wma, ind.hma):
        found = average(row, period)
        assert set(found[~np.isnan(found)]) == {price}
    upper, _, lower = ind.bbands(row, period)
    assert set(upper[period - 1 :]) == set(lower[period - 1 :]) == {price}
    equal(ind.vwap(row, row, row, np.arange(800.0) + 0.3), row)


def exact_mean(values, weights) -> float:
    return float(sum(Fraction(value) * weight for value, weight in zip(values, weights, strict=True)) / sum(weights))


@pytest.mark.parametrize("scale", [1.0, 1e-7, 1e15])
@pytest.mark.parametrize("period", [2, 3, 20])
def test_sma_and_wma_are_the_true_means_rounded_once(period, scale):
    """Also beside a few values that dwarf the others, and after they have left."""
    values = walk(600)["close"]
    values[[100, 101, 300]] *= scale
    simple, ramp = ind.sma(values, period), ind.wma(values, period)
    for at in range(period - 1, len(values)):
        window = values[at - period + 1 : at + 1]
        assert simple[at] == exact_mean(window, [1] * period)
        assert ramp[at] == exact_mean(window, range(1, period + 1))


def test_sums_do_not_drift_over_a_million_bars():
    values = walk(1_000_000)["close"]
    found = ind.sma(values, 20)
    assert all(found[at] == exact_mean(values[at - 19 : at + 1], [1] * 20) for at in range(999_000, 1_000_000, 50))


def test_values_that_shrink_tenfold_with_every_bar_keep_their_digits():
    values = 10.0 ** -np.arange(200)
    close_to(ind.sma(values, 3)[2:], [exact_mean(values[at - 2 : at + 1], [1] * 3) for at in range(2, 200)])


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e9])
def test_deviations_are_right_to_a_few_units_in_the_last_place(offset):
    """Also where the mean is a hundred million times the deviation, where squares of values would give anything, or NaN."""
    values, period = walk(300)["close"] + offset, 20
    found = ind.rolling_std(values, period)
    for at in range(period - 1, len(values)):
        window = [Fraction(value) for value in values[at - period + 1 : at + 1]]
        mean = sum(window) / period
        variance = sum((value - mean) ** 2 for value in window) / period
        with localcontext() as context:
            context.prec = 50
            expected = float((Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt())
        assert abs(found[at] - expected) <= 4 * np.spacing(expected)
