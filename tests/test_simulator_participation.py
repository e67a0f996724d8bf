"""The slow simulator where a bar fills a part of its volume only: literal bars, sums done by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.scene import Action, Order, Result, Scene
from tests.simulator import simulate
from tests.tiny import Row, buy, fills, flat, reasons, scene, sell

HALF = {"max_participation": 0.5}


def thin(price: float = 100.0, volume: float = 120.0) -> Row:
    """A bar of which half is 60 shares."""
    return flat(price, volume)


def shown(order: Order) -> tuple[object, ...]:
    return order.type, order.quantity, order.filled, order.status, order.reason


def run(*rows: Row, signals: list[Any], **more: Any) -> Result:
    return simulate(scene([thin(), *rows], signals=signals, **{**HALF, **more}))


def test_an_order_takes_what_the_bar_has_left_and_works_on():
    result = run(thin(), thin(110.0), thin(), signals=[buy(0, size=130.0, stop_price=50.0)])
    assert fills(result) == [(1, "market", 60.0, 100.0), (2, "market", 60.0, 110.0), (3, "market", 10.0, 100.0)]
    assert [shown(order) for order in result.orders] == [("market", 130.0, 130.0, "filled", ""), ("stop", 130.0, 0.0, "open", "")]
    (trade,) = result.trades
    # 60 at 100, 60 at 110, 10 at 100 are 13,600 for 130
    assert (trade["entry"], trade["quantity"], trade["entry_price"]) == (1, 130.0, pytest.approx(13_600.0 / 130.0, rel=1e-15))


def test_later_fills_of_an_order_move_no_level_and_count_as_one_entry():
    signals = [buy(0, size=100.0, stop_loss=0.1), buy(2, size=10.0)]
    result = run(thin(), thin(110.0), thin(), signals=signals, max_entries=2)
    assert [(order.type, order.stop, order.quantity) for order in result.orders[1:2]] == [("stop", 90.0, 110.0)]
    assert reasons(result) == ["approved", "approved"]


def test_a_bar_that_cannot_fill_a_lot_fills_nothing():
    result = run(flat(100.0, 1.9), thin(), signals=[buy(0, size=10.0)])
    assert fills(result) == [(2, "market", 10.0, 100.0)]


def test_what_a_bar_can_fill_is_shared_in_the_order_of_the_fills():
    # the exit comes first: 60 sold, nothing is left for the entry of the other strategy
    made = scene([thin()] * 5, signals=[buy(0, size=60.0), sell(1), replace(buy(1, size=20.0), strategy="r")], **HALF)
    result = simulate(replace(made, strategies=("r", "s")))
    assert [(f["t"], f["order"].strategy, f["quantity"]) for f in result.fills] == [(1, "s", 60.0), (2, "s", 60.0), (3, "r", 20.0)]


def test_an_order_that_expires_or_is_cancelled_after_a_part_is_partial():
    expired = simulate(scene([thin(), thin()], [thin()], signals=[buy(0)], time_in_force="day", **HALF))
    assert [shown(order) for order in expired.orders] == [("market", 100.0, 60.0, "partial", "expired")]
    assert (reasons(expired), expired.trades[0]["quantity"]) == (["expired"], 60.0)
    closed = run(thin(), flat(90.0, 10.0), flat(90.0, 1000.0), signals=[buy(0), sell(1)])
    assert [shown(order) for order in closed.orders] == [
        ("market", 100.0, 60.0, "partial", "position_closed"), ("market", 60.0, 60.0, "filled", ""),
    ]  # fmt: skip


def test_what_is_left_of_a_limit_order_keeps_its_limit():
    result = run((100.0, 100.0, 97.0, 99.0, 120.0), thin(99.0), thin(97.0), signals=[buy(0, limit=98.0)])
    assert fills(result) == [(1, "limit", 60.0, 98.0), (3, "limit", 40.0, 97.0)]


def test_a_stop_entry_works_on_at_the_market_with_slippage():
    rows = [(100.0, 103.0, 99.0, 99.0, 120.0), thin(99.0)]
    result = run(*rows, signals=[buy(0, entry_stop=102.0)], slippage_bps=100.0)
    assert fills(result) == [(1, "stop", 60.0, 102.0 * 1.01), (2, "stop", 40.0, 99.0 * 1.01)]
    unlucky = run((100.0, 103.0, 99.0, 99.0, 1.0), thin(90.0), signals=[buy(0, entry_stop=102.0, size=10.0)])
    assert fills(unlucky) == [(2, "stop", 10.0, 90.0)]


def test_a_target_works_on_as_a_target_and_each_part_is_a_trade():
    result = run(thin(), thin(), thin(120.0), thin(100.0), thin(120.0), signals=[buy(0, target_price=110.0)], stop_loss=0.5)
    assert fills(result)[2:] == [(3, "target", 60.0, 120.0), (5, "target", 40.0, 120.0)]
    assert [shown(order) for order in result.orders[1:]] == [
        ("stop", 40.0, 0.0, "cancelled", "oco"), ("target", 100.0, 100.0, "filled", ""),
    ]  # fmt: skip
    assert [(t["trade_id"], t["quantity"], t["exit_reason"], t["order"].order_id) for t in result.trades] == [
        (1, 60.0, "target", 3), (2, 40.0, "target", 3),
    ]  # fmt: skip


def test_what_is_left_of_a_stop_leaves_at_the_market_whatever_the_price_does():
    signals = [buy(0, stop_price=95.0, target_price=120.0), sell(3), sell(2, limit=200.0)]
    result = run(flat(100.0, 1e6), thin(), thin(94.0), (130.0, 140.0, 130.0, 130.0, 60.0), thin(), signals=signals)
    assert fills(result)[1:] == [(3, "stop", 60.0, 94.0), (4, "stop", 30.0, 130.0), (5, "stop", 10.0, 100.0)]
    assert [shown(order) for order in result.orders[1:]] == [
        ("stop", 100.0, 100.0, "filled", ""), ("target", 100.0, 0.0, "cancelled", "oco"),
        ("limit", 100.0, 0.0, "cancelled", "position_closed"),
    ]  # fmt: skip
    assert reasons(result) == ["approved", "approved", "no_position"]
    assert [trade["exit_reason"] for trade in result.trades] == ["stop"] * 3


def test_what_is_left_of_a_stop_outlives_the_day():
    made = scene([thin(), flat(100.0, 1e6), thin(94.0)], [flat(94.0, 1e6)], signals=[buy(0, stop_price=95.0)], time_in_force="day", **HALF)
    assert fills(simulate(made))[1:] == [(2, "stop", 60.0, 94.0), (3, "stop", 40.0, 94.0)]


def test_a_stop_that_finds_no_lot_stays_a_stop():
    result = run(flat(100.0, 1e6), flat(94.0, 1.0), thin(100.0), (100.0, 100.0, 90.0, 90.0, 1e6), signals=[buy(0, stop_price=95.0)])
    assert fills(result)[1:] == [(4, "stop", 100.0, 95.0)]


def test_the_close_of_a_session_is_filled_in_whole_and_says_where_the_bar_was_too_small():
    result = run(flat(100.0, 1e6), thin(), signals=[buy(0)], flat_at_close=True)
    assert fills(result)[1:] == [(2, "close", 100.0, 100.0)]
    assert result.fills[1]["flags"] == ["over_participation"]
    enough = run(flat(100.0, 1e6), flat(100.0, 200.0), signals=[buy(0)], flat_at_close=True)
    assert enough.fills[1]["flags"] == []


def test_after_a_rung_that_could_not_fill_in_whole_nothing_else_looks_at_the_bar():
    rungs = ((0.1, 0.7), (0.2, 0.3))
    result = run(flat(100.0, 1e6), thin(130.0), thin(130.0), signals=[buy(0)], scale_out=rungs)
    # 60 of 70; then 10 and 30 of the 60 that the next bar can fill
    assert fills(result)[1:] == [(2, "target", 60.0, 130.0), (3, "target", 10.0, 130.0), (3, "target", 30.0, 130.0)]


CALLED = {"margin_call": "liquidate", "leverage": 4.0, "cash": 5_000.0}


def test_a_margin_call_takes_what_its_bars_have_left_and_stays_a_call():
    # 100 at 100 with 5,000: at 66 equity is 1,600, a quarter of 6,600 is 1,650; 60, then nothing of a lot, then 40
    rows = [flat(100.0, 1e6), flat(66.0, 1e6), thin(66.0), flat(65.0, 1.0), thin(64.0)]
    result = run(*rows, signals=[buy(0, stop_price=1.0), sell(3, 66.0), sell(2, limit=200.0, exit_fraction=0.5)], **CALLED)
    assert fills(result)[1:] == [(3, "margin_call", 60.0, 66.0), (5, "margin_call", 40.0, 64.0)]
    assert [shown(order) for order in result.orders[1:]] == [
        ("stop", 40.0, 0.0, "cancelled", "position_closed"), ("limit", 50.0, 0.0, "cancelled", "replaced"),
        ("margin_call", 100.0, 100.0, "filled", ""),
    ]  # fmt: skip
    assert reasons(result) == ["approved", "approved", "no_position"]
    assert [(trade["quantity"], trade["pnl"], trade["exit_reason"]) for trade in result.trades] == [
        (60.0, -2_040_000_000, "margin_call"), (40.0, -1_440_000_000, "margin_call"),
    ]  # fmt: skip


def test_a_margin_call_cancels_an_entry_that_has_filled_in_part_and_leaves_what_it_bought():
    # 60 of 100 at 100 with 2,000: at 88 equity is 1,280, a quarter of 5,280 is 1,320
    result = run(thin(), flat(88.0, 0.0), flat(88.0, 1e6), signals=[buy(0)], **{**CALLED, "cash": 2_000.0, "leverage": 5.0})
    assert [shown(order) for order in result.orders] == [
        ("market", 100.0, 60.0, "partial", "margin_call"), ("margin_call", 60.0, 60.0, "filled", ""),
    ]  # fmt: skip
    assert (reasons(result), fills(result)[1:]) == (["margin_call"], [(3, "margin_call", 60.0, 88.0)])


def test_a_margin_call_that_has_filled_in_part_expires_with_the_day_and_is_made_anew():
    rows = [thin(), flat(100.0, 1e6), flat(66.0, 1e6), thin(66.0)]
    result = simulate(scene(rows, [flat(66.0, 1e6)] * 2, signals=[buy(0)], time_in_force="day", **HALF, **CALLED))
    # 40 left at 66: equity 1,600 is more than a quarter of 2,640, so no second call
    assert fills(result)[1:] == [(3, "margin_call", 60.0, 66.0)]
    assert [shown(order) for order in result.orders[1:]] == [("margin_call", 100.0, 60.0, "partial", "expired")]
    again = simulate(
        scene([*rows[:2], flat(53.0, 1e6), thin(53.0)], [flat(53.0, 1e6)] * 2, signals=[buy(0)], time_in_force="day", **HALF, **CALLED)
    )
    # 40 left at 53: equity 300 is less than a quarter of 2,120, which the first bar of the next session shows
    assert fills(again)[1:] == [(3, "margin_call", 60.0, 53.0), (5, "margin_call", 40.0, 53.0)]
    assert [shown(order) for order in again.orders[1:]] == [
        ("margin_call", 100.0, 60.0, "partial", "expired"), ("margin_call", 40.0, 40.0, "filled", ""),
    ]  # fmt: skip


def test_orders_on_the_open_and_the_close_have_one_bar():
    made = scene([thin()] * 2, [thin()] * 2, signals=[buy(0, on_open=True)], **HALF)
    result = simulate(made)
    assert [shown(order) for order in result.orders] == [("market_on_open", 100.0, 60.0, "partial", "participation")]
    assert reasons(result) == ["participation"]


def test_what_is_left_of_an_entry_counts_at_the_price_seen():
    # 40 at 100 are left of 100: 4,000, and 60 are held at 6,000: 1 more is too much for 10,000
    made = scene([thin()] * 2 + [None] * 2, signals=[buy(0)], **HALF)
    other = replace(buy(1, size=1.0), symbol="B")
    slots = tuple(replace(slot, bars=slot.bars | {"B": slot.bars["A"]}) if slot.bars else slot for slot in made.slots)
    for limit, reason in [(10_099.0, "max_buying_power"), (10_100.0, "no_bar_to_fill")]:
        changed = Scene(("A", "B"), ("s",), slots, (*made.signals, other), replace(made.rules, max_buying_power=limit))
        assert reasons(simulate(changed))[1] == reason


def test_a_split_multiplies_what_has_filled_and_what_is_left():
    made = scene([thin(), thin()], [None], [flat(50.0, 1e6)], signals=[buy(0)], **HALF)
    result = simulate(replace(made, actions=(Action("A", 1, "split", 2.0),)))
    assert [shown(order) for order in result.orders] == [("market", 200.0, 200.0, "filled", "")]
    assert fills(result) == [(1, "market", 60.0, 100.0), (3, "market", 80.0, 50.0)]


SPLIT = (Action("A", 1, "split", 2.0),)


def over_night(*after: Row, signals: list[Any], before: list[Row]) -> Result:
    """A split into two before the third session; the bars of the second are missing."""
    return simulate(replace(scene([thin(), *before], [None], list(after), signals=signals, **HALF), actions=SPLIT))


def test_a_split_of_a_limit_order_that_works_on():
    result = over_night(flat(50.0, 1e6), flat(48.0, 1e6), before=[(100.0, 100.0, 97.0, 99.0, 120.0)], signals=[buy(0, limit=98.0)])
    # 60 of 100 at 98; then 80 left of 200, at 49
    assert fills(result) == [(1, "limit", 60.0, 98.0), (4, "limit", 80.0, 48.0)]
    assert [(*shown(order), order.limit) for order in result.orders] == [("limit", 200.0, 200.0, "filled", "", 49.0)]
    (trade,) = result.trades
    # 120 at 49 and 80 at 48: 9,720 for 200
    assert (trade["quantity"], trade["entry_price"]) == (200.0, pytest.approx(48.6, rel=1e-15))


def test_a_split_of_a_target_that_works_on():
    before = [flat(100.0, 1e6), thin(112.0)]
    result = over_night(flat(54.0, 1e6), flat(56.0, 1e6), before=before, signals=[buy(0, stop_price=80.0, target_price=110.0)])
    # 60 of 100 at 112; then 80 left of 200, at 55, beside a stop at 40
    assert fills(result)[1:] == [(2, "target", 60.0, 112.0), (5, "target", 80.0, 56.0)]
    assert [(*shown(order), order.stop, order.limit) for order in result.orders[1:]] == [
        ("stop", 80.0, 0.0, "cancelled", "oco", 40.0, None), ("target", 200.0, 200.0, "filled", "", None, 55.0),
    ]  # fmt: skip


def test_a_split_of_a_stop_that_leaves_at_the_market():
    result = over_night(flat(47.0, 1e6), before=[flat(100.0, 1e6), thin(94.0)], signals=[buy(0, stop_price=95.0)])
    assert fills(result)[1:] == [(2, "stop", 60.0, 94.0), (4, "stop", 80.0, 47.0)]
    assert [(*shown(order), order.stop) for order in result.orders[1:]] == [("stop", 200.0, 200.0, "filled", "", 47.5)]


def test_a_split_of_an_exit_of_a_part_that_works_on():
    result = over_night(
        flat(50.0, 1e6), flat(50.0, 1e6), before=[flat(100.0, 1e6), thin(100.0)], signals=[buy(0), sell(1, exit_fraction=0.8)]
    )
    # 60 of 80; then 40 left of 160, of a position of 80
    assert fills(result)[1:] == [(2, "market", 60.0, 100.0), (4, "market", 40.0, 50.0)]
    assert [shown(order) for order in result.orders[1:]] == [("market", 160.0, 160.0, "filled", "")]
    assert [(trade["quantity"], trade["is_open"]) for trade in result.trades] == [(60.0, False), (40.0, False), (40.0, True)]
