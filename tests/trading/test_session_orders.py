"""Orders on a session's open and close. 100 shares; sessions of three slots unless said, bars of (open, high, low, close)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trading.tiny import Bar, Played, Wish, buy, cover, market, play, sell, short

RISING: list[list[Bar]] = [[(10.0 * k + s, 10.0 * k + s + 0.5, 10.0 * k + s, 10.0 * k + s + 0.5) for s in range(3)] for k in (1, 2, 3)]
"""Session k opens at 10 k; slot s of it is from 10 k + s to half a unit more."""


def fills(wishes: list[Wish], bars: list[list[Bar]] = RISING, **settings: Any) -> list[tuple[str, float]]:
    """(type, price) of every fill, whatever the sessions are cut into."""
    whole = market({"A": bars})
    once = play(whole, wishes, account={"allow_short": True}, **settings)
    parts = play(whole, wishes, account={"allow_short": True}, cuts=range(1, len(bars)), **settings)
    assert all(frame.equals(parts.frames[name]) for name, frame in once.frames.items())
    return [(row["type"], row["price"]) for row in once.rows("fills")]


@pytest.mark.parametrize("fill", ["next_open", "next_close", "same_close"])
def test_an_order_on_the_open_waits_for_the_next_sessions_first_bar(fill: str):
    """Made in the first session, the entry at the open of the second; the exit, made in that one's last slot, at that of the third."""
    wishes = [buy(0, on_open=True), sell(5, on_open=True)]
    assert fills(wishes, fill=fill) == [("market_on_open", 20.0), ("market_on_open", 30.0)]


@pytest.mark.parametrize("fill", ["next_open", "next_close", "same_close"])
def test_an_order_on_the_close_fills_at_the_close_of_the_sessions_last_bar(fill: str):
    """The entry in its own session; the exit, made in the last slot, not at once but in the next session."""
    wishes = [buy(0, on_close=True), sell(5, on_close=True)]
    assert fills(wishes, fill=fill) == [("market_on_close", 12.5), ("market_on_close", 32.5)]


def test_they_fill_on_the_first_and_last_bar_that_can():
    """Sessions without a bar, or with one without volume, at their ends."""
    quiet: Bar = (25.0, 25.0, 25.0, 25.0, 0.0)
    bars: list[list[Bar]] = [[10.0, 11.0, 12.0], [quiet, 21.0, None], [30.0, 31.0, None]]
    assert fills([buy(0, on_open=True), sell(4, on_close=True)], bars) == [("market_on_open", 21.0), ("market_on_close", 31.0)]
    assert fills([buy(2, on_close=True)], bars) == [("market_on_close", 21.0)]


def test_shorts_too():
    wishes = [short(0, on_open=True), cover(3, on_close=True)]
    assert fills(wishes) == [("market_on_open", 20.0), ("market_on_close", 22.5)]
    run = play(market({"A": RISING}), wishes, account={"allow_short": True})
    assert run.column("trades", "exit_reason") == ["signal"]


def ends(wishes: list[Wish], **settings: Any) -> Played:
    return play(market({"A": RISING}), wishes, **settings)


def test_an_order_on_the_open_outlives_the_session_that_made_it():
    """With day orders too, and where all positions end with the session; nothing is asked of the hour."""
    for settings in ({"time_in_force": "day"}, {"flat_at_close": True, "no_entry_minutes": 2.0}):
        run = ends([buy(2, on_open=True)], **settings)
        assert run.reasons() == ["approved"]
        assert run.fills()[0][2:] == ("market_on_open", 100.0, 20.0)


def test_it_expires_with_the_session_that_could_not_fill_it():
    """The position held by then leaves no room at the open of the second session, at whose end the entry expires."""
    run = ends([buy(0), sell(1, limit=99.0), buy(1, on_open=True)], time_in_force="day")
    assert [order for order in run.orders() if order[0] == "market_on_open"] == [("market_on_open", "expired", "expired")]


def test_an_entry_on_the_close_that_would_be_flat_at_once_is_refused():
    assert ends([buy(0, on_close=True)], flat_at_close=True).reasons() == ["session_closed"]
    assert ends([buy(2, on_close=True)], time_in_force="day").reasons() == ["session_closed"]
    assert ends([buy(1, on_close=True)], time_in_force="day").reasons() == ["approved"]


def test_costs_are_those_of_market_orders():
    run = ends([buy(0, on_open=True), sell(3, on_close=True)], slippage={"ticks": 1.0}, tick=0.5)
    assert run.column("fills", "price") == [20.5, 22.0]


def test_an_order_without_a_bar_to_fill_stays_open():
    run = play(market({"A": [[10.0, 10.0], [None, None]]}), [buy(0, on_open=True)])
    assert run.orders() == [("market_on_open", "open", "no_bar_to_fill")]
    assert run.reasons() == ["no_bar_to_fill"]
