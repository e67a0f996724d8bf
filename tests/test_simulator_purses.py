"""The slow simulator where strategies have purses of their own, and where equity no longer maintains positions: sums done by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.scene import Result, Signal
from tests.simulator import simulate
from tests.tiny import Row, buy, fills, flat, reasons, scene, sell, short, states

CALLED = {"margin_call": "liquidate", "leverage": 4.0, "cash": 5_000.0}


def of(strategy: str, signal: Signal) -> Signal:
    return replace(signal, strategy=strategy)


def two(*signals: Signal, rows: list[Row] | None = None, **rules: Any) -> Result:
    """Strategies r and s, of 6,000 and 4,000."""
    made = scene(rows or [flat(100.0)] * 5, signals=list(signals), **{"cash": 10_000.0, "capital": {"r": 6_000.0, "s": 4_000.0}, **rules})
    return simulate(replace(made, strategies=("r", "s")))


def test_each_strategy_buys_with_its_own_purse():
    result = two(
        of("r", buy(0, size=50.0)), of("s", buy(0, size=50.0)), of("s", buy(0, size=40.0)), of("r", buy(1, size=11.0)), max_entries=2
    )
    assert reasons(result) == ["approved", "insufficient_cash", "approved", "insufficient_cash"]
    assert result.cash == 1_000_000_000


def test_sizes_and_weights_are_of_the_purses_equity():
    sized = two(of("r", buy(0)), of("s", buy(0)), sizing="equity_fraction", value=0.5)
    weights = [Signal(0, name, "A", "target", 100.0, target=0.5) for name in ("r", "s")]
    for result in (sized, two(*weights)):
        assert [fill["quantity"] for fill in result.fills] == [30.0, 20.0]


def test_what_fits_at_a_fill_is_of_the_purse():
    result = two(of("r", buy(0, size=10.0)), of("s", buy(0, size=40.0)), rows=[flat(100.0), flat(110.0)])
    assert [fill["quantity"] for fill in result.fills] == [10.0, 36.0]  # 4,000 / 110


def test_limits_and_equity_rows_are_of_all_purses():
    result = two(of("r", buy(0, size=10.0)), of("s", buy(0, size=10.0)), max_buying_power=1_500.0)
    assert reasons(result) == ["approved", "max_buying_power"]
    assert reasons(two(of("r", buy(0, size=10.0)), of("s", buy(0, size=10.0)), max_open_positions=1))[1] == "max_open_positions"
    assert [row["equity"] for row in result.equity] == [10_000_000_000] * 5


def test_borrow_is_paid_by_the_purse_of_the_short():
    # 10 short at 100 for a night at 36 percent of 360 days: 1; 4,000 - 1 leave 39 where 40 would fit
    rows = [flat(100.0), flat(100.0)]
    signals = [of("r", short(0, size=10.0)), of("r", Signal(5, "r", "A", "exit_short", 100.0))]
    made = scene(rows, rows, [flat(100.0)] * 3, signals=[*signals, of("s", buy(5, size=40.0))], cash=10_000.0, allow_short=True,
                 capital={"r": 6_000.0, "s": 4_000.0}, borrow_bps=3600.0)  # fmt: skip
    result = simulate(replace(made, strategies=("r", "s")))
    assert reasons(result)[-1] == "approved"
    assert result.trades[0]["borrow"] == 1_000_000


def test_a_purse_that_does_not_maintain_its_positions_leaves_them():
    # 100 at 100 with 5,000: equity 5,000 - 100 a point, a quarter of 6,600 is 1,650 > 1,600, a quarter of 6,700 is 1,675 < 1,700
    rows = [flat(100.0), flat(100.0), flat(67.0), flat(66.0), flat(60.0)]
    result = simulate(scene(rows, signals=[buy(0, stop_price=1.0)], **CALLED))
    assert fills(result)[1:] == [(4, "margin_call", 100.0, 60.0)]
    assert states(result)[1:] == [("stop", "cancelled", "position_closed"), ("margin_call", "filled", "")]
    (order,) = result.orders[2:]
    assert (order.ts, order.seen, result.trades[0]["exit_reason"]) == (4 * 60_000_000, 66.0, "margin_call")
    assert len(result.decisions) == 1
    assert fills(simulate(scene(rows, signals=[buy(0)], **{**CALLED, "margin_call": "reject"})))[1:] == []


@pytest.mark.parametrize(("maintenance", "called"), [(0.5, False), (0.5001, True)])
def test_maintenance_is_met_to_the_last_unit(maintenance: float, called: bool):
    result = simulate(scene([flat(100.0)] * 3, signals=[buy(0)], **{**CALLED, "maintenance": maintenance}))
    assert (len(result.fills) == 2) == called


def test_a_margin_call_cancels_what_waits():
    rows = [flat(100.0), flat(100.0), flat(66.0), flat(66.0, 0.0), flat(66.0)]
    signals = [buy(0), buy(1, limit=50.0, size=1.0), sell(1, limit=200.0, exit_fraction=0.5), sell(3), buy(3, 66.0, size=1.0)]
    result = simulate(scene(rows, signals=signals, max_entries=2, **CALLED))
    assert reasons(result) == ["approved", "approved", "margin_call", "no_position", "margin_call"]
    assert [(o.type, o.status, o.reason, o.resolved) for o in result.orders[1:4]] == [
        ("limit", "cancelled", "replaced", 2), ("limit", "cancelled", "margin_call", 2), ("margin_call", "filled", "", 4),
    ]  # fmt: skip


def test_a_margin_call_expires_with_the_day_and_is_made_anew():
    made = scene([flat(100.0), flat(100.0), flat(66.0)], [flat(66.0)] * 2, signals=[buy(0)], time_in_force="day", **CALLED)
    result = simulate(made)
    assert states(result)[1:] == [("margin_call", "expired", "expired"), ("margin_call", "filled", "")]
    assert fills(result)[1] == (4, "margin_call", 100.0, 66.0)


def test_a_purse_is_called_for_its_own_positions():
    # 60 of r at 100: 6,000 - 3,600 at 40 is 2,400 of 2,400; s holds 100 at 100 with 4,000: at 80 equity 2,000 is a quarter of 8,000
    rows = [flat(100.0), flat(100.0), flat(80.0), flat(79.0), flat(79.0)]
    signals = [of("r", buy(0, size=60.0)), of("s", buy(0, size=100.0))]
    result = two(*signals, rows=rows, **{**CALLED, "cash": 10_000.0})
    assert [(o.strategy, o.type, o.ts) for o in result.orders[2:]] == [("s", "margin_call", 4 * 60_000_000)]
    assert fills(result)[2:] == [(4, "margin_call", 100.0, 79.0)]


def test_a_margin_call_waits_for_the_next_slot_whatever_the_fill():
    for fill in ("next_open", "next_close", "same_close"):
        rows = [flat(100.0), flat(100.0), flat(66.0), (65.0, 70.0, 60.0, 64.0)]
        result = simulate(scene(rows, signals=[buy(0)], **CALLED, fill=fill))
        assert fills(result)[1] == (3, "margin_call", 100.0, 65.0 if fill == "next_open" else 64.0)
