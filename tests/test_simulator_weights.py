"""The slow simulator where strategies give weights: literal bars, sums done by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scene import Result, Signal
from tests.simulator import simulate
from tests.tiny import Row, fills, flat, reasons, scene, states


def weigh(t: int, weight: float, price: float | None = 100.0, **more: Any) -> Signal:
    return Signal(t, "s", "A", "target", price, target=weight, **more)


def run(*signals: Signal, rows: list[Row] | None = None, **rules: Any) -> Result:
    """Five slots at 100 with 10,000 of cash."""
    return simulate(scene(rows or [flat(100.0)] * 5, signals=list(signals), **{"cash": 10_000.0, **rules}))


def actions(result: Result) -> list[tuple[str, float, str]]:
    return [(row["signal"].action, row["quantity"], row["reason"]) for row in result.decisions]


def test_a_weight_buys_the_most_lots_that_it_pays_with_the_fee_and_sells_what_is_too_much():
    # 0.5 of 10,000: 49 with a fee of 1 each; then 0.25 of 9,951 is 2,487.75: 24; 49 - 24 = 25 are sold
    result = run(weigh(0, 0.5), weigh(1, 0.25), per_share=1.0)
    assert actions(result) == [("enter_long", 49.0, "approved"), ("exit_long", 25.0, "approved")]
    assert fills(result) == [(1, "market", 49.0, 100.0), (2, "market", 25.0, 100.0)]
    assert [(trade["quantity"], trade["is_open"]) for trade in result.trades] == [(25.0, False), (24.0, True)]


def test_a_larger_weight_adds_however_many_entries_there_were():
    result = run(weigh(0, 0.2), weigh(1, 0.3), weigh(2, 0.4), max_open_positions=1)
    assert actions(result) == [("enter_long", 20.0, "approved"), ("enter_long", 10.0, "approved"), ("enter_long", 10.0, "approved")]
    assert result.trades[0]["quantity"] == 40.0


def test_no_weight_leaves_and_has_a_row_where_there_is_nothing_to_leave():
    result = run(weigh(0, 0.0), weigh(1, 0.5), weigh(2, 0.0), weigh(2, 0.0))
    assert actions(result) == [
        ("target", 0.0, "within_threshold"), ("enter_long", 50.0, "approved"), ("exit_long", 50.0, "approved"),
        ("target", 0.0, "within_threshold"),
    ]  # fmt: skip
    assert [row["approved"] for row in result.decisions] == [False, True, True, False]


def test_a_weight_of_the_other_sign_leaves_and_enters_again():
    result = run(weigh(0, 0.5), weigh(2, -0.25), allow_short=True)
    assert actions(result)[1:] == [("exit_long", 50.0, "approved"), ("enter_short", 25.0, "approved")]
    assert [(fill[0], fill[2]) for fill in fills(result)] == [(1, 50.0), (3, 50.0), (3, 25.0)]
    assert actions(run(weigh(0, 0.5), weigh(2, -0.25)))[2] == ("enter_short", 0.0, "short_not_allowed")


@pytest.mark.parametrize(("threshold", "reason"), [(0.1, "within_threshold"), (0.0999, "approved")])
@pytest.mark.parametrize("weight", [0.4, 0.6])
def test_a_change_within_the_threshold_is_not_made(threshold: float, reason: str, weight: float):
    assert reasons(run(weigh(0, 0.5), weigh(1, weight), rebalance_threshold=threshold))[1] == reason


def test_a_threshold_stops_no_position_from_being_opened_or_left():
    result = run(weigh(0, 0.05), weigh(1, 0.0), rebalance_threshold=0.5)
    assert [reason for _, _, reason in actions(result)] == ["approved", "approved"]


def test_a_part_sold_at_once_is_all_that_a_weight_does_in_its_slot():
    # sold at 99 with slippage the rest would be a lot short of its weight
    result = run(weigh(0, 0.9), weigh(1, 0.5), fill="same_close", slippage_bps=100.0)
    assert [action for action, _, _ in actions(result)] == ["enter_long", "exit_long"]


def test_the_same_weight_again_has_a_row_of_its_own():
    assert actions(run(weigh(0, 0.5), weigh(1, 0.5)))[1] == ("target", 0.0, "within_threshold")


def test_a_weight_is_checked_as_an_entry_before_it_is_sized():
    assert reasons(run(weigh(0, 0.5, quality=10.0))) == ["low_quality"]
    assert reasons(run(weigh(0, 0.5, price=None))) == ["no_bar_to_fill"]
    assert reasons(run(weigh(0, 0.001))) == ["below_lot"]
    assert reasons(run(weigh(0, 0.5), weigh(1, 0.5, quality=10.0)))[1] == "low_quality"
    assert reasons(run(weigh(0, 0.5), weigh(1, 0.2, quality=10.0)))[1:] == ["approved"]
    assert actions(run(weigh(0, 0.5, size=3.0, limit=50.0), sizing="risk_fraction", value=0.1)) == [("enter_long", 50.0, "approved")]


def test_a_weight_of_less_than_a_lot_leaves_and_says_so_twice():
    assert actions(run(weigh(0, 0.5), weigh(1, 0.001)))[1:] == [("exit_long", 50.0, "approved"), ("enter_long", 0.0, "below_lot")]


def test_a_weight_takes_the_place_of_a_part_that_waits_to_leave_and_leaves_one_that_leaves():
    rows = [flat(100.0)] * 2 + [flat(100.0, 0.0)] * 2 + [flat(100.0)]
    result = run(weigh(0, 0.5), weigh(1, 0.4), weigh(2, 0.3), rows=rows)
    assert states(result)[1:] == [("market", "cancelled", "replaced"), ("market", "filled", "")]
    assert result.orders[-1].quantity == 20.0
    again = run(weigh(0, 0.5), weigh(1, 0.0), weigh(2, 0.3), rows=rows)
    assert actions(again)[1:] == [("exit_long", 50.0, "approved"), ("enter_long", 30.0, "approved")]


def test_a_weight_buys_whole_lots_however_many_there_are():
    # 33,463.2 shares are 33,463,200 lots of 0.001; in floats the quotient is an ulp less
    result = run(weigh(0, 0.5), weigh(1, 1.0), cash=2 * 3_346_320.0, lot=0.001)
    assert [row["quantity"] for row in result.decisions] == [33463.2, 33463.2]


def test_a_weight_has_guards_as_an_entry_has():
    result = run(weigh(0, 0.5, stop_price=90.0), weigh(1, 0.6, stop_price=95.0), take_profit=0.5)
    assert [(order.type, order.stop or order.limit, order.quantity) for order in result.orders if order.role == "exit"] == [
        ("stop", 95.0, 60.0), ("target", 150.0, 60.0),
    ]  # fmt: skip
