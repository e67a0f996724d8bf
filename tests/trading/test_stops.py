"""Stops and targets: levels, gaps, ambiguous bars, what cancels what. A position is 100 shares entered at 100 unless said."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trading.tiny import Bar, Played, at, buy, market, play, sell, short


def held(*bars: Bar, wishes=(), **settings) -> Played:
    """A position entered at the open of slot 1, then the bars."""
    return play(market({"A": [[100.0, *bars]]}), [buy(0), *wishes], **settings)


def exits(run: Played) -> list[tuple[str, float]]:
    """(type, price) of the sales."""
    return [(kind, price) for _, side, kind, _, price in run.fills() if side == "sell"]


def test_a_stop_that_is_touched_fills_at_its_level():
    """Stop at 100 x 0.95 = 95; the low is 95 exactly."""
    assert exits(held(100.0, (99.0, 99.0, 95.0, 96.0), stop_loss=0.05)) == [("stop", 95.0)]


def test_a_stop_that_the_bar_gaps_through_fills_at_the_open():
    """I-12: never above the stop."""
    assert exits(held(100.0, (93.0, 99.0, 92.0, 98.0), stop_loss=0.05)) == [("stop", 93.0)]


def test_a_stop_pays_slippage():
    """95 x (1 - 10 / 10,000) = 94.905; the entry at 100.1 sets the stop at 100.1 x 0.95 = 95.095."""
    run = held(100.0, (99.0, 99.0, 90.0, 96.0), stop_loss=0.05, slippage={"bps": 10.0})
    assert run.column("orders", "stop")[-1] == pytest.approx(95.095, rel=1e-15)
    assert exits(run) == [("stop", pytest.approx(95.095 * 0.999, rel=1e-15))]


def test_a_target_needs_a_price_beyond_it():
    assert exits(held(100.0, (100.0, 110.0, 100.0, 105.0), take_profit=0.1 + 1e-16)) == []
    touched = held(100.0, (100.0, 110.0, 100.0, 105.0), wishes=[], take_profit=0.1)
    assert touched.column("orders", "limit")[-1] == 100.0 * (1.0 + 0.1)
    assert exits(touched) == []


def test_a_target_that_is_passed_fills_at_its_level_without_slippage():
    run = play(market({"A": [[100.0, 100.0, (100.0, 121.0, 100.0, 105.0)]]}), [buy(0, target_price=120.0)], slippage={"bps": 10.0})
    assert exits(run) == [("target", 120.0)]
    assert run.column("fills", "slippage")[1] == 0.0


def test_a_target_that_the_bar_gaps_through_fills_at_the_better_open():
    run = play(market({"A": [[100.0, 100.0, (125.0, 126.0, 100.0, 105.0)]]}), [buy(0, target_price=120.0)])
    assert exits(run) == [("target", 125.0)]


def test_a_bar_that_opens_at_the_target_fills_it():
    run = play(market({"A": [[100.0, 100.0, (120.0, 120.0, 119.0, 119.0)]]}), [buy(0, target_price=120.0)])
    assert exits(run) == [("target", 120.0)]


def test_a_bar_that_holds_both_is_ambiguous_and_fills_the_stop():
    run = held(100.0, (100.0, 120.0, 80.0, 100.0), stop_loss=0.1, take_profit=0.1)
    assert exits(run) == [("stop", 90.0)]
    assert run.column("fills", "ambiguous") == [False, True]
    assert run.orders() == [("market", "filled", None), ("stop", "filled", None), ("target", "cancelled", "oco")]


def test_a_bar_that_opens_beyond_one_of_them_is_not_ambiguous():
    low = held(100.0, (85.0, 120.0, 80.0, 100.0), stop_loss=0.1, take_profit=0.1)
    high = held(100.0, (115.0, 120.0, 80.0, 100.0), stop_loss=0.1, take_profit=0.1)
    assert (exits(low), low.column("fills", "ambiguous")) == ([("stop", 85.0)], [False, False])
    assert (exits(high), high.column("fills", "ambiguous")) == ([("target", 115.0)], [False, False])
    assert ("stop", "cancelled", "oco") in high.orders()


def test_they_act_on_the_entry_bar_after_its_open():
    assert held((100.0, 100.0, 94.0, 96.0), stop_loss=0.05).fills()[1] == (1, "sell", "stop", 100.0, 95.0)
    assert held((100.0, 120.0, 100.0, 100.0), take_profit=0.1).fills()[1][:3] == (1, "sell", "target")


def test_after_an_entry_at_a_close_they_act_from_the_next_bar_on():
    bars = [100.0, (100.0, 100.0, 80.0, 100.0), (100.0, 100.0, 94.0, 99.0)]
    run = play(market({"A": [bars]}), [buy(0)], fill="next_close", stop_loss=0.05)
    assert run.fills()[1] == (2, "sell", "stop", 100.0, 95.0)


def test_an_entry_open_at_the_target_itself_waits_for_a_higher_price():
    still = play(market({"A": [[100.0, 110.0]]}), [buy(0, target_price=110.0)])
    higher = play(market({"A": [[100.0, (110.0, 111.0, 110.0, 110.0)]]}), [buy(0, target_price=110.0)])
    below = play(market({"A": [[100.0, (112.0, 112.0, 110.0, 110.0)]]}), [buy(0, target_price=110.0)])
    assert (exits(still), exits(higher), exits(below)) == ([], [("target", 110.0)], [("target", 112.0)])


def test_an_entry_open_below_its_own_stop_is_stopped_at_that_open():
    run = play(market({"A": [[100.0, 90.0]]}), [buy(0, stop_price=95.0)])
    assert [(kind, price) for _, _, kind, _, price in run.fills()] == [("market", 90.0), ("stop", 90.0)]


def test_a_price_wins_over_a_fraction_and_the_signal_over_the_config():
    wishes = [buy(0, stop_loss=0.5, target_price=130.0, take_profit=0.9)]
    run = play(market({"A": [[100.0, 100.0]]}), wishes, stop_loss=0.1, take_profit=0.2)
    orders = run.rows("orders")
    assert [(row["type"], row["stop"], row["limit"]) for row in orders[1:]] == [("stop", 50.0, None), ("target", None, 130.0)]
    assert [(row["status"], row["reason"]) for row in orders[1:]] == [("open", None), ("open", None)]


def test_bars_without_volume_trigger_nothing():
    """I-11."""
    assert exits(held(100.0, (90.0, 120.0, 80.0, 100.0, 0.0), stop_loss=0.05, take_profit=0.05)) == []


def test_quotes_leave_stops_at_their_level():
    quotes = [[(99.0, 99.0, 101.0, 101.0)] * 3]
    bars = [100.0, 100.0, (100.0, 100.0, 90.0, 92.0)]
    run = play(market({"A": [bars]}, quotes={"A": quotes}), [buy(0)], price="quote", stop_loss=0.05)
    assert run.column("fills", "price") == [101.0, pytest.approx(101.0 * 0.95)]
    assert run.column("fills", "flags") == ["", ""]


def test_a_stop_cancels_the_exit_that_waits():
    """The exit waits for a close; the stop comes first in the bar."""
    bars = [100.0, 100.0, (100.0, 100.0, 80.0, 100.0)]
    run = play(market({"A": [bars]}), [buy(0), sell(1)], fill="next_close", stop_loss=0.1)
    assert run.orders() == [("market", "filled", None), ("stop", "filled", None), ("market", "cancelled", "position_closed")]
    assert run.reasons() == ["approved", "approved"]


def test_an_exit_cancels_stop_and_target():
    run = held(100.0, 100.0, wishes=[sell(1)], stop_loss=0.1, take_profit=0.1)
    assert run.orders()[1:3] == [("stop", "cancelled", "position_closed"), ("target", "cancelled", "position_closed")]


def test_they_are_good_till_cancelled():
    run = play(market({"A": [[100.0, 100.0], [(100.0, 100.0, 94.0, 95.0)]]}), [buy(0)], stop_loss=0.05, time_in_force="day")
    assert exits(run) == [("stop", 95.0)]


def test_a_cut_entry_is_protected_in_its_real_size():
    """1,000 pay for 9 x 110 = 990."""
    run = play(market({"A": [[100.0, 110.0]]}), [buy(0, size=10.0)], cash=1000.0, stop_loss=0.1)
    assert run.column("orders", "quantity") == [10.0, 9.0]


def test_their_orders_are_made_when_the_entry_fills():
    at_open = held(100.0, stop_loss=0.5, take_profit=0.5)
    at_close = held(100.0, stop_loss=0.5, take_profit=0.5, fill="next_close")
    assert [(row["type"], row["ts"]) for row in at_open.rows("orders")] == [("market", at(1)), ("stop", at(1)), ("target", at(1))]
    assert [(row["type"], row["ts"]) for row in at_close.rows("orders")] == [("market", at(1)), ("stop", at(2)), ("target", at(2))]
    assert at_open.column("orders", "order_id") == [1, 2, 3]


def test_a_very_far_stop_changes_nothing():
    """I-37."""
    bars = [(100.0, 105.0, 95.0, 101.0), (101.0, 130.0, 70.0, 99.0), (99.0, 101.0, 98.0, 100.0)]
    with_stop, without = held(*bars, wishes=[sell(2)], stop_loss=0.999), held(*bars, wishes=[sell(2)])
    for table in ("trades", "equity", "decisions"):
        assert with_stop.frames[table].drop("order_id", strict=False).equals(without.frames[table].drop("order_id", strict=False))


def doubts(run: Played) -> list[tuple[Any, ...]]:
    """(type, price, other_type, other, pnl, pnl_other) of every row of the table ambiguity, whose bounds are the lower and the higher."""
    rows = run.rows("ambiguity")
    assert all(sorted((row["pnl"], row["pnl_other"])) == [row["pnl_low"], row["pnl_high"]] for row in rows)
    kept = ("order_id", "ts", "type", "quantity", "price", "other", "other_type")
    assert [[row[name] for name in kept] for row in rows] == [[row[name] for name in kept] for row in run.rows("fills") if row["ambiguous"]]
    return [(row["type"], row["price"], row["other_type"], row["other"], row["pnl"], row["pnl_other"]) for row in rows]


BOTH = [100.0, 100.0, (100.0, 112.0, 88.0, 95.0)]


def test_an_ambiguous_fill_says_what_it_might_have_been():
    """100 shares at 100, stop 90 and target 110, 0.1 % of commission: 10 at the entry, 9 at the stop, 11 at the target."""
    costs = {"commission": {"bps": 10.0}, "stop_loss": 0.1, "take_profit": 0.1}
    stopped = play(market({"A": [BOTH]}), [buy(0)], **costs)
    assert doubts(stopped) == [("stop", 90.0, "target", pytest.approx(110.0), -1019.0, 979.0)]
    taken = play(market({"A": [BOTH]}), [buy(0)], intrabar="optimistic", **costs)
    assert doubts(taken) == [("target", pytest.approx(110.0), "stop", 90.0, 979.0, -1019.0)]


def test_the_other_stop_slips_and_the_other_target_does_not():
    """At 101 in, 1 % of slippage: a stop at 90 is worth 89.1."""
    levels = {"stop_price": 90.0, "target_price": 110.0}
    run = play(market({"A": [BOTH]}), [buy(0, **levels)], slippage={"bps": 100.0}, intrabar="optimistic")
    assert doubts(run) == [("target", 110.0, "stop", 89.1, 900.0, -1190.0)]
    run = play(market({"A": [BOTH]}), [buy(0, **levels)], slippage={"bps": 100.0})
    assert doubts(run) == [("stop", 89.1, "target", 110.0, -1190.0, 900.0)]


def test_a_short_s_other_is_mirrored():
    run = play(market({"A": [BOTH]}), [short(0, stop_price=110.0, target_price=90.0, trailing_amount=30.0)], account={"allow_short": True})
    assert doubts(run) == [("trailing", 110.0, "target", 90.0, -1000.0, 1000.0)]


def test_an_entry_inside_a_bar_might_have_been_held():
    """A stop entry at 105 in a bar that touches the stop at 95 and closes at 104; where it reaches the target at 112 that is the other."""
    bar = (100.0, 110.0, 95.0, 104.0)
    run = play(market({"A": [[100.0, bar]]}), [buy(0, entry_stop=105.0, stop_price=95.0, target_price=112.0)])
    assert doubts(run) == [("stop", 95.0, "held", 104.0, -1000.0, -100.0)]
    run = play(market({"A": [[100.0, (100.0, 113.0, 95.0, 104.0)]]}), [buy(0, entry_stop=105.0, stop_price=95.0, target_price=112.0)])
    assert doubts(run) == [("stop", 95.0, "target", 112.0, -1000.0, 700.0)]


def test_a_fill_that_is_not_ambiguous_has_no_other():
    run = play(market({"A": [BOTH]}), [buy(0, stop_price=90.0)])
    assert (run.column("fills", "other"), run.column("fills", "other_type"), run.rows("ambiguity")) == ([None] * 2, [None] * 2, [])
