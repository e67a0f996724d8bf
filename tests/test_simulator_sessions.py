"""The slow simulator where orders wait for a session's open or close: literal bars, answers found by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.scene import Action
from tests.simulator import simulate
from tests.tiny import buy, fills, flat, reasons, scene, sell, short, states


@pytest.mark.parametrize("fill", ["next_open", "next_close", "same_close"])
def test_an_order_on_the_open_fills_at_the_first_open_with_volume_of_a_later_session(fill: str):
    rows = [[flat(100.0), flat(101.0)], [None, flat(102.0, 0.0), (103.0, 109.0, 103.0, 108.0), flat(104.0)], [flat(105.0)]]
    result = simulate(scene(*rows, signals=[buy(0, on_open=True), sell(4, on_open=True)], fill=fill))
    assert fills(result) == [(4, "market_on_open", 100.0, 103.0), (6, "market_on_open", 100.0, 105.0)]
    assert result.trades[0]["exit_reason"] == "signal"


@pytest.mark.parametrize("fill", ["next_open", "next_close", "same_close"])
def test_an_order_on_the_close_fills_at_the_last_close_with_volume_after_the_slot_that_made_it(fill: str):
    rows = [[flat(100.0), (101.0, 101.0, 99.0, 100.5), flat(99.0, 0.0)], [flat(102.0), flat(103.0), None]]
    result = simulate(scene(*rows, signals=[buy(0, on_close=True), sell(1, on_close=True)], fill=fill))
    assert fills(result) == [(1, "market_on_close", 100.0, 100.5), (4, "market_on_close", 100.0, 103.0)]


def test_orders_on_the_open_and_on_the_close_pay_slippage():
    signals = [buy(0, on_open=True), sell(0), sell(2, on_close=True)]
    result = simulate(scene([flat(100.0)], [flat(100.0), flat(100.0)], [flat(100.0)], signals=signals, slippage_bps=100.0))
    assert [fill["price"] for fill in result.fills] == [101.0, 99.0]


def test_an_order_on_the_open_outlives_the_session_that_made_it_and_no_other():
    day = {"time_in_force": "day"}
    filled = simulate(scene([flat(100.0)] * 2, [flat(101.0)], signals=[buy(1, on_open=True)], **day))
    assert fills(filled) == [(2, "market_on_open", 100.0, 101.0)]
    missed = simulate(scene([flat(100.0)] * 2, [None], [flat(101.0)], signals=[buy(0, on_open=True)], **day))
    assert (reasons(missed), [order.resolved for order in missed.orders]) == (["expired"], [2])
    flat_too = simulate(scene([flat(100.0)] * 2, [None], [flat(101.0)], signals=[buy(1, on_open=True)], flat_at_close=True))
    assert (reasons(flat_too), [order.resolved for order in flat_too.orders]) == (["expired"], [2])


@pytest.mark.parametrize(
    ("reason", "signal", "rules"),
    [
        ("session_closed", buy(0, on_close=True), {"flat_at_close": True}),
        ("session_closed", buy(0, on_close=True), {"flat_at_close": True, "fill": "same_close"}),
        ("session_closed", buy(2, on_close=True), {"time_in_force": "day"}),
        ("approved", buy(0, on_close=True), {"time_in_force": "day"}),
        ("expired", buy(2, on_close=True), {"time_in_force": "day", "fill": "same_close"}),
        ("approved", buy(2, on_open=True), {"time_in_force": "day"}),
        ("approved", buy(2, on_open=True), {"flat_at_close": True, "no_entry_minutes": 5.0}),
        ("after_last_entry", buy(0), {"flat_at_close": True, "no_entry_minutes": 5.0}),
    ],
)
def test_an_order_on_the_open_belongs_to_the_next_session_and_one_on_the_close_to_this(
    reason: str, signal: object, rules: dict[str, object]
):
    assert reasons(simulate(scene([flat(100.0)] * 3, [flat(100.0)] * 2, signals=[signal], **rules))) == [reason]


def test_orders_of_one_open_fill_exits_first():
    signals = [buy(0), sell(2, on_open=True), short(2, on_open=True)]
    result = simulate(scene([flat(100.0)] * 3, [flat(104.0)] * 2, signals=signals, allow_short=True))
    assert fills(result)[1:] == [(3, "market_on_open", 100.0, 104.0)] * 2
    assert [(trade["direction"], trade["is_open"]) for trade in result.trades] == [("long", False), ("short", True)]


def test_an_entry_on_the_open_whose_position_is_still_held_waits_for_another_session():
    signals = [buy(0), sell(2, limit=110.0), short(2, on_open=True)]
    rows = [[flat(100.0)] * 3, [flat(104.0), flat(111.0), flat(108.0)], [flat(107.0)]]
    result = simulate(scene(*rows, signals=signals, allow_short=True))
    assert fills(result)[1:] == [(4, "limit", 100.0, 111.0), (6, "market_on_open", 100.0, 107.0)]


def test_a_stop_cancels_an_exit_on_the_close_and_flat_at_close_comes_after_one():
    rows = [flat(100.0), flat(100.0), flat(100.0), (100.0, 100.0, 80.0, 90.0)]
    stopped = simulate(scene(rows, signals=[buy(0, stop_price=95.0), sell(1, on_close=True)]))
    assert states(stopped)[1:] == [("stop", "filled", ""), ("market_on_close", "cancelled", "position_closed")]
    closed = simulate(scene(rows, signals=[buy(0), sell(1, on_close=True)], flat_at_close=True))
    assert fills(closed)[1] == (3, "market_on_close", 100.0, 90.0)
    left = simulate(scene(rows, [flat(90.0)], signals=[buy(0), sell(1, on_open=True)], flat_at_close=True))
    assert states(left)[1:] == [("market_on_open", "cancelled", "flat_at_close"), ("close", "filled", "")]


def test_an_order_on_the_open_is_split_over_night():
    made = scene([flat(100.0)], [flat(100.0)], [flat(50.0)], signals=[buy(1, on_open=True)])
    result = simulate(replace(made, actions=(Action("A", 1, "split", 2.0),)))
    assert fills(result) == [(2, "market_on_open", 200.0, 50.0)]
