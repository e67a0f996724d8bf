"""Symbols with a lot or a tick of their own."""

from __future__ import annotations

from tests.trading.tiny import buy, market, play

OWN = {"B": {"lot": 10.0}, "C": {"lot": 0.01, "tick": 0.5}}


def test_a_size_is_in_lots_of_its_own_symbol():
    """125.678 shares, and what 1,000 buy at 30: lots of 1, of 10, of a hundredth."""
    both = market({name: [[30.0, 30.0]] for name in "ABC"})
    wishes = [buy(0, name) for name in "ABC"]
    shares = play(both, wishes, sizing={"type": "shares", "value": 125.678}, instruments=OWN)
    assert shares.column("fills", "quantity") == [125.0, 120.0, 125.67]
    money = play(both, wishes, sizing={"type": "notional", "value": 1000.0}, instruments=OWN)
    assert money.column("fills", "quantity") == [33.0, 30.0, 33.33]


def test_what_is_not_said_of_a_symbol_is_the_runs():
    both = market({name: [[30.0, 30.0]] for name in "AC"})
    run = play(both, [buy(0, "A"), buy(0, "C")], lot=7.0, tick=0.25, slippage={"ticks": 2.0}, instruments={"C": {"tick": 1.0}})
    assert [(row["quantity"], row["price"]) for row in run.rows("fills")] == [(98.0, 30.5), (98.0, 32.0)]


def test_limits_and_cash_cut_in_lots_of_the_symbol():
    """1,000 a trade buy 3 lots of 10 at 30; at a fill at 45 the cash of 1,000 buys 2 of them."""
    some = market({"B": [[30.0, 45.0]]})
    run = play(some, [buy(0, "B")], cash=1_000.0, risk={"max_per_trade": 1000.0}, instruments=OWN)
    assert run.column("decisions", "quantity") == [30.0]
    assert run.column("fills", "quantity") == [20.0]
