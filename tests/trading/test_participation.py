"""Orders fill no more than their share of a bar; what is left works on. By hand."""

from __future__ import annotations

from tests.trading.test_parts import trades
from tests.trading.tiny import buy, market, play, sell

# Bars of 100 shares traded: half of them are 50 lots.
HALF = {"max_participation": 0.5}


def flat(*volumes: float, price: float = 100.0) -> list[tuple[float, ...]]:
    return [(price, price, price, price, volume) for volume in volumes]


def test_an_entry_fills_bar_by_bar_and_each_fill_adds():
    bars = market({"A": [flat(100, 100, 60, 100, 100)]})
    run = play(bars, [buy(0)], **HALF)
    assert run.fills() == [(1, "buy", "market", 50.0, 100.0), (2, "buy", "market", 30.0, 100.0), (3, "buy", "market", 20.0, 100.0)]
    assert [(row["quantity"], row["filled"], row["status"]) for row in run.rows("orders")] == [(100.0, 100.0, "filled")]
    assert trades(run, "trade_id", "quantity", "is_open") == [(1, 100.0, True)]


def test_an_exit_that_fills_bar_by_bar_is_several_trades():
    bars = market({"A": [flat(200, 200, 100, 100, 100)]})
    run = play(bars, [buy(0), sell(1)], **HALF)
    assert trades(run, "trade_id", "quantity", "bars", "exit_reason") == [(1, 50.0, 1, "signal"), (2, 50.0, 2, "signal")]
    assert [(row["quantity"], row["filled"], row["status"]) for row in run.rows("orders")][1] == (100.0, 100.0, "filled")


def test_orders_of_a_symbol_share_a_bar_exits_first():
    bars = market({"A": [flat(400, 400, 100, 100)]}, strategies=("s", "z"))
    run = play(bars, [buy(0, strategy="z", size=30.0), sell(1, strategy="z"), buy(1, size=40.0)], **HALF)
    assert [(row["strategy"], row["side"], row["quantity"]) for row in run.rows("fills")][1:] == [
        ("z", "sell", 30.0),
        ("s", "buy", 20.0),
        ("s", "buy", 20.0),
    ]


def test_a_bar_with_less_than_a_lot_left_fills_nothing():
    run = play(market({"A": [flat(100, 1, 100)]}), [buy(0, size=10.0)], **HALF)
    assert run.fills() == [(2, "buy", "market", 10.0, 100.0)]


def test_a_day_order_filled_in_part_ends_partial():
    bars = market({"A": [flat(100, 100), flat(100, 100)]})
    run = play(bars, [buy(0)], time_in_force="day", **HALF)
    assert run.orders() == [("market", "partial", "expired")]
    assert run.reasons() == ["expired"]
    assert run.column("orders", "filled") == [50.0]


def test_the_rest_of_a_stop_goes_on_as_a_market_exit_and_stays_a_stop():
    bars = [*flat(200, 200), (100.0, 100.0, 85.0, 90.0, 100.0), (80.0, 80.0, 80.0, 80.0, 100.0)]
    run = play(market({"A": [bars]}), [buy(0)], stop_loss=0.1, take_profit=0.5, **HALF)
    assert run.fills()[1:] == [(2, "sell", "stop", 50.0, 90.0), (3, "sell", "stop", 50.0, 80.0)]
    assert run.orders()[1:] == [("stop", "filled", None), ("target", "cancelled", "oco")]
    assert trades(run, "quantity", "exit_reason") == [(50.0, "stop"), (50.0, "stop")]


def test_the_rest_of_a_stop_outlives_the_day():
    bars = [[*flat(200, 200), (100.0, 100.0, 85.0, 90.0, 100.0)], flat(100, 100, price=80.0)]
    run = play(market({"A": bars}), [buy(0)], stop_loss=0.1, time_in_force="day", **HALF)
    assert [row[2:4] for row in run.fills()[1:]] == [("stop", 50.0), ("stop", 50.0)]


def test_a_stop_that_finds_nothing_stays_a_stop():
    bars = [*flat(200, 200), (100.0, 100.0, 85.0, 95.0, 1.0), (95.0, 96.0, 94.0, 95.0, 400.0), (95.0, 95.0, 88.0, 89.0, 400.0)]
    run = play(market({"A": [bars]}), [buy(0)], stop_loss=0.1, **HALF)
    assert run.fills()[1:] == [(4, "sell", "stop", 100.0, 90.0)]


def test_the_close_of_a_session_takes_all_and_says_so():
    bars = market({"A": [[*flat(400, 400), (100.0, 100.0, 100.0, 100.0, 100.0)]]})
    run = play(bars, [buy(0)], flat_at_close=True, **HALF)
    assert run.fills()[1:] == [(2, "sell", "close", 100.0, 100.0)]
    assert run.column("fills", "flags") == ["", "over_participation"]


def test_an_order_on_the_close_does_not_work_on():
    bars = market({"A": [flat(100, 100), flat(100, 100)]})
    run = play(bars, [buy(0, on_close=True)], **HALF)
    assert run.orders() == [("market_on_close", "partial", "participation")]
    assert run.reasons() == ["participation"]


def test_many_small_fills_have_room():
    bars = market({"A": [flat(*[2.0] * 300)]})
    run = play(bars, [buy(0, size=250.0)], **HALF)
    assert [row[3] for row in run.fills()] == [1.0] * 250
