"""The slow simulator where shares split and pay, and where slippage is more than basis points: literal bars, sums done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.scene import Action, Quote, Result
from tests.simulator import simulate
from tests.tiny import Row, buy, fills, flat, scene, sell, short, states

QUOTES = {1: Quote(99.0, 98.0, 101.0, 102.0), 2: Quote(99.0, 98.0, 101.0, 102.0)}
WORSE = {"slippage_bps": 100.0, "slippage_ticks": 2.0, "tick": 0.25, "slippage_spread": 0.5}


def overnight(*actions: Action, after: list[Row], **more: object) -> Result:
    """Bought (or sold short) at 100 in the first session; `after` is the third session, which begins on day 1."""
    made = scene([flat(100.0), flat(100.0)], [flat(100.0)], after, **more)
    return simulate(replace(made, actions=actions))


def test_slippage_is_basis_points_and_ticks_and_a_part_of_the_spread():
    at_open = simulate(scene([flat(100.0)] * 3, signals=[buy(0), sell(1)], quotes=QUOTES, **WORSE))
    at_close = simulate(scene([flat(100.0)] * 3, signals=[buy(0), sell(1)], quotes=QUOTES, fill="next_close", **WORSE))
    assert [fill["price"] for fill in at_open.fills] == [102.5, 97.5]
    assert [fill["price"] for fill in at_close.fills] == [103.5, 96.5]
    assert at_open.fills[0]["slippage"] == 250_000_000


def test_a_spread_that_no_quote_tells_is_none_and_flagged():
    result = simulate(scene([flat(100.0)] * 3, signals=[buy(0), sell(1)], quotes={1: QUOTES[1]}, **WORSE))
    assert [(fill["price"], fill["flags"]) for fill in result.fills] == [(102.5, []), (98.5, ["synthetic_quote"])]


def test_a_split_multiplies_shares_and_divides_prices_and_levels():
    signals = [buy(0, stop_price=90.0, target_price=120.0)]
    result = overnight(Action("A", 1, "split", 4.0), after=[flat(26.0), (26.0, 26.0, 22.0, 24.0)], signals=signals)
    assert fills(result) == [(1, "market", 100.0, 100.0), (4, "stop", 400.0, 22.5)]
    (trade,) = result.trades
    assert (trade["quantity"], trade["entry_price"], trade["pnl"], trade["dividends"]) == (400.0, 25.0, -1_000_000_000, 0)
    assert [(order.quantity, order.stop, order.limit) for order in result.orders[1:]] == [(400.0, 22.5, None), (400.0, None, 30.0)]


@pytest.mark.parametrize(
    ("size", "ratio", "quantity", "paid"),
    [(100.0, 0.5, 50.0, 0), (7.0, 0.5, 3.0, 100_000_000), (1.0, 0.5, 0.5, 0), (10.0, 1.25, 12.0, 40_000_000)],
)
def test_a_rest_of_a_lot_is_paid_in_cash_unless_nothing_else_is_left(size: float, ratio: float, quantity: float, paid: int):
    result = overnight(Action("A", 1, "split", ratio), after=[None, flat(100.0 / ratio)], signals=[buy(0, size=size)])
    (trade,) = result.trades
    assert (trade["quantity"], trade["dividends"], trade["pnl"]) == (quantity, paid, 0)


def test_a_dividend_is_received_for_a_long_and_paid_for_a_short():
    action = Action("A", 1, "dividend", 0.5)
    long = overnight(action, after=[flat(100.0)], signals=[buy(0)])
    sold = overnight(action, after=[flat(100.0)], signals=[short(0)], allow_short=True)
    assert [result.trades[0]["dividends"] for result in (long, sold)] == [50_000_000, -50_000_000]
    assert [result.equity[-1]["equity"] for result in (long, sold)] == [100_050_000_000, 99_950_000_000]


def test_a_split_comes_before_a_dividend_of_its_day_and_neither_before_the_run():
    actions = [Action("A", 1, "dividend", 0.25), Action("A", 1, "split", 2.0), Action("A", 0, "split", 2.0), Action("A", 2, "split", 2.0)]
    result = overnight(*actions, after=[flat(50.0)], signals=[buy(0)])
    assert (result.trades[0]["quantity"], result.trades[0]["dividends"]) == (200.0, 50_000_000)


def test_an_order_that_waits_over_a_split_is_split_with_its_levels():
    entry = buy(0, limit=90.0, stop_price=80.0, size=10.0)
    result = overnight(Action("A", 1, "split", 2.0), after=[flat(46.0), (46.0, 46.0, 44.0, 44.0)], signals=[entry])
    assert fills(result) == [(4, "limit", 20.0, 45.0)]
    assert [(order.type, order.stop, order.seen) for order in result.orders] == [("limit", None, 50.0), ("stop", 40.0, 50.0)]
    assert result.decisions[0]["quantity"] == 10.0
    leaving = overnight(Action("A", 1, "split", 2.0), after=[flat(56.0)], signals=[buy(0), sell(1, limit=110.0)])
    assert (fills(leaving)[1], states(leaving)[1]) == ((3, "limit", 200.0, 56.0), ("limit", "filled", ""))
