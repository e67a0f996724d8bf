"""The end of a session and of the run: flat at the close, expiry, what stays open."""

from __future__ import annotations

import pytest

from tests.trading.tiny import at, buy, market, play, sell


def test_flat_at_close_sells_at_the_close_of_the_sessions_last_bar():
    run = play(market({"A": [[100.0, 100.0, (97.0, 99.0, 96.0, 98.0)]]}), [buy(0)], flat_at_close=True)
    assert run.fills() == [(1, "buy", "market", 100.0, 100.0), (2, "sell", "close", 100.0, 98.0)]
    close = run.rows("orders")[1]
    assert (close["type"], close["status"], close["reason"], close["ts"], close["price_seen"]) == ("close", "filled", None, at(3), 98.0)
    assert run.rows("fills")[1]["flags"] == ""
    assert run.column("trades", "exit_reason") == ["flat_at_close"]


@pytest.mark.parametrize("last", [[None], [(97.0, 97.0, 97.0, 97.0, 0.0)], [None, (97.0, 97.0, 97.0, 97.0, 0.0)]])
def test_flat_at_close_uses_the_last_bar_that_can_fill_and_flags_it(last):
    run = play(market({"A": [[100.0, 100.0, 98.0, *last]]}), [buy(0)], flat_at_close=True)
    assert run.fills()[1] == (2, "sell", "close", 100.0, 98.0)
    assert run.column("fills", "flags") == ["", "stale_close"]


def test_flat_at_close_goes_by_each_symbols_own_bars():
    run = play(market({"A": [[100.0, 100.0, None]], "B": [[100.0, 100.0, 100.0]]}), [buy(0), buy(0, "B")], flat_at_close=True)
    sales = [(row["symbol"], row["ts"], row["flags"]) for row in run.rows("fills") if row["side"] == "sell"]
    assert sales == [("A", at(1), "stale_close"), ("B", at(2), "")]


def test_flat_at_close_cancels_a_waiting_exit_and_what_protects_the_position():
    bars = [100.0, 100.0, 100.0]
    run = play(market({"A": [bars]}), [buy(0), sell(1)], flat_at_close=True, fill="next_close", stop_loss=0.5, take_profit=0.5)
    assert run.orders() == [  # the exit fills at the last close before flat_at_close has anything to do
        ("market", "filled", None),
        ("stop", "cancelled", "position_closed"),
        ("target", "cancelled", "position_closed"),
        ("market", "filled", None),
    ]
    late = play(market({"A": [[100.0, 100.0, 100.0, None]]}), [buy(0), sell(2)], flat_at_close=True)
    assert late.reasons() == ["approved", "no_position"]
    waiting = play(market({"A": [[100.0, 100.0, (1.0, 1.0, 1.0, 1.0, 0.0), 100.0]]}), [buy(0), sell(1)], flat_at_close=True)
    assert waiting.fills()[1] == (3, "sell", "market", 100.0, 100.0)


def test_flat_at_close_also_sells_what_same_close_has_just_bought():
    """The symbol's last bar of the session: bought and sold at its close."""
    run = play(market({"A": [[100.0, 100.0, None], [100.0]]}), [buy(1)], flat_at_close=True, fill="same_close")
    assert run.fills() == [(1, "buy", "market", 100.0, 100.0), (1, "sell", "close", 100.0, 100.0)]
    assert run.column("fills", "flags") == ["", "stale_close"]


def test_flat_at_close_lets_waiting_entries_expire():
    run = play(market({"A": [[100.0, None, None], [100.0]]}), [buy(0)], flat_at_close=True)
    assert (run.orders(), run.reasons(), run.fills()) == ([("market", "expired", "expired")], ["expired"], [])
    assert run.column("decisions", "approved") == [True]


def test_day_orders_expire_at_the_end_of_their_session():
    run = play(market({"A": [[100.0, None], [100.0, 100.0]]}), [buy(0)], time_in_force="day")
    assert (run.orders(), run.reasons()) == ([("market", "expired", "expired")], ["expired"])


def test_a_day_exit_expires_too_even_one_of_the_last_slot():
    bars = [[100.0, 100.0, 100.0], [100.0, 100.0]]
    run = play(market({"A": bars}), [buy(0), sell(2)], time_in_force="day")
    assert run.orders() == [("market", "filled", None), ("market", "expired", "expired")]
    assert run.reasons() == ["approved", "expired"]
    assert run.column("trades", "is_open") == [True]


def test_what_waits_at_the_end_of_the_run_stays_open():
    run = play(market({"A": [[100.0, 100.0, None]]}), [buy(0), sell(1)], stop_loss=0.5)
    assert run.orders() == [("market", "filled", None), ("stop", "open", None), ("market", "open", "no_bar_to_fill")]
    assert run.reasons() == ["approved", "no_bar_to_fill"]
    assert run.column("decisions", "approved") == [True, True]


def test_a_decision_is_held_back_with_all_after_it_until_its_order_is_resolved():
    """A's entry waits over the first session; B's later decisions come after it all the same."""
    both = market({"A": [[100.0, None, None], [100.0]], "B": [[1.0, 1.0, 1.0], [1.0]]})
    run = play(both, [buy(0), buy(0, "B"), sell(1, "B")], cuts=[1])
    assert [(row["symbol"], row["action"], row["reason"]) for row in run.rows("decisions")] == [
        ("A", "enter_long", "approved"),
        ("B", "enter_long", "approved"),
        ("B", "exit_long", "approved"),
    ]


def test_resolved_orders_come_by_the_slot_that_resolved_them_then_by_number():
    both = market({"A": [[100.0, None, 100.0]], "B": [[100.0, 100.0, 100.0]]})
    run = play(both, [buy(0), buy(0, "B"), sell(1, "B")], take_profit=9.0)
    assert run.column("orders", "order_id") == [2, 1, 3, 4, 5]
    assert run.column("orders", "status") == ["filled", "filled", "cancelled", "filled", "open"]
