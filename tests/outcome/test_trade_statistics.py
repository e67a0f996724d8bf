"""Statistics of groups of trades: by hand, by a slow loop, by the clock of the exchange."""

from __future__ import annotations

import math
import statistics as plain
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from backtester.outcome.per_group import Trips
from backtester.outcome.trade_statistics import MIN_TRADES
from tests.outcome.rows import DAY, MINUTE, OPEN, measured, trade

HOUR = 60 * MINUTE


def of(*trades: pl.DataFrame, zone: str = "UTC") -> dict[str, Any]:
    return measured(trades=pl.concat(trades), zone=zone)


def test_gains_and_losses_by_hand() -> None:
    found = of(trade(30.0), trade(-10.0), trade(10.0), trade(0.0), trade(-40.0), trade(-5.0, is_open=True))
    assert (found["gross_profit"], found["gross_loss"]) == (40.0, -50.0)
    assert (found["avg_win"], found["avg_loss"], found["payoff_ratio"]) == (20.0, -25.0, 0.8)
    assert found["avg_trade_bps"] == pytest.approx((3.0 - 1.0 + 1.0 + 0.0 - 4.0) / 5 * 1e4)


def test_without_a_trade_figures_are_null() -> None:
    found = measured()
    assert (found["gross_profit"], found["gross_loss"], found["max_losing_trades"]) == (0.0, 0.0, 0)
    for name in ("avg_win", "avg_loss", "payoff_ratio", "avg_trade_bps", "sqn", "fee_ratio", "slippage_ratio"):
        assert found[name] is None


def test_without_a_losing_trade_there_is_no_payoff_ratio() -> None:
    found = of(trade(5.0), trade(7.0))
    assert (found["avg_loss"], found["payoff_ratio"], found["gross_loss"]) == (None, None, 0.0)


@given(some.lists(some.sampled_from([-1.0, 0.0, 2.0]), min_size=1, max_size=30))
def test_a_losing_streak_is_in_the_order_of_closing_and_ends_with_any_other_trade(wins: list[float]) -> None:
    words = "".join("x" if pnl < 0 else " " for pnl in wins).split()
    assert of(*(trade(pnl) for pnl in wins))["max_losing_trades"] == max(map(len, words), default=0)


def test_open_trades_do_not_break_a_streak_nor_count_in_it() -> None:
    assert of(trade(-1.0), trade(-1.0, is_open=True), trade(-1.0))["max_losing_trades"] == 2


def test_the_system_quality_number_is_that_of_its_formula() -> None:
    wins = np.random.default_rng(3).normal(4.0, 30.0, 60).round(6).tolist()
    wanted = math.sqrt(60) * plain.fmean(wins) / plain.stdev(wins)
    assert of(*(trade(pnl) for pnl in wins))["sqn"] == pytest.approx(wanted, rel=1e-12)


def test_the_system_quality_number_has_a_meaning_from_twenty_trades_on() -> None:
    assert of(*(trade(pnl) for pnl in [1.0, 2.0] * 10))["sqn"] is not None


@pytest.mark.parametrize("wins", [[1.0, 2.0] * 9, [1.0] * MIN_TRADES, [0.0] * MIN_TRADES], ids=["too few", "constant", "nothing"])
def test_without_meaning_the_system_quality_number_is_null(wins: list[float]) -> None:
    assert of(*(trade(pnl) for pnl in wins))["sqn"] is None


def test_a_trade_without_a_return_leaves_its_groups_without_a_mean_return() -> None:
    found = of(trade(1.0, symbol="A", **{"return": None}), trade(1.0, symbol="B"))
    assert found["avg_trade_bps"] is None
    assert (found["by_symbol"]["A"]["avg_trade_bps"], found["by_symbol"]["B"]["avg_trade_bps"]) == (None, 1000.0)


def test_long_and_short_stand_apart() -> None:
    found = of(trade(3.0), trade(-1.0, direction="short"), trade(5.0, direction="short"))["by_direction"]
    assert {name: (figures["trades"], figures["net_profit"]) for name, figures in found.items()} == {"long": (1, 3.0), "short": (2, 4.0)}


def test_weekday_and_hour_are_those_of_the_entry_on_the_clocks_of_the_exchange() -> None:
    # 13:30 UTC of Wednesday 2025-07-02 is 09:30 in New York; 02:00 UTC of the next day is still Wednesday there, 22:00.
    trades = [trade(1.0), trade(2.0, entry=OPEN + 12 * HOUR + 30 * MINUTE), trade(4.0, entry=OPEN + 5 * DAY)]
    found = of(*trades, zone="America/New_York")
    assert {name: figures["net_profit"] for name, figures in found["by_weekday"].items()} == {"monday": 4.0, "wednesday": 3.0}
    assert {name: figures["net_profit"] for name, figures in found["by_hour"].items()} == {"09": 5.0, "22": 2.0}
    assert set(of(*trades)["by_hour"]) == {"02", "13"}


def test_hours_follow_daylight_saving() -> None:
    # 14:30 UTC is 10:30 in New York on Friday 2025-10-31, 09:30 on Monday 2025-11-03.
    friday = OPEN + 121 * DAY + HOUR
    assert set(of(trade(1.0, entry=friday), zone="America/New_York")["by_hour"]) == {"10"}
    assert set(of(trade(1.0, entry=friday + 3 * DAY), zone="America/New_York")["by_hour"]) == {"09"}


def test_weekdays_stand_in_the_order_of_the_week_and_hours_in_that_of_the_day() -> None:
    trades = [trade(1.0, entry=OPEN + days * DAY + hours * HOUR) for days, hours in ((4, 9), (0, 3), (5, 0), (1, -13))]
    found = of(*trades)
    assert list(found["by_weekday"]) == ["monday", "wednesday", "thursday", "sunday"]
    assert list(found["by_hour"]) == ["00", "13", "16", "22"]


def test_a_group_of_open_trades_alone_has_no_figures_of_closed_ones() -> None:
    found = of(trade(7.0, is_open=True, symbol="B"), trade(1.0))["by_symbol"]["B"]
    assert (found["net_profit"], found["trades"], found["open_trades"], found["fees"]) == (7.0, 0, 1, 0.5)
    assert [found[name] for name in ("win_rate", "expectancy", "best_trade", "worst_trade", "avg_mae")] == [None] * 5


def test_sums_of_money_are_exact_at_any_size() -> None:
    """I-04: three thousand billion and one millionth."""
    large = [2_999_999_999_999.5, 0.000001, 2_999_999_999_999.5, -0.000002]
    trades = pl.concat([trade(0.0)] * 4).with_columns(pnl=pl.Series(large), fees=pl.lit(0.1))
    trips = Trips()
    trips.add(trades)
    assert trips.totals() == (sum(round(pnl * 1e6) for pnl in large), 400_000)
    found, _ = trips.figures()
    assert found["net_profit"] == sum(round(pnl * 1e6) for pnl in large) / 1e6
    assert found["fees"] == 0.4


def test_a_millionth_is_not_lost_beside_thousands_of_billions() -> None:
    trips = Trips()
    trips.add(pl.concat([trade(0.0)] * 3).with_columns(pnl=pl.Series([3e12, 0.000001, -3e12])))
    assert trips.figures()[0]["net_profit"] == 0.000001


ONE = some.tuples(
    some.integers(-90_000_000, 90_000_000), some.sampled_from("ABC"), some.sampled_from(["x", "y"]), some.sampled_from(["long", "short"]),
    some.integers(0, 20_000), some.integers(0, 3000), some.booleans(),
)  # fmt: skip


@settings(max_examples=40)
@given(some.lists(ONE, min_size=1, max_size=60), some.integers(1, 20))
def test_every_group_is_what_a_slow_loop_says(drawn: list[Any], step: int) -> None:
    rows = [
        trade(pnl / 1e6, symbol=symbol, strategy=strategy, direction=side, entry=OPEN + minute * MINUTE, minutes=hold, is_open=is_open)
        for pnl, symbol, strategy, side, minute, hold, is_open in drawn
    ]
    table, trips = pl.concat(rows), Trips()
    for start in range(0, table.height, step):
        trips.add(table.slice(start, step))
    _, groups = trips.figures()
    for group, key in {"symbol": 1, "strategy": 2, "direction": 3}.items():
        assert list(groups[group]) == sorted({row[key] for row in drawn})
        for name, found in groups[group].items():
            mine = [row for row in drawn if row[key] == name]
            closed = [row[0] / 1e6 for row in mine if not row[6]]
            assert found["net_profit"] == sum(row[0] for row in mine) / 1e6
            assert (found["trades"], found["open_trades"]) == (len(closed), len(mine) - len(closed))
            assert found["best_trade"] == max(closed, default=None)
            assert found["worst_trade"] == min(closed, default=None)
            if closed:
                assert found["expectancy"] == pytest.approx(plain.fmean(closed), rel=1e-9, abs=1e-12)
                assert found["win_rate"] == sum(pnl > 0 for pnl in closed) / len(closed)
            if len(closed) >= MIN_TRADES and plain.stdev(closed) > 0:
                assert found["sqn"] == pytest.approx(math.sqrt(len(closed)) * plain.fmean(closed) / plain.stdev(closed), rel=1e-9, abs=1e-9)
