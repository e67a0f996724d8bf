"""Each indicator against hand arithmetic on five bars."""

from __future__ import annotations

import numpy as np
import pytest

from backtester.errors import StrategyError
from backtester.signals import indicators as ind
from tests.signals.rows import CLOSE, HIGH, LOW, NAN, VOLUME, close_to, equal


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
    equal(ind.obv([-5.0, -4.0], [10.0, 20.0]), [10.0, 30.0])


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


def test_cci_has_the_same_bits_however_long_the_row_before_the_window():
    """A sum lies in two parts that depend on how it came about; what they leave of a mean must not."""
    random = np.random.default_rng(0)
    for _ in range(2000):
        length, period = int(random.integers(4, 14)), int(random.integers(2, 5))
        cut = int(random.integers(0, length))
        close = np.round(random.choice([100.0, 50.1, 3.3]) + random.integers(0, 4, length) * 0.01, 2)
        high = np.round(close + random.integers(0, 2, length) * 0.01, 2)
        whole, late = ind.cci(high, close, close, period), ind.cci(high[cut:], close[cut:], close[cut:], period)
        assert whole[cut + period - 1 :].tobytes() == late[period - 1 :].tobytes()
