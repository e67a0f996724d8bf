"""Indicators against hand arithmetic, exact fractions and TA-Lib; what they do with holes, shapes and bad arguments."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from backtester.errors import ConfigError, StrategyError
from backtester.signals import indicators as ind

NAN = float("nan")
HIGH = np.array([11.0, 13.0, 12.0, 15.0, 14.0])
LOW = np.array([9.0, 10.0, 11.0, 12.0, 10.0])
CLOSE = np.array([10.0, 12.0, 11.0, 14.0, 11.0])
VOLUME = np.array([100.0, 300.0, 200.0, 0.0, 400.0])


def equal(found, expected) -> None:
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected, dtype=float))


def close_to(found, expected) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected, dtype=float), rtol=1e-14)


def walk(count: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Prices on whole cents around 100, with volumes."""
    random = np.random.default_rng(seed)
    cents = 10_000 + np.cumsum(random.integers(-8, 9, count))
    above, below = random.integers(0, 12, count), random.integers(0, 12, count)
    columns = {"close": cents, "high": cents + above, "low": cents - below}
    return {name: values / 100.0 for name, values in columns.items()} | {"volume": random.integers(0, 5000, count).astype(float)}


# --- hand arithmetic


def test_sma_is_the_mean_of_the_last_bars():
    equal(ind.sma(CLOSE, 2), [NAN, 11.0, 11.5, 12.5, 12.5])


def test_ema_begins_with_the_mean_of_its_first_bars_and_then_takes_2_over_n_plus_1():
    equal(ind.ema([1.0, 2.0, 6.0, 4.0, 8.0], 3), [NAN, NAN, 3.0, 3.5, 5.75])


def test_wma_weighs_the_newest_bar_most():
    equal(ind.wma([1.0, 2.0, 6.0, 3.0], 3), [NAN, NAN, (1 + 4 + 18) / 6, (2 + 12 + 9) / 6])


def test_dema_is_two_emas_less_the_ema_of_the_ema():
    # e1: _ 2 4 6 8 (a line lags by a half); e2 of it: _ _ 3 5 7
    close_to(ind.dema([1.0, 3.0, 5.0, 7.0, 9.0], 2), [NAN, NAN, 5.0, 7.0, 9.0])


def test_tema_follows_a_straight_line_without_lag():
    close_to(ind.tema([1.0, 3.0, 5.0, 7.0, 9.0], 2), [NAN, NAN, NAN, 7.0, 9.0])


def test_hma_of_a_straight_line_is_ahead_of_its_wma():
    # wma(4) lags one bar, wma(2) a third: 2 x - 2/3 + 1 = +1/3 bar; wma(2) takes a third back: no lag at all
    close_to(ind.hma(np.arange(8.0), 4), [NAN, NAN, NAN, NAN, 4.0, 5.0, 6.0, 7.0])


def test_vwap_weighs_typical_prices_by_volume_from_the_sessions_first_column():
    typical = [35 / 3, 34 / 3, 41 / 3, 35 / 3]
    after_two = (typical[0] * 300 + typical[1] * 200) / 500
    close_to(ind.vwap(HIGH, LOW, CLOSE, VOLUME, 1), [NAN, typical[0], after_two, after_two, (after_two * 500 + typical[3] * 400) / 900])


def test_vwap_may_begin_in_another_column_in_each_row():
    rows = [np.tile(column, (2, 1)) for column in (HIGH, LOW, CLOSE, VOLUME)]
    both = ind.vwap(*rows, np.array([0, 3]))
    equal(both[0], ind.vwap(HIGH, LOW, CLOSE, VOLUME, 0))
    equal(both[1], [NAN, NAN, NAN, NAN, 11 + 2 / 3])


def test_vwap_is_unknown_until_volume_has_traded():
    equal(ind.vwap([5.0, 6.0], [5.0, 6.0], [5.0, 6.0], [0.0, 2.0]), [NAN, 6.0])


def test_rsi_is_wilders():
    # rises 2 0 3 0, falls 0 1 0 3; mean of the first two: 1 and 0.5; then half old, half new
    close_to(ind.rsi(CLOSE, 2), [NAN, NAN, 100 * 1 / 1.5, 100 * 2 / 2.25, 100 * 1 / (1 + 1.625)])


def test_rsi_of_prices_that_stand_still_is_in_the_middle():
    """So that a halted symbol is neither oversold nor overbought; TA-Lib says 0."""
    equal(ind.rsi(np.full(6, 7.3), 3), [NAN, NAN, NAN, 50.0, 50.0, 50.0])


def test_rsi_reaches_0_and_100():
    equal(ind.rsi([1.0, 2.0, 3.0], 2)[-1], 100.0)
    equal(ind.rsi([3.0, 2.0, 1.0], 2)[-1], 0.0)


def test_macd_is_fast_less_slow_with_its_own_average():
    line, signal, histogram = ind.macd(np.arange(8.0), 2, 4, 3)
    # on a straight line an EMA of n begun with a mean lags (n - 1) / 2 bars
    close_to(line, [NAN] * 3 + [1.0] * 5)
    close_to(signal, [NAN] * 5 + [1.0] * 3)
    equal(histogram, [NAN] * 5 + [0.0] * 3)


def test_stochastic_is_the_closes_place_in_the_range():
    k, d = ind.stochastic(HIGH, LOW, CLOSE, period=2, smooth=1, signal=2)
    expected = np.array([75.0, 100 / 3, 75.0, 20.0])
    close_to(k, [NAN, *expected])
    close_to(d, [NAN, NAN, *((expected[1:] + expected[:-1]) / 2)])


def test_stochastic_and_williams_r_of_a_flat_range_are_in_the_middle():
    flat = np.full(4, 3.3)
    equal(ind.stochastic(flat, flat, flat, 2, 1, 1)[0], [NAN, 50.0, 50.0, 50.0])
    equal(ind.williams_r(flat, flat, flat, 2), [NAN, -50.0, -50.0, -50.0])


def test_cci_is_the_distance_in_mean_deviations():
    # typical 10, 35/3, 34/3: mean 11, mean deviation 2/3
    close_to(ind.cci(HIGH[:3], LOW[:3], CLOSE[:3], 3), [NAN, NAN, (1 / 3) / (0.015 * 2 / 3)])


def test_cci_of_equal_prices_is_0():
    equal(ind.cci(np.full(3, 0.1), np.full(3, 0.1), np.full(3, 0.1), 3)[-1], 0.0)


def test_roc_is_in_percent_and_unknown_after_zero():
    equal(ind.roc([0.0, 4.0, 5.0, 2.5], 1), [NAN, NAN, 25.0, -50.0])


def test_mom_is_a_difference():
    equal(ind.mom(CLOSE, 2), [NAN, NAN, 1.0, 2.0, 0.0])


def test_williams_r_is_the_distance_from_the_top():
    close_to(ind.williams_r(HIGH, LOW, CLOSE, 2), [NAN, -25.0, -200 / 3, -25.0, -80.0])


def test_true_range_includes_the_way_from_the_close_before():
    equal(ind.true_range([5.0, 9.0, 4.0], [4.0, 8.0, 3.0], [4.5, 8.5, 3.5]), [NAN, 4.5, 5.5])


def test_atr_is_wilders_mean_of_true_ranges():
    # true ranges 13-10, 12-11, 15-11 (the close before), 14-10
    equal(ind.atr(HIGH, LOW, CLOSE, 2), [NAN, NAN, 2.0, 3.0, 3.5])


def test_bbands_use_the_population_deviation():
    upper, middle, lower = ind.bbands([1.0, 3.0, 3.0], 2, 2.0)
    equal(upper, [NAN, 4.0, 3.0])
    equal(middle, [NAN, 2.0, 3.0])
    equal(lower, [NAN, 0.0, 3.0])


def test_keltner_is_an_ema_with_average_ranges_around_it():
    upper, middle, lower = ind.keltner(HIGH, LOW, CLOSE, period=2, multiplier=2.0, atr_period=2)
    # closes 10 12 11 14 11: 11, then a third of the old and two thirds of the new; true ranges as above
    close_to(middle, [NAN, 11.0, 11.0, 13.0, 35 / 3])
    close_to(upper, [NAN, NAN, 15.0, 19.0, 35 / 3 + 7])
    close_to(lower, [NAN, NAN, 7.0, 7.0, 35 / 3 - 7])


def test_donchian_and_high_low_include_the_bar_itself():
    upper, middle, lower = ind.donchian(HIGH, LOW, 3)
    equal(upper, [NAN, NAN, 13.0, 15.0, 15.0])
    equal(lower, [NAN, NAN, 9.0, 10.0, 10.0])
    equal(middle, [NAN, NAN, 11.0, 12.5, 12.5])
    for one, other in zip(ind.high_low(HIGH, LOW, 3), (upper, lower), strict=True):
        equal(one, other)


def test_obv_begins_with_the_first_volume_and_moves_with_the_close():
    equal(ind.obv([5.0, 6.0, 6.0, 4.0, 5.0], [10.0, 20.0, 30.0, 40.0, 50.0]), [10.0, 30.0, 30.0, -10.0, 40.0])


def test_volume_sma_and_ratio():
    equal(ind.volume_sma(VOLUME, 2), [NAN, 200.0, 250.0, 100.0, 200.0])
    equal(ind.volume_ratio(VOLUME, 2), [NAN, 1.5, 0.8, 0.0, 2.0])
    equal(ind.volume_ratio([0.0, 0.0], 2), [NAN, NAN])


def test_a_swing_stands_where_its_last_right_hand_bar_confirms_it():
    equal(ind.swing_high([1.0, 2.0, 5.0, 3.0, 4.0, 2.0], 2), [NAN, NAN, NAN, NAN, 5.0, NAN])
    equal(ind.swing_low([4.0, 3.0, 1.0, 2.0, 0.5, 2.0], 1), [NAN, NAN, NAN, 1.0, NAN, 0.5])


def test_equal_highs_are_one_swing_by_the_first_of_them():
    equal(ind.swing_high([1.0, 5.0, 5.0, 1.0, 0.0], 1), [NAN, NAN, 5.0, NAN, NAN])


def test_pivot_points_come_from_the_session_before():
    found = ind.pivot_points([[120.0]], [[90.0]], [[105.0]])
    equal(np.ravel(found), [105.0, 120.0, 90.0, 135.0, 75.0, 150.0, 60.0])
    assert all(one.shape == (1, 1) for one in found)


def test_crosses_are_events_of_one_bar():
    a, b = [1.0, 2.0, 3.0, 3.0, 1.0, 3.0], [2.0, 2.0, 2.0, 2.0, 2.0, NAN]
    assert ind.crosses_above(a, b).tolist() == [False, False, True, False, False, False]
    assert ind.crosses_below(a, b).tolist() == [False, False, False, False, True, False]
    assert ind.crosses_below([[3.0, 1.0], [3.0, 2.5]], 2).tolist() == [[False, True], [False, False]]


def test_nothing_crosses_where_the_bar_before_is_unknown():
    assert not ind.crosses_above([NAN, 3.0], [1.0, 1.0]).any()


def test_shift_looks_back_only():
    equal(ind.shift([1.0, 2.0, 3.0], 2), [NAN, NAN, 1.0])
    equal(ind.shift([1.0, 2.0], 5), [NAN, NAN])
    assert ind.shift(np.array([True, True, False])).tolist() == [False, True, True]
    for count in (0, -1):
        with pytest.raises(StrategyError, match="whole number from 1"):
            ind.shift(CLOSE, count)


def test_rolling_extremes_and_deviation():
    equal(ind.rolling_max(CLOSE, 3), [NAN, NAN, 12.0, 14.0, 14.0])
    equal(ind.rolling_min(CLOSE, 3), [NAN, NAN, 10.0, 11.0, 11.0])
    equal(ind.rolling_std([1.0, 3.0, 7.0], 2), [NAN, 1.0, 2.0])


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


# --- holes, shapes, threads


def test_a_missing_value_begins_a_window_anew():
    equal(ind.sma([NAN, NAN, 1.0, 3.0, NAN, 5.0, 7.0, NAN], 2), [NAN, NAN, NAN, 2.0, NAN, NAN, 6.0, NAN])
    equal(ind.ema([NAN, 1.0, 3.0, 5.0, NAN, 8.0, 10.0], 2), [NAN, NAN, 2.0, 4.0, NAN, NAN, 9.0])
    equal(ind.rsi([1.0, 2.0, 1.0, NAN, 5.0, 6.0], 1), [NAN, 100.0, 0.0, NAN, NAN, 100.0])
    equal(ind.swing_high([1.0, 3.0, NAN, 1.0, 3.0, 2.0], 1), [NAN, NAN, NAN, NAN, NAN, 3.0])


def test_vwap_and_obv_leave_a_missing_bar_out_and_go_on():
    price, volume = np.array([10.0, NAN, 12.0]), np.array([1.0, 5.0, 1.0])
    equal(ind.vwap(price, price, price, volume), [10.0, NAN, 11.0])
    equal(ind.obv(price, volume), [1.0, NAN, 2.0])


@pytest.mark.parametrize("absurd", [np.inf, -np.inf, 1.1e100, -1e308])
def test_an_infinity_or_what_is_beyond_1e100_counts_as_missing(absurd):
    row = np.array([1.0, 2.0, absurd, 3.0, 5.0])
    equal(ind.sma(row, 2), [NAN, 1.5, NAN, NAN, 4.0])
    equal(ind.mom(row, 1), [NAN, 1.0, NAN, NAN, 2.0])
    equal(ind.true_range(row, row, row), [NAN, 1.0, NAN, NAN, 2.0])


def test_a_period_longer_than_the_row_gives_nan_throughout():
    columns = walk(10) | {f"prior_{name}": np.ones(10) for name in ("high", "low", "close")}
    for name, spec in ind.CATALOG.items():
        params = {key: (10**12 if isinstance(value, int) else value) for key, value in spec.params.items()}
        if params:
            assert all(np.isnan(values).all() for values in ind.compute(name, columns, params).values()), name


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5), (2, 0, 4)])
def test_empty_columns_give_empty_columns(shape):
    columns = {name: np.ones(shape) for name in ("high", "low", "close", "volume", "prior_high", "prior_low", "prior_close")}
    for name in ind.CATALOG:
        assert all(values.shape == shape for values in ind.compute(name, columns, {}).values()), name


def test_whole_numbers_and_short_floats_are_taken_as_float64():
    equal(ind.sma([1, 2, 4], 2), [NAN, 1.5, 3.0])
    assert ind.rsi(np.arange(30, dtype=np.float32)).dtype == np.float64


def test_the_same_bits_come_from_any_number_of_threads():
    """I-16."""
    rows = np.stack([walk(500, seed)["close"] for seed in range(40)])
    alone = ind.bbands(rows, 20)[0]
    with ThreadPoolExecutor(4) as pool:
        together = np.stack(list(pool.map(lambda row: ind.bbands(row, 20)[0], rows)))
    assert alone.tobytes() == together.tobytes()


# --- bad arguments


@pytest.mark.parametrize("period", [0, -3, 2.0, 2.5, NAN, True, "5", None, np.float64(3)])
def test_a_period_that_is_not_a_whole_number_from_1_is_an_error(period):
    for call in (ind.sma, ind.ema, ind.rsi, ind.bbands, ind.rolling_max, ind.rolling_std):
        with pytest.raises(StrategyError, match=r"period.*allowed: a whole number from 1"):
            call(CLOSE, period)
    with pytest.raises(ConfigError, match=r"indicator sma, period.*allowed: a whole number from 1"):
        ind.compute("sma", {"close": CLOSE}, {"period": period})


@pytest.mark.parametrize("deviations", [-1.0, NAN, np.inf, True, "2"])
def test_a_width_that_is_not_a_finite_number_is_an_error(deviations):
    with pytest.raises(StrategyError, match=r"deviations.*a finite number"):
        ind.bbands(CLOSE, 2, deviations)


def test_columns_that_do_not_fit_together_are_an_error():
    for call in (ind.williams_r, ind.true_range, ind.cci):
        with pytest.raises(StrategyError, match=r"shapes \(5,\), \(4,\)"):
            call(HIGH, LOW[1:], CLOSE)
    with pytest.raises(StrategyError, match="do not fit"):
        ind.obv(CLOSE, VOLUME[1:])


@pytest.mark.parametrize(
    "values", [3.0, "abc", ["a", "b"], np.array([1, None]), np.array([True, False]), np.array(["2025"], "datetime64[D]")]
)
def test_what_is_no_column_of_numbers_is_an_error(values):
    with pytest.raises(StrategyError, match="indicators need"):
        ind.sma(values, 2)


@pytest.mark.parametrize("start", [-1, 0.0, [[0]], [0, 1]])
def test_a_bad_start_is_an_error(start):
    with pytest.raises(StrategyError, match=r"start|do not fit"):
        ind.vwap(*(np.tile(column, (3, 1)) for column in (HIGH, LOW, CLOSE, VOLUME)), start)


# --- catalog


def test_the_catalog_holds_what_is_promised():
    promised = (
        "sma ema wma dema tema hma vwap rsi macd stochastic cci roc mom williams_r atr bbands keltner donchian obv volume_sma "
        "volume_ratio high_low swing_high swing_low pivot_points"
    )
    assert sorted(ind.CATALOG) == sorted(promised.split())
    assert all(spec.sentence.endswith(".") for spec in ind.CATALOG.values())


@pytest.mark.parametrize("name", sorted(ind.CATALOG))
def test_the_warm_up_is_the_place_of_the_first_bar_that_has_every_output(name):
    spec, columns = ind.CATALOG[name], walk(120)
    columns["high"][5], columns["low"][5] = 200.0, 50.0  # a swing as early as one can be
    columns |= {f"prior_{each}": columns[each] for each in ("high", "low", "close")}
    outputs = ind.compute(name, columns, {})
    assert tuple(outputs) == spec.outputs
    assert max(int(np.flatnonzero(~np.isnan(values))[0]) for values in outputs.values()) == ind.warmup(name, {})


def test_smoothing_forgets_where_the_row_began_when_it_has_settled():
    columns = walk(3000)
    for name, spec in ind.CATALOG.items():
        if spec.recursive:
            settled, scale = spec.settled({}), 0.002
            whole, late = (ind.compute(name, {key: values[cut:] for key, values in columns.items()}, {}) for cut in (0, 1000))
            for output in spec.outputs:
                change = np.abs(whole[output][1000 + settled :] - late[output][settled:]).max()
                assert change <= scale * np.nanstd(whole[output]), (name, output)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'bbands'"):
        ind.warmup("bband", {})
    with pytest.raises(ConfigError, match="did you mean 'period'"):
        ind.compute("sma", {"close": CLOSE}, {"perod": 3})
    with pytest.raises(ConfigError, match="it has no parameters"):
        ind.warmup("obv", {"period": 3})
    with pytest.raises(ConfigError, match=r"missing column.*prior_low"):
        ind.compute("pivot_points", {"prior_high": CLOSE, "prior_close": CLOSE}, {})


def test_all_faults_of_the_parameters_are_told_at_once():
    with pytest.raises(ConfigError) as told:
        ind.warmup("macd", {"fast": 0, "slow": 2.5, "sginal": 3})
    assert len(told.value.problems) == 3


def test_compute_is_the_function_by_its_name():
    found = ind.compute("bbands", {"close": CLOSE, "open": CLOSE}, {"period": 2, "deviations": 1})
    for one, other in zip(found.values(), ind.bbands(CLOSE, 2, 1.0), strict=True):
        equal(one, other)
    columns = {"high": HIGH, "low": LOW, "close": CLOSE, "volume": VOLUME, "start": np.asarray(2)}
    equal(ind.compute("vwap", columns, {})["vwap"], ind.vwap(HIGH, LOW, CLOSE, VOLUME, 2))


# --- compilation


def test_importing_the_indicators_does_not_import_numba():
    code = "import sys, backtester.signals.indicators; print([name for name in ('numba', 'pandas') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loops_are_compiled_for_the_process_where_no_folder_can_hold_the_cache(monkeypatch):
    """CLI-14: no home, program folder not writable."""
    from numba.core.caching import CacheImpl

    from backtester.signals import indicator_kernels

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    smooth = indicator_kernels.kernel.__wrapped__("smooth")
    equal(smooth(np.array([1.0, 3.0, 5.0]), 2, 0.5), [NAN, 2.0, 3.5])
