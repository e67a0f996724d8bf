"""Margin calls: which slot, which orders, what price. Slots are minutes, fills at the next open unless said."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trading.tiny import Played, Wish, at, buy, market, play, sell, short

CALLED = {"leverage": 4.0, "allow_short": True, "margin_call": "liquidate"}


def played(bars: list[Any], *wishes: Wish, account: dict[str, Any] | None = None, **settings: Any) -> Played:
    """A run with 10,000, leverage 4 and margin calls at a quarter over sessions of one symbol's bars."""
    sessions = bars if isinstance(bars[0], list) else [bars]
    return play(market({"A": sessions}), wishes, cash=10_000.0, account=CALLED | (account or {}), **settings)


def test_a_leveraged_long_is_sold_when_equity_does_not_maintain_it():
    """300 at 100: cash -20,000. At 89 equity is 6,700 of 26,700 (6,675 needed), at 88 it is 6,400 of 26,400 (6,600 needed)."""
    run = played([100.0, 100.0, 89.0, 88.0, (86.0, 87.0, 85.0, 86.5), 90.0], buy(0, size=300.0))
    assert run.fills() == [(1, "buy", "market", 300.0, 100.0), (4, "sell", "margin_call", 300.0, 86.0)]
    order = run.rows("orders")[1]
    assert (order["ts"], order["type"], order["status"], order["price_seen"]) == (at(4), "margin_call", "filled", 88.0)
    trade = run.rows("trades")[0]
    assert (trade["exit_reason"], trade["pnl"], trade["exit_price"]) == ("margin_call", -4_200.0, 86.0)


def test_a_short_that_went_wrong_is_bought_back():
    """200 short at 100: cash 30,000. At 120 equity is 6,000 of 24,000 (6,000 needed), at 121 it is 5,800 of 24,200 (6,050 needed)."""
    run = played([100.0, 100.0, 120.0, 121.0, 125.0, 100.0], short(0, size=200.0))
    assert run.fills() == [(1, "sell", "market", 200.0, 100.0), (4, "buy", "margin_call", 200.0, 125.0)]
    assert run.column("equity", "equity") == [10_000.0, 10_000.0, 6_000.0, 5_800.0, 5_000.0, 5_000.0]


def test_without_liquidate_nothing_is_sold():
    bars = [100.0, 100.0, 88.0, 60.0, 50.0]
    for settings in ({"margin_call": "reject"}, {"maintenance": 0.0}):
        assert len(played(bars[:3] + [88.0] * 2, buy(0, size=300.0), account=settings).fills()) == 1
    assert len(played(bars, buy(0, size=300.0), account={"margin_call": "reject"}).fills()) == 1


@pytest.mark.parametrize(("fill", "price"), [("next_open", 80.0), ("next_close", 82.0), ("same_close", 82.0)])
def test_it_fills_as_a_market_exit_does_in_a_later_slot(fill: str, price: float):
    """Called at slot 2, whatever the fill; slot 3 opens at 80 and closes at 82. Slippage of 100 bps is against it."""
    run = played([100.0, 100.0, 85.0, (80.0, 83.0, 79.0, 82.0)], buy(0, size=300.0), fill=fill, slippage={"bps": 100.0})
    assert [kind for _, _, kind, _, _ in run.fills()] == ["market", "margin_call"]
    assert run.rows("fills")[1]["price"] == price * 0.99
    assert run.rows("fills")[1]["ts"] == at(3)


def test_what_waits_to_enter_is_cancelled_and_a_limit_exit_is_replaced():
    """The limit to sell at 150 waits since slot 1, an entry of B since slot 1; both go at slot 2, where A closes at 85."""
    bars = market({"A": [[100.0, 100.0, 85.0, 84.0, 84.0]], "B": [[100.0, 100.0, 100.0, 100.0, 100.0]]})
    wishes = [buy(0, size=300.0), sell(1, limit=150.0), buy(1, "B", limit=50.0, size=10.0), sell(3)]
    run = play(bars, wishes, cash=10_000.0, account=CALLED)
    assert run.reasons() == ["approved", "approved", "margin_call", "no_position"]
    ends = [("market", "filled", None), ("limit", "cancelled", "replaced"), ("limit", "cancelled", "margin_call")]
    assert run.orders() == [*ends, ("margin_call", "filled", None)]


def test_a_position_with_a_leaving_exit_gets_no_other():
    """The market exit of slot 2 fills at slot 3, as a signal."""
    run = played([100.0, 100.0, 85.0, 84.0], buy(0, size=300.0), sell(2))
    assert run.orders() == [("market", "filled", None)] * 2


def test_a_stop_may_fill_first_and_cancels_it():
    """Called at slot 2; slot 3 has no volume at all, slot 4 opens below the stop: exits wait for step 1, which comes first."""
    run = played([100.0, 100.0, 85.0, (70.0, 70.0, 70.0, 70.0, 0.0), 70.0], buy(0, size=300.0, stop_price=75.0))
    assert run.fills()[1] == (4, "sell", "margin_call", 300.0, 70.0)
    later = played([100.0, 100.0, 85.0, (80.0, 80.0, 70.0, 72.0)], buy(0, size=300.0, stop_price=75.0), fill="next_close")
    assert later.fills()[1] == (3, "sell", "stop", 300.0, 75.0)
    assert later.orders()[2] == ("margin_call", "cancelled", "position_closed")


def test_a_day_order_expires_and_is_made_anew_after_the_next_slot():
    """Made at the session's last slot it expires there; the next session's first slot makes another, which fills in its second."""
    run = played([[100.0, 100.0, 85.0], [85.0, 84.0, 83.0]], buy(0, size=300.0), time_in_force="day")
    assert [order[:2] for order in run.orders()] == [("market", "filled"), ("margin_call", "expired"), ("margin_call", "filled")]
    assert run.rows("fills")[1]["price"] == 84.0
    lasting = played([[100.0, 100.0, 85.0], [85.0, 84.0, 83.0]], buy(0, size=300.0))
    assert lasting.rows("fills")[1]["price"] == 85.0


def test_borrow_alone_can_bring_it():
    """120 short at 100, equity 10,000 of 12,000 held: at maintenance 0.8 9,600 is needed. A night costs 12,000 x 36 / 360 = 1,200."""
    bars, account = [[100.0, 100.0, 100.0], [100.0, 100.0, 100.0]], {"maintenance": 0.8}
    free, paid = (played(bars, short(0, size=120.0), account=account, borrow_bps=bps) for bps in (0.0, 360_000.0))
    assert len(free.fills()) == 1
    assert [row["type"] for row in paid.rows("fills")] == ["market", "margin_call"]
    assert paid.rows("fills")[1]["ts"] == at(1, session=1)
    assert paid.carry.cash == 8_800_000_000


def test_a_purse_is_called_alone():
    """r and s hold 150 each of 5,000; only r's symbol falls: at 83 its equity is 2,450 of 12,450 (3,112.5 needed)."""
    bars = market({"A": [[100.0, 100.0, 83.0, 83.0, 83.0]], "B": [[100.0] * 5]}, strategies=("r", "s"))
    wishes = [buy(0, "A", "r", size=150.0), buy(0, "B", "s", size=150.0)]
    own = play(bars, wishes, cash=10_000.0, account=CALLED | {"capital": {"r": 5_000.0, "s": 5_000.0}})
    assert [(row["strategy"], row["type"]) for row in own.rows("orders")[2:]] == [("r", "margin_call")]
    both = play(bars, wishes, cash=10_000.0, account=CALLED)
    assert len(both.rows("orders")) == 2
    assert len(play(bars, wishes, cash=10_000.0, account=CALLED | {"maintenance": 0.28}).rows("orders")) == 4


def test_it_is_the_same_cut_into_chunks():
    bars, wishes = market({"A": [[100.0, 100.0, 90.0], [88.0, 86.0], [85.0, 85.0]]}), [buy(0, size=300.0), buy(5, size=50.0)]
    whole, cut = (play(bars, wishes, cash=10_000.0, account=CALLED, cuts=cuts, time_in_force="day") for cuts in ((), (1, 2)))
    assert "margin_call" in [row["type"] for row in whole.rows("fills")]
    assert all(frame.equals(cut.frames[name]) for name, frame in whole.frames.items())
