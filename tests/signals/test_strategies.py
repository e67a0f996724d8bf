"""The six built-in strategies on prices made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from backtester.columns import OHLCV
from backtester.signals import batch
from backtester.signals.bars import Bars
from backtester.signals.strategies.buy_and_hold import BuyAndHold
from backtester.signals.strategies.cross_sectional_momentum import CrossSectionalMomentum
from backtester.signals.strategies.opening_range_breakout import OpeningRangeBreakout
from backtester.signals.strategies.rsi_reversion import RsiReversion
from backtester.signals.strategies.sma_crossover import SmaCrossover
from backtester.signals.strategies.vwap_reversion import VwapReversion
from backtester.signals.strategy import Strategy, Wishes, checked
from tests.market.days import sessions
from tests.signals.views import bars_of, grid_of, tape_as, view_of

NAN = float("nan")


def wishes(strategy: Strategy, bars: Bars) -> Wishes:
    return checked(strategy.signals(bars), bars, "s")


def marks(found: np.ndarray) -> list[str]:
    """Booleans drawn as text."""
    return ["".join("x" if value else "." for value in row) for row in found]


def on_clock(close: np.ndarray, minutes: list[int], first: int, lookback: int) -> Bars:
    """Symbols side by side on the minutes of some days, of which the first ones are history."""
    grid = grid_of(sessions(minutes), dict.fromkeys(OHLCV, close))
    return batch.clock(view_of(tape_as(grid, "1m"), first, 9), np.arange(len(close)), lookback, {}).bars


def test_sma_crossover_buys_and_sells_where_the_averages_cross() -> None:
    """Averages of 2: - 4.5 3.5 3.5 5 4.5 2; of 3: - - 4 3.67 4.33 4.33 3.33. Above from the fifth bar on, below on the seventh."""
    found = wishes(SmaCrossover(fast=2, slow=3), bars_of(close=[[5.0, 4, 3, 4, 6, 3, 1]]))
    assert marks(found.booleans["enter_long"]) == ["....x.."]
    assert marks(found.booleans["exit_long"]) == ["......x"]


def test_sma_crossover_sees_a_cross_on_the_sessions_first_bar() -> None:
    """With the bar before it and the averages there; without history the same bars cross nothing."""
    assert SmaCrossover(fast=2, slow=3).lookback == 3
    found = wishes(SmaCrossover(fast=2, slow=3), bars_of(lookback=3, close=[[4.0, 3, 2, 9, 9]]))
    assert marks(found.booleans["enter_long"]) == ["x."]
    assert marks(wishes(SmaCrossover(fast=2, slow=3), bars_of(close=[[9.0, 9]])).booleans["enter_long"]) == [".."]


def test_sma_crossover_crosses_from_equal_averages_and_not_into_them() -> None:
    """Flat, then up: equal on the bar before is a cross. Coming back to equal is none, falling below it is."""
    found = wishes(SmaCrossover(fast=1, slow=2), bars_of(close=[[5.0, 5, 7, 7, 6]]))
    assert marks(found.booleans["enter_long"]) == ["..x.."]
    assert marks(found.booleans["exit_long"]) == ["....x"]


def test_rsi_reversion_buys_below_the_low_and_sells_above_the_high() -> None:
    """Wilder over 2 of +1 -1 -1 -1 +4: gains .5 .25 .125 2.0625 and losses .5 .75 .875 .4375, so 50, 25, 12.5 and 82.5."""
    found = wishes(RsiReversion(period=2), bars_of(close=[[10.0, 11, 10, 9, 8, 12]]))
    assert marks(found.booleans["enter_long"]) == ["...xx."]
    assert marks(found.booleans["exit_long"]) == [".....x"]
    narrow = wishes(RsiReversion(period=2, low=12.5, high=82.5), bars_of(close=[[10.0, 11, 10, 9, 8, 12]]))
    assert marks(narrow.booleans["enter_long"] | narrow.booleans["exit_long"]) == ["......"]


def test_rsi_reversion_wishes_nothing_before_the_warm_up() -> None:
    assert RsiReversion(period=14).lookback == 140
    found = wishes(RsiReversion(period=5), bars_of(close=[[5.0, 4, 3, 2, 1]]))
    assert not found.booleans["enter_long"].any()


OPENING = {
    "high": [[10.0, 12, 11, 12, 13, 13, 14]],
    "low": [[9.0, 8, 10, 11, 11, 7, 12]],
    "close": [[9.5, 11, 10.5, 12, 12.5, 7.5, 13]],
}


def test_opening_range_breakout_buys_the_close_that_crosses_the_range() -> None:
    """Three minutes from 8 to 12: the fourth close only touches 12, the fifth crosses it, the sixth is below 8."""
    found = wishes(OpeningRangeBreakout(minutes=3), bars_of(**OPENING))
    assert marks(found.booleans["enter_long"]) == ["....x.x"]
    assert marks(found.booleans["exit_long"]) == [".....x."]
    np.testing.assert_array_equal(found.numbers["stop_price"], [[NAN] * 4 + [8, NAN, 8]])


def test_opening_range_breakout_holds_at_the_low_of_the_range() -> None:
    found = wishes(OpeningRangeBreakout(minutes=2), bars_of(close=[[10.0, 8, 9, 8, 7.99]]))
    assert marks(found.booleans["exit_long"]) == ["....x"]


def test_opening_range_breakout_knows_nothing_of_the_day_before() -> None:
    """History columns, which other parts of a config may ask for, are no part of the range."""
    longer = {name: [[50.0, 1.0, 20.0, *row] for row in rows] for name, rows in OPENING.items()}
    times = np.array([[1.0, 2.0, 390.0, 1, 2, 3, 4, 5, 6, 7]])
    found = wishes(OpeningRangeBreakout(minutes=3), bars_of(lookback=3, minutes_from_open=times, **longer))
    assert marks(found.booleans["enter_long"]) == ["....x.x"]
    np.testing.assert_array_equal(found.numbers["stop_price"], [[NAN] * 4 + [8, NAN, 8]])


def test_opening_range_breakout_waits_until_the_range_is_complete() -> None:
    """Its longest bar ends after the range: no bar lies in it, and nothing is wished."""
    found = wishes(OpeningRangeBreakout(minutes=3), bars_of(minutes_from_open=np.array([[5.0, 10, 15]]), close=[[1.0, 2, 3]]))
    assert marks(found.booleans["enter_long"] | found.booleans["exit_long"]) == ["..."]


def test_opening_range_breakout_of_a_thin_symbol_takes_the_bars_there_are() -> None:
    times = np.array([[2.0, 5.0, 6.0, NAN]])
    found = wishes(OpeningRangeBreakout(minutes=3), bars_of(minutes_from_open=times, close=[[10.0, 11, 9, NAN]]))
    assert marks(found.booleans["enter_long"]) == [".x.."]
    assert marks(found.booleans["exit_long"]) == ["..x."]


def test_vwap_reversion_buys_below_the_sessions_average_and_sells_at_it() -> None:
    """Average prices 100, 99, 98, 98.5: 97 and 96 are more than 1 % below, 100 is not; the history of 500 does not count."""
    bars = bars_of(lookback=1, close=[[500.0, 100, 98, 96, 100]], volume=[[9.0, 1, 1, 1, 1]])
    found = wishes(VwapReversion(distance=0.01, settle_minutes=0), bars)
    assert marks(found.booleans["enter_long"]) == [".xx."]
    assert marks(found.booleans["exit_long"]) == ["x..x"]


def test_vwap_reversion_lets_the_session_settle_before_it_buys() -> None:
    bars = bars_of(close=[[100.0, 90, 80, 70]])
    found = wishes(VwapReversion(distance=0.01, settle_minutes=3), bars)
    assert marks(found.booleans["enter_long"]) == ["...x"]


def test_vwap_reversion_wishes_nothing_while_nothing_has_traded() -> None:
    found = wishes(VwapReversion(settle_minutes=0), bars_of(close=[[100.0, 90, 80]], volume=[[0.0, 0, 5]]))
    assert marks(found.booleans["enter_long"] | found.booleans["exit_long"]) == ["..x"]


def test_buy_and_hold_wishes_once_a_session() -> None:
    found = wishes(BuyAndHold(), bars_of(lookback=2, close=[[1.0, 2, 3, 4, 5], [NAN, NAN, 7, 8, NAN]]))
    assert marks(found.booleans["enter_long"]) == ["x..", "x.."]
    assert set(found.booleans) == {"enter_long"}


MOMENTUM = CrossSectionalMomentum(interval="1m", period=2, rebalance=2, top=1)


def test_cross_sectional_momentum_holds_the_symbol_with_the_highest_return() -> None:
    """Ranked on the second, fourth and sixth minute by the return over two: A +20 % and B +5 %; A -10 % and B 0 %; both below 0."""
    close = np.array([[10.0, 12, 12, 11, 10.8, 10], [20.0, 21, 21, 21, 21, 20]])
    close = np.concatenate([[[10.0, 10], [20.0, 20]], close], axis=1)
    found = wishes(MOMENTUM, on_clock(close, [2, 6], 1, MOMENTUM.lookback))
    assert marks(found.booleans["enter_long"][0]) == [".x....", "......"]
    assert marks(found.booleans["exit_long"][0]) == ["...x.x", ".x.x.x"]


def test_cross_sectional_momentum_ranks_a_gap_by_the_price_before_it_but_signals_on_real_bars_alone() -> None:
    """B has no bar on the fourth minute: its return over two is 21 / 20 - 1, above A's; A is sold, B not bought."""
    close = np.array([[10.0, 10, 10, 10], [20.0, 20, 21, NAN]])
    found = wishes(MOMENTUM, on_clock(close, [2, 2], 1, 2))
    assert marks(found.booleans["enter_long"][0]) == ["..", ".."]
    assert marks(found.booleans["exit_long"][0]) == [".x", ".."]


def test_cross_sectional_momentum_breaks_ties_by_name_and_holds_as_many_as_asked() -> None:
    close = np.array([[10.0, 10, 11, 11], [20.0, 20, 22, 22], [5.0, 5, 6, 6]])
    for top, expected in ((1, ["..", "..", ".x"]), (2, [".x", "..", ".x"]), (3, [".x", ".x", ".x"]), (9, [".x", ".x", ".x"])):
        strategy = CrossSectionalMomentum(interval="1m", period=2, rebalance=2, top=top)
        assert marks(wishes(strategy, on_clock(close, [2, 2], 1, 2)).booleans["enter_long"][0]) == expected


def test_cross_sectional_momentum_does_not_buy_what_has_no_history() -> None:
    close = np.array([[NAN, NAN, 11, 12], [20.0, 20, 20, 20]])
    found = wishes(MOMENTUM, on_clock(close, [2, 2], 1, 2))
    assert not found.booleans["enter_long"].any()


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (SmaCrossover, {"fast": 0}), (SmaCrossover, {"slow": 1}), (SmaCrossover, {"interval": "5x"}), (RsiReversion, {"period": 1}),
        (RsiReversion, {"low": -1.0}), (RsiReversion, {"high": 101.0}), (OpeningRangeBreakout, {"minutes": 0.0}),
        (VwapReversion, {"distance": 1.0}), (VwapReversion, {"distance": 0.0}), (CrossSectionalMomentum, {"top": 0}),
    ],
)  # fmt: skip
def test_settings_out_of_bounds_are_refused(kind: type[Strategy], params: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        kind(**params)
