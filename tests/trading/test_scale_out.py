"""Scaling out: several targets, each for a part of the position. By hand."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from backtester.trading.execution import ExecutionSettings
from tests.trading.test_parts import trades
from tests.trading.tiny import Bar, Played, buy, market, play, sell, short

HALVES = ({"take_profit": 0.1, "fraction": 0.5}, {"take_profit": 0.2, "fraction": 0.5})
THIRD = ({"take_profit": 0.1, "fraction": 0.3}, {"take_profit": 0.2, "fraction": 0.3})


def targets(run: Played) -> list[tuple[object, ...]]:
    rows = sorted(run.rows("orders"), key=lambda row: row["order_id"])
    return [(row["limit"], row["quantity"], row["filled"], row["status"], row["reason"]) for row in rows if row["type"] == "target"]


def test_each_rung_sells_its_part_at_its_level():
    bars: list[Bar] = [100.0, 100.0, (105.0, 111.0, 105.0, 108.0), (108.0, 121.0, 108.0, 120.0)]
    run = play(market({"A": [bars]}), [buy(0)], scale_out=HALVES, stop_loss=0.1)
    level, next_level = 100.0 * (1 + 1 * 0.1), 100.0 * (1 + 1 * 0.2)
    assert run.fills()[1:] == [(2, "sell", "target", 50.0, level), (3, "sell", "target", 50.0, next_level)]
    assert targets(run) == [(level, 50.0, 50.0, "filled", None), (next_level, 50.0, 50.0, "filled", None)]
    assert run.orders()[1] == ("stop", "cancelled", "oco")
    assert trades(run, "trade_id", "order_id", "quantity", "pnl", "exit_reason") == [
        (1, 3, 50.0, 500.0, "target"),
        (2, 4, 50.0, 1000.0, "target"),
    ]


def test_two_rungs_may_fill_in_one_bar_each_at_its_level_or_both_at_the_open():
    inside = play(market({"A": [[100.0, 100.0, (105.0, 130.0, 105.0, 120.0)]]}), [buy(0)], scale_out=HALVES)
    assert [row[3:] for row in inside.fills()[1:]] == [(50.0, 100.0 * 1.1), (50.0, 100.0 * 1.2)]
    gap = play(market({"A": [[100.0, 100.0, 125.0]]}), [buy(0)], scale_out=HALVES)
    assert [row[3:] for row in gap.fills()[1:]] == [(50.0, 125.0), (50.0, 125.0)]
    between = play(market({"A": [[100.0, 100.0, (115.0, 125.0, 115.0, 120.0)]]}), [buy(0)], scale_out=HALVES)
    assert [row[3:] for row in between.fills()[1:]] == [(50.0, 115.0), (50.0, 100.0 * 1.2)]


def test_the_last_rung_sells_the_rest_only_where_the_parts_are_all():
    odd = play(market({"A": [[100.0, 100.0, 125.0]]}), [buy(0, size=5.0)], scale_out=HALVES)
    # floor(0.5 x 5) = 2, then all 3 that are left.
    assert [row[3] for row in odd.fills()[1:]] == [2.0, 3.0]
    part = play(market({"A": [[100.0, 100.0, 125.0]]}), [buy(0, size=10.0)], scale_out=THIRD)
    assert [row[3] for row in part.fills()[1:]] == [3.0, 3.0]
    assert trades(part, "quantity", "is_open") == [(3.0, False), (3.0, False), (4.0, True)]
    least = play(market({"A": [[100.0, 100.0, 125.0]]}), [buy(0, size=2.0)], scale_out=THIRD)
    assert [row[3] for row in least.fills()[1:]] == [1.0, 1.0]


def test_with_the_stop_in_the_bar_the_policy_says_who_is_first():
    bars: list[Bar] = [100.0, 100.0, (100.0, 112.0, 85.0, 100.0)]
    run = play(market({"A": [bars]}), [buy(0)], scale_out=HALVES, stop_loss=0.1)
    assert run.fills()[1:] == [(2, "sell", "stop", 100.0, 90.0)]
    assert run.column("fills", "ambiguous") == [False, True]
    assert targets(run)[0][3:] == ("cancelled", "oco")
    # The first rung, then the stop alone (110 is met, 120 is not): no longer ambiguous.
    best = play(market({"A": [bars]}), [buy(0)], scale_out=HALVES, stop_loss=0.1, intrabar="optimistic")
    assert best.fills()[1:] == [(2, "sell", "target", 50.0, 100.0 * 1.1), (2, "sell", "stop", 50.0, 90.0)]
    assert best.column("fills", "ambiguous") == [False, True, False]


def test_after_the_last_rung_the_stop_still_looks():
    bars: list[Bar] = [100.0, 100.0, (100.0, 125.0, 85.0, 100.0)]
    run = play(market({"A": [bars]}), [buy(0)], scale_out=THIRD, stop_loss=0.1, intrabar="optimistic")
    assert [row[2:4] for row in run.fills()[1:]] == [("target", 30.0), ("target", 30.0), ("stop", 40.0)]


def test_a_target_of_the_signals_own_takes_the_place_of_the_rungs():
    run = play(market({"A": [[100.0, 100.0, 125.0]]}), [buy(0, take_profit=0.15)], scale_out=HALVES)
    assert run.fills()[1:] == [(2, "sell", "target", 100.0, 125.0)]


def test_rungs_follow_what_is_entered_and_what_is_left():
    bars: list[Bar] = [100.0, 100.0, 100.0, 100.0, 125.0]
    run = play(market({"A": [bars]}), [buy(0), buy(1)], risk={"max_entries": 2}, scale_out=HALVES)
    assert [row[1] for row in targets(run)] == [100.0, 100.0]
    less = play(market({"A": [bars]}), [buy(0), sell(1, exit_fraction=0.7)], scale_out=HALVES)
    assert [(row[1], row[3]) for row in targets(less)] == [(30.0, "filled"), (30.0, "cancelled")]


def test_a_part_exit_takes_what_the_rungs_have_left():
    bars: list[Bar] = [100.0, 100.0, (100.0, 112.0, 100.0, 105.0), (125.0, 125.0, 125.0, 125.0)]
    run = play(market({"A": [bars]}), [buy(0), sell(1, exit_fraction=0.9, limit=124.0)], scale_out=THIRD)
    # 30 of 100 go at 110; at 125 the limit exit of 90 is first and finds 70.
    assert [row[2:] for row in run.fills()[1:]] == [("target", 30.0, 100.0 * 1.1), ("limit", 70.0, 125.0)]
    exit_order = next(row for row in run.rows("orders") if row["type"] == "limit")
    assert (exit_order["quantity"], exit_order["filled"], exit_order["status"]) == (90.0, 70.0, "filled")
    assert targets(run)[1][3:] == ("cancelled", "position_closed")


def test_a_short_scales_out_downwards():
    run = play(market({"A": [[100.0, 100.0, 75.0]]}), [short(0)], account={"allow_short": True}, scale_out=HALVES)
    assert [row[1:] for row in run.fills()[1:]] == [("buy", "target", 50.0, 75.0), ("buy", "target", 50.0, 75.0)]


def test_a_run_cut_between_the_rungs_is_the_same():
    bars = market({"A": [[100.0, 100.0], [112.0, 112.0], [90.0, 113.0], [125.0, 120.0]]})
    whole, cut = (play(bars, [buy(0), buy(2)], risk={"max_entries": 2}, cuts=cuts, scale_out=THIRD) for cuts in ((), (1, 2, 3)))
    assert len(whole.rows("trades")) == 3
    assert all(whole.frames[name].equals(cut.frames[name]) for name in whole.frames)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"scale_out": HALVES, "take_profit": 0.1}, "leave out one"),
        ({"scale_out": HALVES[::-1]}, "do not rise"),
        ({"scale_out": (*HALVES, {"take_profit": 0.3, "fraction": 0.1})}, "add up to 1.1"),
    ],
)
def test_rungs_that_cannot_be_are_refused(settings: dict[str, object], what: str):
    with pytest.raises(ValidationError, match=what):
        ExecutionSettings.model_validate(settings)
