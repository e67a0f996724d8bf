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
