"""The slow simulator where a position is sold in rungs: literal bars, sums done by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.scene import Action, Order, Result
from tests.simulator import simulate
from tests.tiny import Row, buy, fills, flat, scene, sell, short, states

RUNGS = ((0.25, 0.5), (0.5, 0.25))


def run(*rows: Row, size: float = 100.0, **more: Any) -> Result:
    """Bought at 100 with rungs at 125 (a half) and 150 (a quarter)."""
    return simulate(scene([flat(100.0), flat(100.0), *rows], signals=[buy(0, size=size)], **{"scale_out": RUNGS, **more}))


def shown(order: Order) -> tuple[object, ...]:
    return order.type, order.quantity, order.filled, order.limit, order.status


def test_each_rung_is_a_target_that_sells_its_part_of_what_was_entered():
    result = run((100.0, 130.0, 100.0, 120.0), (120.0, 160.0, 120.0, 155.0), stop_loss=0.5)
    assert fills(result)[1:] == [(2, "target", 50.0, 125.0), (3, "target", 25.0, 150.0)]
    assert [shown(order) for order in result.orders[1:]] == [
        ("stop", 25.0, 0.0, None, "open"), ("target", 50.0, 50.0, 125.0, "filled"), ("target", 25.0, 25.0, 150.0, "filled"),
    ]  # fmt: skip
    assert [(t["trade_id"], t["quantity"], t["pnl"], t["exit_reason"]) for t in result.trades] == [
        (1, 50.0, 1_250_000_000, "target"), (2, 25.0, 1_250_000_000, "target"), (3, 25.0, 1_375_000_000, ""),
    ]  # fmt: skip


def test_a_bar_that_reaches_two_rungs_fills_both():
    assert fills(run((100.0, 160.0, 100.0, 120.0)))[1:] == [(2, "target", 50.0, 125.0), (2, "target", 25.0, 150.0)]
    assert fills(run(flat(155.0)))[1:] == [(2, "target", 50.0, 155.0), (2, "target", 25.0, 155.0)]


def test_the_stop_looks_again_beside_the_next_rung_and_after_the_last():
    both = (110.0, 130.0, 80.0, 120.0)  # the first rung and the stop at 90
    optimistic = run(both, stop_loss=0.1, intrabar="optimistic")
    assert fills(optimistic)[1:] == [(2, "target", 50.0, 125.0), (2, "stop", 50.0, 90.0)]
    assert [fill["ambiguous"] for fill in optimistic.fills[1:]] == [True, False]
    assert states(optimistic)[1:] == [("stop", "filled", ""), ("target", "filled", ""), ("target", "cancelled", "oco")]
    assert fills(run(both, stop_loss=0.1))[1:] == [(2, "stop", 100.0, 90.0)]
    last = run((110.0, 160.0, 80.0, 120.0), stop_loss=0.1, intrabar="optimistic")
    assert fills(last)[1:] == [(2, "target", 50.0, 125.0), (2, "target", 25.0, 150.0), (2, "stop", 25.0, 90.0)]


@pytest.mark.parametrize(
    ("rungs", "size", "quantities"),
    [
        (((0.25, 0.5), (0.5, 0.5)), 5.0, [2.0, 3.0]),  # a half of 5 is 2 lots, the last takes what is left
        (((0.25, 0.1), (0.5, 0.1)), 5.0, [1.0, 1.0]),  # at least a lot
        (((0.25, 0.1), (0.5, 0.1), (0.75, 0.1)), 2.0, [1.0, 1.0]),  # at most what is left
        (((0.25, 0.3), (0.5, 0.3), (0.75, 0.4)), 1.0, [1.0]),
    ],
)
def test_a_rung_is_whole_lots(rungs: tuple[tuple[float, float], ...], size: float, quantities: list[float]):
    result = run(flat(200.0), size=size, scale_out=rungs)
    assert [fill["quantity"] for fill in result.fills[1:]] == quantities
    assert all(order.status == "filled" or order.reason == "oco" for order in result.orders)


def test_the_rung_that_closes_the_position_cancels_the_stop_and_the_exit_that_waits():
    rows = [flat(100.0), flat(100.0), flat(160.0)]
    signals = [buy(0, stop_price=50.0), sell(1, limit=200.0)]
    result = simulate(scene(rows, signals=signals, scale_out=((0.25, 0.5), (0.5, 0.5))))
    assert states(result)[1:] == [
        ("stop", "cancelled", "oco"), ("target", "filled", ""), ("target", "filled", ""), ("limit", "cancelled", "position_closed"),
    ]  # fmt: skip
    assert result.orders[-1].quantity == 50.0  # it followed the position to its last part


def test_a_target_of_the_signals_own_takes_the_place_of_the_rungs():
    result = simulate(scene([flat(100.0), flat(100.0)], signals=[buy(0, take_profit=0.1)], scale_out=RUNGS))
    assert [(order.type, order.quantity, order.limit) for order in result.orders[1:]] == [("target", 100.0, 100.0 * 1.1)]


def test_rungs_grow_with_what_is_added_until_they_fill_and_keep_their_levels():
    rows = [flat(100.0), flat(100.0), flat(130.0), flat(120.0), flat(120.0)]
    result = simulate(scene(rows, signals=[buy(0), buy(2, price=130.0), buy(3, target_price=500.0)], scale_out=RUNGS, max_entries=3))
    # 100, a half sold at 130; 100 more make 150 left of 200 entered, 100 more 250 of 300: the second rung is a quarter of 300
    assert [shown(order) for order in result.orders if order.type == "target"] == [
        ("target", 50.0, 50.0, 125.0, "filled"), ("target", 75.0, 0.0, 150.0, "open"),
    ]  # fmt: skip


def test_after_the_last_rung_an_entry_that_adds_may_give_a_target():
    rows = [flat(100.0), flat(160.0), flat(100.0), flat(100.0)]
    result = simulate(scene(rows, signals=[buy(0), buy(2, target_price=110.0)], scale_out=((0.25, 0.5),), max_entries=2, fill="next_close"))
    assert [shown(order) for order in result.orders if order.type == "target"] == [("target", 100.0, 0.0, 200.0, "open")]
    spent = simulate(scene([flat(100.0), *rows], signals=[buy(0), buy(2, target_price=190.0)], scale_out=((0.25, 0.5),), max_entries=2))
    assert [shown(order) for order in spent.orders if order.type == "target"] == [
        ("target", 50.0, 50.0, 125.0, "filled"), ("target", 150.0, 0.0, 190.0, "open"),
    ]  # fmt: skip


def test_rungs_of_a_short_lie_below_its_price():
    result = simulate(scene([flat(100.0), flat(100.0), flat(70.0)], signals=[short(0)], scale_out=RUNGS, allow_short=True))
    assert [order.limit for order in result.orders[1:]] == [75.0, 50.0]
    assert fills(result)[1] == (2, "target", 50.0, 70.0)


def test_an_exit_of_a_part_that_finds_less_closes_the_position():
    rows = [flat(100.0), flat(100.0), flat(100.0, 0.0), flat(130.0)]
    signals = [buy(0), sell(1, exit_fraction=0.6, limit=125.0)]
    result = simulate(scene(rows, signals=signals, scale_out=RUNGS))
    # the limit exit of 60 fills at the open, then the rung of 50 finds 40
    assert fills(result)[1:] == [(3, "limit", 60.0, 130.0), (3, "target", 40.0, 130.0)]
    rows, signals = [*rows[:2], flat(130.0), (130.0, 145.0, 130.0, 140.0)], [buy(0), sell(1, exit_fraction=0.6, limit=140.0)]
    later = simulate(scene(rows, signals=signals, scale_out=RUNGS))
    assert fills(later)[1:] == [(2, "target", 50.0, 130.0), (3, "limit", 50.0, 140.0)]
    assert [(order.quantity, order.filled, order.status) for order in later.orders[-1:]] == [(60.0, 50.0, "filled")]


def test_a_split_multiplies_what_was_entered_and_divides_the_levels_of_the_rungs():
    made = scene([flat(100.0), flat(100.0)], [flat(100.0, 0.0)], [flat(70.0)], signals=[buy(0, size=10.0)], scale_out=RUNGS)
    result = simulate(replace(made, actions=(Action("A", 1, "split", 2.0),)))
    assert fills(result)[1:] == [(3, "target", 10.0, 70.0)]
    assert [(order.quantity, order.limit) for order in result.orders[1:]] == [(10.0, 62.5), (5.0, 75.0)]
